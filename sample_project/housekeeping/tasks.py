"""Cleaning, and an echo for smoke tests."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from celery import shared_task
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field

from housekeeping.files import remove_older_than

# Below MEDIA_ROOT: where the application puts what nobody needs for long.
TEMPORARY = "tmp"


class CleaningJob(BaseModel):
    """How old a file may become. At least a day: a slip to 0 would remove what is being written."""

    model_config = ConfigDict(extra="forbid", strict=True)

    days: Annotated[int, Field(ge=1, le=3650)]


class Echo(BaseModel):
    """What an echo brings back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: Annotated[str, Field(max_length=200)] = ""
    numbers: Annotated[list[int], Field(max_length=100)] = []


@shared_task(name="housekeeping.remove_old_files", pydantic=True, pydantic_strict=True)
def remove_old_files(job: CleaningJob) -> dict[str, int]:
    """Remove temporary files that nobody has touched for so many days. Run twice, it finds nothing more."""
    root = Path(settings.MEDIA_ROOT, TEMPORARY)
    return asdict(remove_older_than(root, time.time() - job.days * 24 * 3600))


@shared_task(name="housekeeping.echo", pydantic=True, pydantic_strict=True)
def echo(job: Echo) -> dict[str, Any]:
    """Return the input and the sum of its numbers: proof that a message went round."""
    return {**job.model_dump(), "sum": sum(job.numbers)}
