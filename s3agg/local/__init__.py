"""AWS on this machine: the emulator and a Storage Gateway, on loopback only."""
