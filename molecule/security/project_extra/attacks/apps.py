"""The app, so that Celery finds its tasks."""

from django.apps import AppConfig


class AttacksConfig(AppConfig):
    """The attacks."""

    name = "attacks"
