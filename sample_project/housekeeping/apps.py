"""The app's configuration."""

from django.apps import AppConfig


class HousekeepingConfig(AppConfig):
    """Cleaning, and an echo for smoke tests."""

    name = "housekeeping"
