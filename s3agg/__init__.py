"""Thousands of S3 uploads, one Storage Gateway refresh."""

__version__ = "0.1.0"
