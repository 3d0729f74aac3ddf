"""What type checkers are to accept of users' code, and what not: `make check` reads it, nobody runs it.

A line that must be refused ends with `# type: ignore[its code]`; one that is not refused fails the check.
"""
