"""AWS as one user sees it."""
