"""What a handler is, what it is given, and what it answers: pure, no database."""
