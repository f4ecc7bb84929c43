"""Many waits on one account."""
