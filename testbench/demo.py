"""The demo: a host, site.yml on it, and one registration followed from the request to the stored result."""

from __future__ import annotations

import argparse
import email
import email.policy
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from testbench import hosts, inventory, seed
from testbench.console import Problem, Steps, duration, paint, say
from testbench.front import Front
from testbench.podman import ROOT
from testbench.remote import Remote, Unit

TASK = "accounts.send_welcome_email"
# A worker takes a task at once; what is waited for longer than this went wrong.
PATIENCE = 30


@dataclass(frozen=True)
class Plan:
    """Which hosts the demo runs on, and where site.yml keeps what it generates for them on this machine."""

    scope: str
    inventory: Path
    secrets: Path

    @property
    def variables(self) -> dict[str, Any]:
        """Variables of the host that the demo shares with the playbooks, not yet templated."""
        listing = inventory.listing(self.inventory)
        found: dict[str, Any] = next(iter(listing["_meta"]["hostvars"].values()))
        return found

    @property
    def authority(self) -> Path:
        """Certificate of the authority that site.yml made for this environment."""
        return self.secrets / "ca" / "ca.pem"

    def secret(self, name: str) -> str:
        """Return a secret that site.yml generated for this environment."""
        path = self.secrets / name
        if not path.exists():
            raise Problem(f"There is no {inventory.shown(path)}; site.yml generates it.")
        return path.read_text().split()[0]


def converge(folder: Path) -> None:
    """Run site.yml for an inventory, its output as it comes."""
    command = ["ansible-playbook", "-i", inventory.shown(folder), "site.yml"]
    say(paint(f"  $ {' '.join(command)}", "dim"))
    status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode
    if status != 0:
        raise Problem(f"site.yml exited {status}; the failed task stands above.")


def register(front: Front, person: dict[str, str]) -> int:
    """Register a person over HTTPS; return the new user's number."""
    say(f"  POST https://{front.address}/register/  {json.dumps(person)}")
    status, text, milliseconds = front.request("POST", "/register/", person)
    say(
        f"  {paint(str(status), 'green' if status == 201 else 'red')} in "
        f"{paint(f'{milliseconds:.0f} ms', 'bold')}  {text.strip()[:300]}"
    )
    if status != 201:
        raise Problem(f"The site answered {status} where 201 was expected.")
    return int(json.loads(text)["id"])


def find_mail(folder: Path, recipient: str) -> EmailMessage | None:
    """Return the mail to a recipient, if the sink has it."""
    for path in sorted(folder.glob("*.eml"), reverse=True):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if recipient in str(message["to"]) and isinstance(message, EmailMessage):
            return message
    return None


def show_mail(folder: Path, recipient: str, since: float) -> None:
    """Wait for the mail and print it."""
    while (message := find_mail(folder, recipient)) is None:
        if time.monotonic() - since > PATIENCE:
            raise Problem(f"No mail to {recipient} within {PATIENCE} s; the sink's log is {folder.parent}/sink.log.")
        time.sleep(0.05)
    say(f"  received {paint(duration(time.monotonic() - since), 'bold')} after the request")
    for header in ("From", "To", "Subject", "Date", "Message-ID"):
        say(f"  {paint('│', 'dim')} {header}: {message[header]}")
    body = message.get_body(preferencelist=("plain",))
    for line in ["", *(body.get_content() if body else "(no text part)").strip().splitlines()]:
        say(f"  {paint('│', 'dim')} {line}")


def show_result(remote: Remote, app: str, user: int) -> str:
    """Print the stored result of the user's task; return the task's number."""
    row = remote.stored_result(app, TASK, f"'user_id': {user}", PATIENCE)
    if row is None:
        raise Problem(f"No result of {TASK} for user {user} in the database.")
    for name, value in row.items():
        say(f"  {name:<13} {paint(value, 'green') if value == 'SUCCESS' else value}")
    if row["status"] != "SUCCESS":
        raise Problem(f"The task ended with {row['status']}.")
    return row["task_id"]


def show_flower(front: Front, task: str, login: str) -> None:
    """Print what Flower says of the task, and that it says nothing without the login."""
    status, _, _ = front.request("GET", "/flower/api/workers")
    say(f"  without the login: {paint(str(status), 'green' if status == 401 else 'red')}")
    if status != 401:
        raise Problem(f"Flower answered {status} without a login; it should refuse with 401.")
    deadline = time.monotonic() + PATIENCE
    path = f"/flower/api/task/info/{task}"
    while True:
        status, text, milliseconds = front.request("GET", path, login=login)
        # Flower learns of a task from its events, a moment later.
        if status == 200 and json.loads(text).get("state") == "SUCCESS":
            break
        if time.monotonic() > deadline:
            raise Problem(f"Flower answered {status} for {path}: {text.strip()[:200]}")
        time.sleep(0.2)
    seen = json.loads(text)
    say(
        f"  with it: {status} in {milliseconds:.0f} ms  {seen['name']} {paint(seen['state'], 'green')} "
        f"on {seen.get('worker') or '?'}, ran {float(seen.get('runtime') or 0) * 1000:.0f} ms"
    )


