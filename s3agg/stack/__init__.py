"""A stack: as it is declared, and as AWS has it."""
