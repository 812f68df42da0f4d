"""What is going on in a stack."""
