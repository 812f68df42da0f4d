"""Thousands of S3 uploads, one Storage Gateway refresh."""
