"""Writes what is sent to the journal into the file that $JOURNAL names, a JSON document a line."""

import json
import os
from pathlib import Path
from typing import Any


def send(**fields: Any) -> None:
    """Write one entry."""
    with Path(os.environ["JOURNAL"]).open("a") as journal:
        journal.write(json.dumps(fields, default=str) + "\n")


def sendv(*_: bytes) -> None:
    """Be there: Ansible takes it for the sign that this is the right library."""
