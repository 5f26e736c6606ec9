"""What `make example E=patchman` does on the site: it logs in, and sends a report as a host of the fleet does."""

from __future__ import annotations

import re
import time

from testbench.browser import Browser
from testbench.console import Problem, say

# It reads a report: which packages the host has, and from which repositories.
TASK = "reports.tasks.process_report"
# Nobody but beat sends it, every five minutes. A scheduler with a file names no entry in a task's result.
BEAT_TASK = "reports.tasks.process_reports"
# A worker reads a report at once; what is waited for longer than this went wrong (s).
PATIENCE = 60
PACKAGES = "'bash' '' '5.2.37' '2' 'amd64' 'deb'\n'openssl' '' '3.5.1' '1' 'amd64' 'deb'\n"


def known(browser: Browser, host: str, package: str) -> None:
    """Wait until the site says that a host has a package."""
    path = f"/api/host/?hostname={host}&package_name={package}"
    deadline = time.monotonic() + PATIENCE
    while (number := browser.get(path).json()["count"]) == 0 and time.monotonic() < deadline:
        time.sleep(0.5)
    say(f"  GET {path} count {number}")
    if number != 1:
        raise Problem(f"Patchman knows no host {host} with {package} {PATIENCE} s after its report.")


def follow(browser: Browser, user: str, password: str) -> tuple[str, str]:
    """Log in, send a report of a host; return the task that reads it, and what its arguments hold."""
    page = browser.submit("/login/", {"username": user, "password": password})
    say(f"  logged in as {user}: {page.status} {page.url}")
    if page.status != 200 or "/login/" in page.url:
        raise Problem(f"Patchman didn't let {user} in.")
    host = f"host{int(time.time())}.example.org"
    report = {
        "host": host,
        "os": "Debian 13.1",
        "kernel": "6.12.48+deb13-amd64",
        "arch": "x86_64",
        "protocol": "1",
        "packages": PACKAGES,
    }
    answer = browser.post("/reports/upload/", "", report)
    say(f"  POST /reports/upload/ {answer.status}  {host}")
    if answer.status != 204:
        raise Problem(f"Patchman took no report: {answer.text[:500]}")
    listed = browser.get(f"/reports/?search={host}")
    numbers = re.findall(r"/reports/(\d+)/", listed.text)
    if not numbers:
        raise Problem(f"{listed.url} lists no report of {host}.")
    known(browser, host, "openssl")
    return TASK, f"({numbers[0]},)"
