"""What other programs are told of attempts and runs: spans, and reports of errors."""
