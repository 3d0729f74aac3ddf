"""Shell jobs."""
