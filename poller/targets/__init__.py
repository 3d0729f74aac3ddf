"""Whom alerts reach: the settings, the addresses that they name, and the sending of one message."""
