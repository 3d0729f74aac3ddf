"""When a job is due: pure, no clock is read here."""
