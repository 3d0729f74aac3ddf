"""What happened, told: log lines, and what is shown to people."""
