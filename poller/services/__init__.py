"""What goes on in the background of a worker or a supervisor, each a loop."""
