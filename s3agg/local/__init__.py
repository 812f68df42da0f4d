"""AWS on this machine: the emulator and a Storage Gateway, on loopback only."""

REGION = "us-east-1"
