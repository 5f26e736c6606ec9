"""The host that the faults are done to: its shell, its broker and database, its network and its power."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from testbench.console import Problem
from testbench.faults.account import Seen
from testbench.podman import as_root, podman, run, text

Found = TypeVar("Found")
# Between two looks at the host; each look costs it a few processes.
PAUSE = 0.5
REDIS_PORT = 6379
FIREWALL = ("INPUT", "-i", "lo", "-p", "tcp", "-m", "multiport", "--ports", str(REDIS_PORT), "-j", "DROP")

SEEN = """
select json_build_object(
  'deliveries', (select coalesce(json_agg(d), '[]') from
    (select job, task_id, node, process, retries, at from jobs_delivery where job like '{run}-%') d),
  'effects', (select coalesce(json_agg(e), '[]') from (select job, node, at from jobs_effect where job like '{run}-%') e),
  'results', (select coalesce(json_agg(r), '[]') from
    (select task_id, status, extract(epoch from date_done)::float as at, left(result, 300) as result
     from django_celery_results_taskresult
     where task_id like '{run}-%' or task_id in (select task_id from jobs_delivery where job like '{run}-%')) r))
"""
VERSIONS = """
. /etc/os-release; echo "Debian=$(cat /etc/debian_version)"
echo "systemd=$(systemctl --version | sed -n '1s/systemd \\([0-9]*\\).*/\\1/p')"
echo "Redis=$(redis-server --version | sed 's/.*v=\\([0-9.]*\\).*/\\1/')"
echo "PostgreSQL=$(psql --version | sed 's/.*) \\([0-9.]*\\).*/\\1/')"
/opt/{app}/current/venv/bin/python - <<'END'
import platform
from importlib.metadata import version
print("Python=" + platform.python_version())
for name in ("Django", "celery", "kombu", "redis", "psycopg", "django-celery-beat", "django-celery-results"):
    print(f"{{name}}={{version(name)}}")
END
"""


def wait_for(look: Callable[[], Found], patience: float) -> Found | None:
    """Look until there is something to see and return it; None when there is nothing after so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            if seen := look():
                return seen
        except Problem:
            # The host or its database is away just now: that is what is waited for to end.
            pass
        if time.monotonic() > deadline:
            return None
        time.sleep(PAUSE)


@dataclass(frozen=True)
class Target:
    """A host that is up.

    Attributes:
        container: name of its container.
        address: where its site is met.
        authority: certificate that the site's must come from.
        app: `stack_app`, by which its commands, database and files are named.
    """

    container: str
    address: str
    app: str
    authority: Path
    _processes: list[str] = field(default_factory=list, compare=False)

    def sh(self, script: str, *, check: bool = True) -> str:
        """Run a shell script as root and return what it printed.

        Raises:
            Problem: it exited with another status than 0, and that is checked.
        """
        # Not by `podman exec`: the host is looked at twice a second, and that would cost half of a CPU.
        inside = ["nsenter", "--target", self._process(), "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        return run(as_root([*inside, "sh", "-c", script]), check=check).stdout.decode()

    def _process(self) -> str:
        """Return the number of the host's first process, as this machine counts."""
        if not self._processes:
            self._processes.append(text("inspect", "--format", "{{.State.Pid}}", self.container))
        return self._processes[0]

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl."""
        return self.sh(shlex.join(["systemctl", *words]), check=check)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.systemctl("show", f"--property={name}", "--value", unit).strip()

    def active(self, units: tuple[str, ...]) -> bool:
        """Tell whether all of these units are active."""
        states = self.systemctl("is-active", *units, check=False).split()
        return states == ["active"] * len(units)

    def redis(self, command: str) -> str:
        """Run redis-cli as the administrator, whose password stands in the environment only."""
        between = r's,^requirepass "\(.*\)"$,\1,p'
        return self.sh(
            f"REDISCLI_AUTH=$(sed -n '{between}' /etc/redis/access.conf) redis-cli -s /run/redis/redis-server.sock {command}"
        )

    def log_is_written(self) -> bool:
        """Tell whether all that Redis has answered for is in its log.

        While the disk is busy with a flush, `everysec` puts off writing by up to 2 s, and answers all the same: docs/reliability.md says what
        is lost then. The rows of the table are about a Redis that has written.
        """
        said = self.redis("INFO persistence").split()
        return "aof_enabled:0" in said or {"aof_pending_bio_fsync:0", "aof_buffer_length:0"} <= set(said)

    def sql(self, query: str) -> str:
        """Run a query as the database's administrator and return its one value."""
        return self.sh(f"runuser -u postgres -- psql -X -q -A -t -d {self.app} -c {shlex.quote(query)}").strip()

    def dead_letters(self) -> frozenset[str]:
        """Return the ids of the messages that were given up."""
        return frozenset(self.redis("HKEYS celery_runtime:dead_letters").split())

    def seen(self, run: str) -> Seen:
        """Return what is known of a run's jobs.

        Raises:
            Problem: the database or the broker doesn't answer.
        """
        found: dict[str, Any] = json.loads(self.sql(SEEN.format(run=run)))
        return Seen(**found, dead=self.dead_letters())

    def versions(self) -> dict[str, str]:
        """Return the versions of what runs there."""
        lines = self.sh(VERSIONS.format(app=self.app)).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, since: float, lines: int = 60) -> str:
        """Return the end of the journal of the stack's units since a time (s since 1970)."""
        units = "--unit='celery-*' --unit='django-web*' --unit='redis-server*' --unit='postgresql@*'"
        return self.sh(
            f"journalctl --no-pager --output=short-iso --since=@{int(since)} --lines={lines} {units}", check=False
        )

    def cut_broker(self) -> None:
        """Drop every packet to and from the broker, without a word to either side."""
        self._firewall("-I")

    def join_broker(self) -> None:
        """Let the packets pass again."""
        while run(as_root(self._firewall_command("-C")), check=False).returncode == 0:
            self._firewall("-D")

    def _firewall(self, action: str) -> None:
        run(as_root(self._firewall_command(action)))

    def _firewall_command(self, action: str) -> list[str]:
        # From outside, into the host's network: the host itself needs no tool for it.
        return ["nsenter", "--target", self._process(), "--net", "iptables", "--wait", action, *FIREWALL]

    def power_off(self) -> None:
        """Kill every process of the host at once, as a power cut would (the page cache of this machine stays)."""
        podman("kill", "--signal", "KILL", self.container)
        podman("wait", self.container, check=False)
        self._processes.clear()

    def power_on(self) -> None:
        """Boot the host; returns when its first process runs."""
        podman("start", self.container)
        self._processes.clear()
