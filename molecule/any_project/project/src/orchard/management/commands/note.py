"""Write a word into the diary."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Write a word into the diary."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the word."""
        parser.add_argument("word")

    def handle(self, *_: Any, word: str, **__: Any) -> None:
        """Write it."""
        with open(settings.DIARY, "a") as diary:  # noqa: PTH123 (environ's path is none of pathlib's)
            diary.write(f"{word}\n")
