"""Makes the administrator that the deployment names, with the password from a credential."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from celery_runtime.configuration import credential
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Says `created`, `changed` or `unchanged`.

    A password that was changed in the site's own pages is put back: the inventory is its one home.
    """

    help = "Make or update an administrator; the password comes from the credential admin_password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("username", help="value of the user model's USERNAME_FIELD")
        parser.add_argument("--email", default="", help="address, where the user model has one")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create or update the account."""
        model = get_user_model()
        password = credential("admin_password")
        user = model._default_manager.filter(**{model.USERNAME_FIELD: options["username"]}).first()
        if user is None:
            names = {field.name for field in model._meta.get_fields()}
            fields = {model.USERNAME_FIELD: options["username"]}
            if "email" in names and model.USERNAME_FIELD != "email":
                fields["email"] = options["email"]
            model._default_manager.create_superuser(**fields, password=password)
            self.stdout.write("created")
        elif not (user.check_password(password) and user.is_superuser and user.is_staff and user.is_active):
            user.set_password(password)
            user.is_superuser = user.is_staff = user.is_active = True
            user.save()
            self.stdout.write("changed")
        else:
            self.stdout.write("unchanged")
