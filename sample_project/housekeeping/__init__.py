"""Cleaning, and an echo for smoke tests."""
