"""What README.md says to those who use the runtime without Ansible: its files are taken from there, and its commands are run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from celery_runtime.configuration import Configuration, Runtime
from celery_runtime.parts import PARTS
from conftest import HERE, wait_for

README = (HERE.parent / "README.md").read_text()
DATABASE = {"ENGINE": "django.db.backends.sqlite3"}


def written(name: str) -> str:
    """Return a file as the page shows it."""
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```\w+\n(.*?)```\n", README, re.DOTALL)
    assert found is not None
    return found[1]


def table(title: str) -> list[str]:
    """Return the first column of the first table under a title, without its head."""
    section = README.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [line.split("|")[1].strip().strip("`") for line in section.splitlines() if line.startswith("| ")][1:]


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def work(environment: dict[str, str], folder: Path, app: str, code: str) -> str:
    """Start a worker as the page says, run code that waits for a result, stop the worker; return what it logged."""
    log = folder / "worker.log"
    command = [
        "-m",
        "celery",
        "--app",
        app,
        "worker",
        "--hostname",
        "main@%h",
        "--loglevel",
        "INFO",
        "--concurrency",
        "1",
    ]
    with log.open("wb") as output:
        worker = subprocess.Popen([sys.executable, *command], env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: " ready." in log.read_text() or worker.poll() is not None, "the worker")
        assert worker.poll() is None, log.read_text()
        run(environment, "-c", code)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    return log.read_text()


def test_a_django_project_runs_by_the_page(server: Any, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("from .celery import app\n")
    (shop / "celery.py").write_text(
        "import os\n"
        "from celery import Celery\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n"
        "app = Celery('shop')\n"
        "app.config_from_object('django.conf:settings', namespace='CELERY')\n"
        "@app.task\n"
        "def add(one, other):\n"
        "    return one + other\n"
    )
    (shop / "settings.py").write_text(
        f"SECRET_KEY = 'made up'\nUSE_TZ = True\nCELERY_BROKER_URL = {server.url!r}\n"
        f"DATABASES = {{'default': {DATABASE | {'NAME': str(tmp_path / 'database')}!r}}}\n"
    )
    file = tmp_path / "runtime.json"
    file.write_text(written("runtime.json"))
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "CELERY_RUNTIME_CONFIG": str(file),
        "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
    }
    run(environment, "-m", "django", "migrate", "--verbosity=0")
    assert json.loads(run(environment, "-m", "celery_runtime.probe"))["tasks"] == ["shop.celery.add"]
    log = work(
        environment,
        tmp_path,
        "shop",
        "import django; django.setup(); from shop.celery import add; assert add.delay(1, 2).get(timeout=60) == 3",
    )
    assert "WARNING" not in log, log
    assert "no dead letters" in run(environment, "-m", "celery", "--app", "shop", "dead-letters", "list")
    assert "removed 0" in run(environment, "-m", "django", "clean_results", "--days=30")


def test_a_project_without_django_runs_by_the_page(server: Any, tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(written("jobs.py"))
    content = json.loads(written("runtime.json"))
    content |= {"celery_app": "jobs", "project_settings": "none"}
    content["celery"] |= {"broker_url": server.url, "result_backend": server.url.replace("/0", "/1")}
    content["runtime"]["parts"] = [
        part for part in content["runtime"]["parts"] if part not in ("results", "database", "beat")
    ]
    (tmp_path / "runtime.json").write_text(json.dumps(content))
    # A Django that is imported is one that is needed.
    (tmp_path / "django.py").write_text("raise ImportError('there is no Django')\n")
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "CELERY_RUNTIME_CONFIG": str(tmp_path / "runtime.json"),
    }
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    log = work(environment, tmp_path, "jobs", "from jobs import add; assert add.delay(1, 2).get(timeout=60) == 3")
    assert "celery_runtime.transport" in run(
        environment, "-c", "import jobs; print(type(jobs.app.connection().transport).__module__)"
    )
    assert "Traceback" not in log, log


def test_the_tables_are_those_of_the_code() -> None:
    configuration = [field.name for field in fields(Configuration) if field.name != "runtime"]
    assert table("The file") == configuration + [f"runtime.{field.name}" for field in fields(Runtime)]
    assert tuple(table("The parts")) == PARTS


def test_each_module_has_its_place() -> None:
    package = HERE.parent / "src/celery_runtime"
    named = {name.strip("` ") for cell in table("Find your way in the sources") for name in cell.split(",")}
    named |= {"__init__.py", "parts.py"}
    assert named == {path.name for path in package.glob("*.py")} | {"lua/"}