def show_units(units: list[Unit]) -> None:
    """Print the units as a table; complain of one that failed."""
    rows = [("unit", "state", "since", "memory", "exposure")]
    rows += [(unit.name, unit.state, unit.since, unit.memory, unit.score) for unit in units]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for number, row in enumerate(rows):
        line = "  ".join(
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        colour = "dim" if number == 0 else "red" if "failed" in row[1] else ""
        say(f"  {paint(line, colour) if colour else line}")
    say(paint("  exposure: systemd-analyze security, 0 (closed) to 10 (open)", "dim"))
    failed = [unit.name for unit in units if "failed" in unit.state]
    if failed or not units:
        raise Problem(f"Failed units: {', '.join(failed)}" if failed else "No unit of the stack was found.")


def show_logins(plan: Plan, address: str, admin: str) -> None:
    """Print where to look, and the generated logins."""
    site = f"https://{address}"
    for what, where, login, name in (
        ("Site", f"{site}/register/", "", ""),
        ("Admin", f"{site}/admin/", admin, "admin_password"),
        ("Flower", f"{site}/flower/", "flower", "flower_password"),
    ):
        credentials = f"{login} / {plan.secret(name)}" if login else ""
        say(f"  {what:<7}{paint(f'{where:<34}', 'cyan')} {credentials}".rstrip())
    authority = inventory.shown(plan.authority)
    say(
        paint(
            f"  The certificate comes from an authority of this environment's own: let your browser trust {authority},",
            "dim",
        )
    )
    say(paint(f"  or ask with `curl --cacert {authority} {site}/healthz`.", "dim"))
    say(paint("  The passwords stand in .secrets/local/. `make demo-down` removes the host.", "dim"))


def bring_up(plan: Plan, steps: Steps) -> Remote:
    """Bring the host and the mail sink up."""
    state = hosts.state_of(plan.scope)
    with steps.step("Bring up the host and the mail sink"):
        mail_port = int(plan.variables.get("stack_mail_port", hosts.MAIL_PORT))
        addresses = hosts.up(plan.scope, plan.inventory, mail_port)
        seed.prepare(inventory.read(plan.inventory, plan.scope), state)
    return Remote(next(iter(addresses.values())), state)


def follow(plan: Plan, remote: Remote, steps: Steps) -> None:
    """Register somebody and follow what happens."""
    known = plan.variables
    front = Front(remote.address, plan.authority)
    person = {"email": f"ada.{int(time.time())}@example.com", "name": "Ada Example"}
    with steps.step("Register a new user over HTTPS"):
        asked = time.monotonic()
        user = register(front, person)
    with steps.step("The e-mail, as the mail server received it"):
        show_mail(remote.state / "mail", person["email"], asked)
    with steps.step("The stored result, from PostgreSQL"):
        task = show_result(remote, str(known.get("stack_app", "sample")), user)
    with steps.step("The task, as Flower sees it"):
        show_flower(front, task, f"flower:{plan.secret('flower_password')}")
    with steps.step("The units"):
        show_units(remote.units())
    with steps.step("Where to look"):
        show_logins(plan, remote.address, str(known.get("django_project_superuser", "admin")))


def show_journal(remote: Remote) -> None:
    """Print the end of the units' journal; a host that can't be asked is said so."""
    say(paint("\nThe end of the units' journal on the host", "bold"))
    try:
        say(remote.journal())
    except Problem as problem:
        say(f"  it can't be read: {problem}")


def ended(steps: Steps, problem: Problem | None, remote: Remote | None) -> int:
    """Say how long each step took, and what went wrong; return the exit status.

    Args:
        steps: what was done.
        problem: what went wrong.
        remote: the host whose journal may say why, where there is one.
    """
    if problem and remote:
        show_journal(remote)
    say(paint("\nSteps", "bold"))
    say(steps.table())
    if problem:
        print(paint(f"\nERROR: {problem}", "red"), file=sys.stderr)
    return 1 if problem else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; on failure say what failed and show the end of the journal."""
    parser = argparse.ArgumentParser(prog="python -m testbench.demo", description=__doc__)
    parser.add_argument("--scope", default="local", help="as for testbench.hosts (default: local)")
    parser.add_argument(
        "--inventory",
        type=Path,
        default=ROOT / "inventories/local",
        help="folder of the inventory (default: inventories/local)",
    )
    options = parser.parse_args(arguments)
    plan = Plan(options.scope, options.inventory, ROOT / ".secrets" / options.inventory.name)
    steps = Steps()
    remote = None
    problem = None
    try:
        remote = bring_up(plan, steps)
        with steps.step("Run site.yml"):
            converge(plan.inventory)
        follow(plan, remote, steps)
    except Problem as error:
        problem = error
    return ended(steps, problem, remote)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
