"""Runs on a host as root: uses Django's cache as a running service would, and tries what it may not do.

The interpreter runs with the environment and the credentials of the service's process, as its account, and seeing the files that it sees.
Arguments: the unit, and what to do: `fill` (put, then fill the cache up), `look` (what is there) or `try` (what Redis refuses). Prints JSON.
"""

import json
import subprocess
import sys
from pathlib import Path

PYTHON = "/opt/sample/live/venv/bin/python"
OWN = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID")
COMMON = """
import json, django
django.setup()
from django.core.cache import cache
def answer(value): print("answer:" + json.dumps(value))
"""
# Twice what fits, a MiB each.
FILL = """
cache.set("greeting", {"to": "ada"}, 600)
said = cache.get("greeting")
for number in range(128):
    cache.set(f"filler-{number}", b"x" * 2**20, 600)
answer({"said": said, "kept": sum(cache.has_key(f"filler-{number}") for number in range(128)), "newest": cache.has_key("filler-127")})
cache.clear()
cache.set("greeting", {"to": "ada"}, 600)
"""
LOOK = """
answer(cache.get("greeting"))
"""
TRY = """
from redis.exceptions import RedisError
client = cache._cache.get_client()
def attempt(words):
    try:
        return repr(client.execute_command(*words.split()))
    except RedisError as error:
        return type(error).__name__
answer({words: attempt(words) for words in (
    "PING", "CONFIG GET maxmemory", "CONFIG SET maxmemory 0", "ACL LIST", "FLUSHALL", "KEYS *", "SHUTDOWN", "MONITOR",
    "FUNCTION LIST", "DEBUG SLEEP 0",
)})
"""
ACTIONS = {"fill": FILL, "look": LOOK, "try": TRY}


def main() -> None:
    """Run the code in the service's place."""
    unit, action = sys.argv[1:]
    shown = ["systemctl", "show", "--value", "--property=MainPID", unit]
    pid = int(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    account = [f"--setuid={status['Uid'].split()[0]}", f"--setgid={status['Gid'].split()[0]}"]
    done = subprocess.run(
        ["nsenter", f"--target={pid}", "--mount", "--wd", *account, PYTHON, "-c", COMMON + ACTIONS[action]],
        env={name: value for name, value in environment.items() if name not in OWN},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.removeprefix("answer:") for line in done.stdout.splitlines() if line.startswith("answer:")]
    if len(lines) != 1:
        raise SystemExit(f"no answer: {done.stdout}{done.stderr}")
    print(json.dumps(json.loads(lines[0])))


main()
