"""Processes and timers of the project's own: who runs where, as what, with which rights, and what is refused."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import processes
import pytest
import yaml
from conftest import ROOT, Role

GROUPS = {
    "all": ["a", "b", "web1", "db"],
    "app": ["a", "b", "web1"],
    "workers": ["a", "b"],
    "web": ["web1"],
    "database": ["db"],
}
CONSUMER = {"name": "consumer", "manage": "consume --topic orders"}
NIGHTLY = {"name": "nightly", "manage": ["clear_sessions"], "calendar": "*-*-* 03:00:00"}
LOGIN = {
    "broker_url": "/c/broker_url_process",
    "database_user": "/c/database_user_process",
    "database_password": "/c/database_password_process",
    "secret_key": "/c/secret_key",
    "api_token": "/c/api_token",
    "sentry_dsn": "/c/sentry_dsn",
}


def faults(process_list: Any = (), timers: Any = ()) -> list[str]:
    return processes.process_faults(list(process_list), list(timers), GROUPS, GROUPS["app"])


def here(host: str, entries: list[dict[str, Any]], alone: bool = False) -> list[str]:
    return [one["name"] for one in processes.processes_of_host(entries, host, GROUPS, alone)]


def test_a_process_runs_on_all_hosts_of_its_group_and_a_single_one_or_a_timer_on_the_first() -> None:
    entries = [
        CONSUMER,
        NIGHTLY,
        {"name": "bot", "program": "bot", "single": True},
        CONSUMER | {"name": "w", "group": "web"},
    ]
    assert here("a", entries) == ["consumer", "nightly", "bot"]
    assert here("b", entries) == ["consumer"]
    assert here("web1", entries) == ["w"]
    assert here("db", entries) == []
    # A host with a broker of its own is a deployment of its own.
    assert here("b", entries, alone=True) == ["consumer", "nightly", "bot"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"name": "Bot"}, ["stack_processes[0]", "name", "lower-case"]),
        ({"name": "n" * 25}, ["at most 24"]),
        ({"manage": None}, ["manage", "program"]),
        ({"program": "bot"}, ["both"]),
        ({"manage": None, "program": "/usr/bin/bot"}, ["program", "environment"]),
        ({"manage": "consume 'x"}, ["manage", "quot"]),
        ({"manage": ""}, ["manage", "empty"]),
        ({"calendar": "daily"}, ["unknown key 'calendar'", "known:"]),
        ({"group": "nobody"}, ["group 'nobody'"]),
        ({"group": "database"}, ["group 'database'", "db", "app"]),
        ({"watchdog": 60}, ["watchdog", "notify: true"]),
        ({"notify": True, "watchdog": 5}, ["watchdog", "10"]),
        ({"memory_mib": 0}, ["memory_mib", "above 0"]),
        ({"memory_mib": True}, ["memory_mib"]),
        ({"connections": -1}, ["connections"]),
        ({"egress": ["api.example.com"]}, ["egress", "api.example.com", "name"]),
        ({"egress": "any"}, ["egress", "list"]),
        ({"exec_paths": ["git"]}, ["exec_paths", "git"]),
        ({"writable": ["../x"]}, ["writable", "../x"]),
        ({"writable": ["/srv/x"]}, ["writable", "/srv/x"]),
        ({"credentials": "all"}, ["credentials", "list"]),
        ({"listens": "sure"}, ["listens", "true or false"]),
    ],
)
def test_what_can_t_work_is_refused_with_the_variable_and_the_mend(entry: dict[str, Any], words: list[str]) -> None:
    wrong = {name: value for name, value in (CONSUMER | entry).items() if value is not None}
    text = "; ".join(faults([wrong]))
    assert [word for word in words if word not in text] == [], text


def test_right_entries_are_no_faults() -> None:
    assert (
        faults([CONSUMER, {"name": "bot", "program": ["bot", "--x"], "single": True, "egress": ["any"]}], [NIGHTLY])
        == []
    )


def test_names_are_used_once_in_both_lists_together() -> None:
    (text,) = faults([CONSUMER], [NIGHTLY | {"name": "consumer"}])
    assert "'consumer' is used twice" in text


def test_a_timer_needs_a_calendar() -> None:
    (text,) = faults([], [{"name": "x", "manage": "y"}])
    assert "stack_timers[0]" in text and "calendar" in text
    (text,) = faults([], [NIGHTLY | {"calendar": "daily\nOnBootSec=1"}])
    assert "calendar" in text


def test_what_is_no_list_of_entries_is_refused() -> None:
    assert "stack_processes" in processes.process_faults({"a": 1}, [], GROUPS, [])[0]
    assert "stack_timers[0]" in faults([], ["daily"])[0]


OPTIONS = {
    "prefix": "",
    "python": "/opt/shop/live/venv/bin/python",
    "programs_dir": "/opt/shop/live/venv/bin",
    "user": "django",
    "account_per_entry": True,
    "state_dir": "/var/lib/shop",
    "restart_on": ["/opt/shop/current"],
    "peers": ["192.0.2.9"],
    "target": "shop.target",
}
UNIT = {
    "group": "shop",
    "part_of": ["shop.target"],
    "wanted_by": ["shop.target"],
    "credentials": LOGIN,
    "egress": ["192.0.2.25"],
}


def units(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    filled = processes.processes_of_host(list(entries), "a", GROUPS, False)
    return processes.process_units(filled, UNIT, OPTIONS)


def test_entries_can_share_one_account() -> None:
    filled = processes.processes_of_host([CONSUMER], "a", GROUPS, False)
    (unit,) = processes.process_units(filled, UNIT, {**OPTIONS, "account_per_entry": False})
    assert unit["user"] == "django"


def test_a_process_is_a_unit_with_an_account_of_its_own() -> None:
    (unit,) = units(CONSUMER)
    assert unit["name"] == "django-process@consumer.service"
    assert unit["user"] == "django_consumer"
    assert unit["exec_start"] == "/opt/shop/live/venv/bin/python -m django consume --topic orders"
    assert unit["part_of"] == unit["wanted_by"] == ["shop.target"]
    assert unit["egress"] == ["192.0.2.25"]
    assert unit["read_write_paths"] == ["/var/lib/shop/media"]
    assert (unit["directives"]["Type"], unit["directives"]["Restart"]) == ("exec", "always")
    assert unit["directives"]["MemoryMax"] == "256M"
    assert unit["restart_on"] == ["/opt/shop/current", *LOGIN.values()]


def test_a_program_of_the_release_s_environment() -> None:
    (unit,) = units({"name": "bot", "program": ["bot", "--greeting", '50% of $HOME; "hi" \\']})
    assert unit["exec_start"].startswith("/opt/shop/live/venv/bin/bot --greeting ")
    assert unit["exec_start"].endswith(r'"50%% of $$HOME; \"hi\" \\"')


def test_a_process_that_tells_when_it_is_ready() -> None:
    (unit,) = units(CONSUMER | {"notify": True, "watchdog": 30})
    assert (unit["directives"]["Type"], unit["directives"]["NotifyAccess"], unit["watchdog"]) == ("notify", "main", 30)


def test_a_process_has_its_own_limits_and_ways_out() -> None:
    (unit,) = units(
        CONSUMER
        | {
            "memory_mib": 512,
            "threads": 9,
            "cpu_weight": 200,
            "egress": [],
            "exec_paths": ["/usr/bin/git"],
            "listens": True,
            "writable": ["index"],
        }
    )
    assert unit["directives"]["MemoryMax"] == "512M"
    assert (unit["directives"]["TasksMax"], unit["directives"]["CPUWeight"]) == (9, 200)
    # As for a pool: broker and database, whatever it says.
    assert unit["egress"] == ["192.0.2.9"]
    assert (unit["exec_paths"], unit["listens"], unit["read_write_paths"]) == (
        ["/usr/bin/git"],
        True,
        ["/var/lib/shop/index"],
    )


def test_a_process_finds_only_the_credentials_that_it_needs() -> None:
    def found(**entry: Any) -> dict[str, str]:
        return units(CONSUMER | entry)[0]["credentials"]

    assert found() == LOGIN
    assert "broker_url" not in found(broker=False)
    assert {"database_user", "database_password"} & set(found(database=False)) == set()
    only = found(credentials=["api_token"])
    # A key that opens nothing stands for Django's, so that settings load.
    assert only["secret_key"] == "/c/secret_key_process"
    assert "sentry_dsn" not in only
    assert only["api_token"] == "/c/api_token"


def test_a_timer_starts_a_service_that_runs_once_at_a_time() -> None:
    service, timer = units(NIGHTLY | {"time_limit": 90, "random_delay": 7})
    assert (service["name"], timer["name"]) == ("django-timer@nightly.service", "django-timer@nightly.timer")
    assert service["directives"]["Type"] == "oneshot"
    assert service["directives"]["TimeoutStartSec"] == 90
    # It runs by the clock: no boot and no deployment starts it, and a run that is under way ends on the release that it began with.
    assert (service["wanted_by"], service.get("state"), service.get("enabled")) == ([], None, None)
    assert timer["directives"] == {"OnCalendar": ["*-*-* 03:00:00"], "RandomizedDelaySec": 7, "Persistent": True}
    assert (timer["enabled"], timer["state"], timer["part_of"]) == (True, "started", ["shop.target"])


def stack(**variables: Any) -> Role:
    return Role("stack", inventory_hostname="a", inventory_dir="/i", groups=GROUPS, stack_app="shop", stack_broker_seed="s" * 32,
                stack_secret_key="k" * 50, stack_database_password="o" * 20, **variables)  # fmt: skip


def test_processes_have_logins_of_their_own_and_without_any_there_are_none() -> None:
    with_one, without = stack(stack_processes=[CONSUMER]), stack()
    assert with_one.evaluate("stack_logins.process.broker_url") == "/etc/shop/credentials/broker_url_process"
    assert with_one.evaluate("stack_logins.process.database_user") == "/etc/shop/credentials/database_user_process"
    roles = with_one.evaluate("stack_database_roles")
    assert next(role for role in roles if role["name"] == "shop_process")["share"] > 0
    assert sum(role["share"] for role in roles) < 1
    assert {"broker_url_process", "secret_key_process"} < set(with_one.evaluate("stack_credentials"))
    assert not any("process" in name for name in without.evaluate("stack_credentials"))
    assert not any("process" in role["name"] for role in without.evaluate("stack_database_roles"))


def test_a_process_may_send_tasks_and_not_take_them() -> None:
    import broker_users

    web, process = broker_users.broker_users(["high"], {"web": "w", "process": "p"})
    assert process["name"] == "process"
    assert process["rules"] == web["rules"]


def test_the_plan_of_the_pools_leaves_memory_to_the_processes() -> None:
    def plan(reserved: int) -> dict[str, Any]:
        worker = Role(
            "celery_worker", facts={"processor_nproc": 8, "memtotal_mb": 4096}, celery_worker_reserved_mib=reserved
        )
        return worker.evaluate("__celery_worker_plan")

    assert plan(2048)["budget_mib"] == plan(0)["budget_mib"] // 2
    (error,) = plan(3800)["errors"]
    assert "3800 MiB" in error and "stack_processes" in error


@pytest.mark.parametrize("group", [None, "workers", "app"])
def test_a_host_that_left_the_application_loses_them(group: str | None) -> None:
    from test_retire import wired

    gone = wired({group} if group else set())["retire_units"]
    assert ("django-process@*.service" in gone) == (group == "app")


def test_they_are_stopped_where_they_left_before_they_start_elsewhere() -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks/processes.yml").read_text())
    assert play["hosts"] == "all"
    tasks = yaml.safe_load((ROOT / "roles/django_processes/tasks/main.yml").read_text())
    names = [task["name"] for task in tasks]
    assert names.index("Stop and remove what no longer runs here") < names.index("Run the processes and the timers")


def test_units_are_right_to_systemd(tmp_path: Any, role: Any) -> None:
    filled = processes.processes_of_host([CONSUMER | {"notify": True, "watchdog": 30}, NIGHTLY], "a", GROUPS, False)
    wanted = processes.process_units(filled, UNIT, OPTIONS)
    files = role("systemd_unit", systemd_unit_units=wanted).evaluate(
        "lookup('plainhost.stack.rendered_files', 'unit.j2', "
        "systemd_unit_units | map('plainhost.stack.unit_file') | list)"
    )
    paths = []
    for file in files:
        path = tmp_path / file["dest"].rpartition("/")[2]
        path.write_text(re.sub(r"^(ExecStart)=[^ ]*", r"\1=/bin/true", file["content"], flags=re.MULTILINE))
        paths.append(str(path))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *paths], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stderr


def test_a_run_that_is_under_way_is_not_begun_anew() -> None:
    import unit_state

    service, timer = units(NIGHTLY)
    assert unit_state.unit_state(service) == {"name": "django-timer@nightly.service"}
    assert unit_state.unit_state(timer)["restart_on"] == ["/etc/systemd/system/django-timer@nightly.timer"]
