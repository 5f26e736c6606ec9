"""Faults done to a host under load, and the account of what became of every job that was accepted meanwhile."""
