"""AWS on this machine: the emulator and a Storage Gateway, on loopback only."""

ACCOUNT = "000000000000"
REGION = "us-east-1"
