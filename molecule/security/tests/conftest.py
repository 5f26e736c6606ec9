"""Fixtures of the scenario."""
