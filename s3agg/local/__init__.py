"""The AWS emulator and a Storage Gateway on this machine, on loopback only."""

ACCOUNT = "000000000000"
REGION = "us-east-1"
