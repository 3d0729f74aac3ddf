"""The bell that threads wait on, and the failpoints at which tests stop them."""
