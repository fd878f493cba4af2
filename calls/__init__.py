"""The pure core: what calls are. No I/O, no clock, no randomness, no environment."""
