"""The app's configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, their registration and the welcome e-mail."""

    name = "accounts"
