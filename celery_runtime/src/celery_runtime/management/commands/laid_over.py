"""Says which of the project's settings the deployment takes the place of."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import Any

from celery_runtime import laid_over
from celery_runtime.configuration import credential, handed, load, read
from celery_runtime.overlay import overlay
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Prints a table, or nothing where all of the project's settings hold."""

    help = "Show which settings of the project are replaced by the deployment's, why, and which variable decides."
    # The settings are all that it looks at.
    requires_system_checks: list[str] = []  # noqa: RUF012 (Django's way to say it)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--settings-file", default="", help="- to read another deployment's settings from standard input"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Lay the settings over the project's once more, and compare."""
        try:
            configuration = read(sys.stdin.read()) if options["settings_file"] == "-" else load()
        except (ValueError, TypeError) as error:
            raise CommandError(f"standard input: {error}") from error
        project = vars(import_module(configuration.project_settings))
        found = laid_over.rows(project, overlay(project, configuration, credential, handed), configuration)
        for line in laid_over.table(found):
            self.stdout.write(line)
