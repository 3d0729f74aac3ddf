"""The command line: parses, calls, prints, exits. No SQL and no logic live here."""
