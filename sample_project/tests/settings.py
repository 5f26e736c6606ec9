"""The project's settings for a test run, whatever the caller's environment says."""

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

SCRATCH = Path(tempfile.mkdtemp(prefix="sample-tests-"))

for name in ("CREDENTIALS_DIRECTORY", "SENTRY_DSN", "HTTPS", "BROKER_URL", "EMAIL_HOST"):
    os.environ.pop(name, None)
# A database in a file, not in memory: a worker is another process and must see it. TEST_DATABASE_URL names a
# PostgreSQL server instead, where Django makes and removes a database called test_….
url = os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{SCRATCH}/unused.sqlite3"
os.environ.update(DEBUG="1", DATABASE_URL=url, MEDIA_ROOT=str(SCRATCH / "media"))

from sample.settings import *  # noqa: E402, F403 - after the environment it reads, and all of it: this is a settings module
from sample.settings import DATABASES  # noqa: E402 - as above

# What the worker is told.
if url.startswith("sqlite:"):
    TEST_DATABASE_URL = f"sqlite:///{SCRATCH}/test.sqlite3"
    DATABASES["default"]["TEST"] = {"NAME": f"{SCRATCH}/test.sqlite3"}
else:
    TEST_DATABASE_URL = urlsplit(url)._replace(path=f"/test_{urlsplit(url).path.lstrip('/')}").geturl()
