"""Runs the project's system checks as `check --deploy` does. One that asks tables which aren't there yet can wait for the migration."""

from __future__ import annotations

import argparse
import sys

import django
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import Error

from .explain import FAILURES, explained, whole

# What ends the process where the checks are to run again after the migration.
DEFERRED = 3
NAMED = "django_project_check: the project's own checks"


def main() -> int:
    """Run the checks; say what is wrong on standard error, and print tracebacks.

    Returns:
        1 when the deployment must not go on, `DEFERRED` when the migration is to come first.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--migrated", action="store_true", help="those of the database too; all tables are there")
    options = parser.parse_args()
    try:
        django.setup()
        databases = ["default"] if options.migrated and settings.DATABASES.get("default") else None
        call_command("check", deploy=True, fail_level="ERROR", databases=databases)
    except SystemCheckError as error:
        sys.stderr.write(f"{NAMED} found errors. Mend them, or set it to false\n{error}\n")
        return 1
    except FAILURES as error:
        if isinstance(error, Error) and not options.migrated:
            sys.stderr.write(f"{explained(error, f'{NAMED} wait for the migration')}\n")
            return DEFERRED
        sys.stdout.write(whole(error))
        sys.stderr.write(f"{explained(error, f'{NAMED} end with an error')}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
