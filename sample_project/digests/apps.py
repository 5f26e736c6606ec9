"""The app's configuration."""

from django.apps import AppConfig


class DigestsConfig(AppConfig):
    """The weekly digest."""

    name = "digests"
