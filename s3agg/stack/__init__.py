"""A stack: its declared resources, and the stack as deployed in AWS."""
