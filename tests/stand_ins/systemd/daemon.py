"""Tells modules that systemd runs this host."""


def booted() -> bool:
    """Say yes, so that the journal is what is written to."""
    return True
