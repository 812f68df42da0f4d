"""AWS sessions, clients, errors and waiting."""
