"""The command line: parses options, calls one command and shows its result."""
