"""What threads wait on, and the steps at which tests stop them."""
