"""Alerts: episodes of what goes wrong, notices of them, and the messages that are made of these."""
