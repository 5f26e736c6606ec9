"""Configuration of the app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """The app."""

    name = "jobs"
