"""Jobs, their runs, and what the database holds of them."""
