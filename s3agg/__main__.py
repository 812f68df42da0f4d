"""`python -m s3agg` is the command `s3agg`."""

from s3agg.cli import main

main()
