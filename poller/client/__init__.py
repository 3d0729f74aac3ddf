"""The client: questions and orders of people, for every face (command line, Python, web)."""
