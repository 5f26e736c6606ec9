"""Worker, beat, web, Flower and the operators' commands load the same settings; what a unit promises about its start is true."""

import json

import pytest
import stack

# The shortest of these wins for all, so a process of another opinion would run tasks twice.
TIMES = ("task_soft_time_limit", "task_time_limit", "broker_transport_options")
DATABASE_USERS = {"worker": "sample_worker", "beat": "sample_beat", "flower": "sample", "web": "sample_web"}
WATCHED = ["celery-worker@high.service", "celery-worker@main.service", "celery-beat.service"]


def asked(host):
    return stack.script(host, "settings.py", *stack.UNITS)


@pytest.mark.parametrize("unit", stack.UNITS)
def test_a_service_loads_what_the_operators_commands_load(once, unit):
    seen = once(asked)
    wanted = seen["settings"]["operator"] | {"project": seen["settings"][unit]["project"]}
    assert wanted["broker_transport_options"]["visibility_timeout"] == 7200
    assert wanted["runtime"]["parts"], "stock Celery: this would not show that the runtime is the same everywhere"
    # Each meets the broker and the database under a name of its own; Flower has no business with the database.
    user = next(service for service in DATABASE_USERS if service in unit)
    assert seen["settings"][unit] == wanted | {"broker_user": user, "database_user": DATABASE_USERS[user]}
    assert (wanted["broker_user"], wanted["database_user"]) == ("operator", "sample")


@pytest.mark.parametrize("unit", stack.UNITS)
def test_the_project_reads_its_servers_from_its_environment_with_the_service_s_own_logins(host, once, unit):
    seen = once(asked)["settings"][unit]
    if host.backend.host != "trixie":
        assert (seen["project"]["database_user"], seen["project"]["has_broker"]) == ("", False)
        return
    wanted = {"database_user": seen["database_user"], "database": "/run/postgresql"}
    assert seen["project"] == wanted | {"has_password": True, "has_broker": True, "has_key": True}


def test_files_of_the_inventory_are_in_the_source_as_root_s(host):
    file = host.file("/opt/sample/current/src/etc/site.ini")
    assert file.exists == (host.backend.host == "trixie")
    if file.exists:
        assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
        assert file.content_string == "[site]\nname = trixie\n"


@pytest.mark.parametrize("unit", stack.UNITS)
def test_a_service_has_not_been_overtaken_by_its_files(once, unit):
    assert once(asked)["unchanged"][unit]


def test_workers_say_the_same_of_what_they_have_in_memory(host, once):
    wanted = once(asked)["settings"]["operator"]
    said = stack.inspect(host, "conf")
    assert {node.split("@")[0] for node in said} == {"high", "main"}
    names = {f"CELERY_{name.upper()}": name for name in wanted}
    for conf in said.values():
        seen = {names[name]: value for name, value in conf.items() if name in names}
        assert set(TIMES) <= set(seen)
        assert seen == {name: wanted[name] for name in seen}


@pytest.mark.parametrize("unit", WATCHED)
def test_a_service_is_watched(host, unit):
    shown = stack.show(host, unit, "Type", "NotifyAccess", "WatchdogUSec", "TimeoutAbortUSec", "TimeoutStartUSec")
    assert shown == {
        "Type": "notify",
        "NotifyAccess": "main",
        "WatchdogUSec": "1min",
        "TimeoutAbortUSec": "2s",
        "TimeoutStartUSec": "infinity",
    }


def consumers(host):
    """Return the worker's queues as it says itself; empty while it doesn't answer."""
    done = host.run("sample-celery inspect active_queues --json --timeout=60 --destination=high@$(uname -n)")
    return (
        [queue["name"] for node in json.loads(done.stdout.splitlines()[-1]).values() for queue in node]
        if done.rc == 0
        else []
    )


def test_a_start_returns_only_once_the_worker_consumes(host):
    unit = "celery-worker@high.service"
    host.check_output(f"systemctl restart {unit}")
    assert stack.show(host, unit, "ActiveState", "StatusText") == {"ActiveState": "active", "StatusText": "consuming"}
    assert consumers(host) == ["high"]


def test_a_worker_without_its_broker_starts_for_as_long_as_it_takes(host, wait_until_up):
    unit = "celery-worker@high.service"
    host.check_output("systemctl stop redis-server")
    try:
        host.check_output(f"systemctl restart --no-block {unit}")
        stack.wait_for(lambda: stack.show(host, unit, "ActiveState")["ActiveState"] == "activating", "a start")
        assert host.run(f"timeout 5 systemctl start {unit}").rc == 124
        assert stack.show(host, unit, "ActiveState")["ActiveState"] == "activating"
    finally:
        host.check_output("systemctl start redis-server")
    wait_until_up()
