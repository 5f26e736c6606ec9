"""Runs on a host as root: asks each running service which operational settings it runs with.

A process can't be made to tell what is in its memory. So for each, the same interpreter loads the settings once more from where
that process loaded them: with its environment and its credentials, as its account, and seeing the files that it sees (its mount
namespace). That this is what the process itself has loaded follows from the age of the files: they are older than the process
and nobody but root can write to them. Workers can tell what they have in memory, and the test compares that besides.

Prints JSON: for each unit (and for `operator`, the operators' command) the settings; `unchanged`: whether all files of settings
and runtime are older than the process.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

LIVE = "/opt/sample/live"
PYTHON = f"{LIVE}/venv/bin/python"
# What belongs to the running process alone, such as its line to systemd.
OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID")
# Secrets leave the host as a hash. `default=str`: what JSON doesn't know is compared by how it shows.
ASK = """
import hashlib, json, os
from importlib import import_module
from celery.app.utils import find_app
from celery_runtime.configuration import load
from celery_runtime.overlay import operational
from django.conf import settings
configuration = load()
app = find_app(configuration.celery_app)
app.loader.import_default_modules()
app.finalize(auto=True)
seen = {name: app.conf[name] for name in sorted({*operational(configuration), *configuration.celery_defaults})}
login, _, location = app.conf.broker_url.partition("@")
databases = {name: dict(one) for name, one in settings.DATABASES.items()}
seen["database_user"] = databases["default"].pop("USER", "")
databases["default"].pop("PASSWORD", None)
seen |= {"DATABASES": databases, "broker": location, "timezone": app.conf.timezone}
seen["broker_user"] = login.partition("//")[2].partition(":")[0]
seen["runtime"] = vars(configuration.runtime)
own = import_module(configuration.project_settings)
seen["project"] = {
    "database_user": own.DATABASES["default"].get("USER", ""),
    "database": own.DATABASES["default"].get("HOST", ""),
    "has_password": os.environ.get("POSTGRES_PASSWORD", "") == settings.DATABASES["default"].get("PASSWORD", ""),
    "has_broker": os.environ.get("CELERY_BROKER_URL") == app.conf.broker_url,
    "has_key": os.environ.get("DJANGO_SECRET_KEY") == settings.SECRET_KEY,
}
for name in ["DATABASES"]:
    seen[name] = hashlib.sha256(json.dumps(seen[name], default=str, sort_keys=True).encode()).hexdigest()
print("answer:" + json.dumps(seen, default=str, sort_keys=True))
"""


def answer(command, environment=None):
    """Run a command and return what it answers."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("answer:")]
    if len(lines) != 1:
        raise SystemExit(f"no answer of {command[0]}: {done.stdout}{done.stderr}")
    return json.loads(lines[0].removeprefix("answer:"))


def began(pid):
    """Return when a process began (seconds since 1970)."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def written(pid):
    """Return when the youngest file of the settings and the runtime that a process sees was written."""
    live = Path(f"/proc/{pid}/root{LIVE}")
    paths = [*live.glob("config/*"), *live.glob("runtime/**/*.py"), *live.glob("src/**/*.py")]
    if len(paths) < 10:
        raise SystemExit(f"{live}: too few files, so this would show nothing")
    return max(path.stat().st_mtime for path in paths)


def ask(pid):
    """Load the settings as a process has loaded them."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    environment = {name: value for name, value in environment.items() if name not in OWN}
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    account = [f"--setuid={status['Uid'].split()[0]}", f"--setgid={status['Gid'].split()[0]}"]
    return answer(["nsenter", f"--target={pid}", "--mount", "--wd", *account, PYTHON, "-c", ASK], environment)


def main():
    """Print what was found."""
    found = {"operator": answer(["/usr/local/sbin/sample-manage", "shell", "-c", ASK])}
    unchanged = {}
    for unit in sys.argv[1:]:
        shown = subprocess.run(
            ["systemctl", "show", "--value", "--property=MainPID", unit], capture_output=True, text=True, check=True
        )
        pid = int(shown.stdout)
        found[unit] = ask(pid)
        unchanged[unit] = written(pid) < began(pid)
    print(json.dumps({"settings": found, "unchanged": unchanged}))


if __name__ == "__main__":
    main()
