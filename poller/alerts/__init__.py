"""Alerts: episodes of what goes wrong, notices of them, and the sending of messages."""
