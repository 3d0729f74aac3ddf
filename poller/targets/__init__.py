"""The targets of alerts: the settings that name them, their addresses, and the sending of one message."""
