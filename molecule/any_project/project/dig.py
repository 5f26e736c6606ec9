#!/usr/bin/env python
"""Django's command line, under the name that this project gives it."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "src"))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchard.conf.knobs")
    execute_from_command_line(sys.argv)
