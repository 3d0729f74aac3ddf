"""Alerts: an episode for each thing that goes wrong, its notices to targets, and the messages that carry them."""
