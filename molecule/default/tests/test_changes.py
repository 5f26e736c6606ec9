"""What a run with another inventory changes, and what it must leave alone."""

import shutil

import pytest
import stack
from testinfra import get_host

from testbench.podman import ROOT

ONE_POOL = [{"name": "main", "queues": ["high", "default", "low"]}]
UNIT_FOLDER = "/etc/systemd/system"
ROLES = ("redis", "worker", "flower", "smoke")
NAMES = ("bookworm", "trixie")


def look(name):
    """Look at a host, with nothing remembered from before."""
    host = get_host(f"ansible://{name}?ansible_inventory={stack.INVENTORY}&sudo=true")
    return {
        "redis": stack.main_pid(host, "redis-server.service"),
        "maxmemory": int(stack.redis(host, "config get maxmemory").split()[1]),
        "units": host.check_output(f"ls {UNIT_FOLDER} | grep ^celery-worker").split(),
        "high": host.run("systemctl is-active celery-worker@high.service").stdout.strip(),
        "links": host.check_output(f"find {UNIT_FOLDER} -type l -name 'celery-worker@*' -printf '%f '").split(),
        "main": host.check_output(f"ps -o args= -p {stack.main_pid(host, 'celery-worker@main.service')}"),
        "beat": stack.main_pid(host, "celery-beat.service"),
        "flower": stack.main_pid(host, "celery-flower.service"),
        "current": host.check_output("readlink /opt/sample/current"),
    }


@pytest.fixture(scope="module")
def states(play):
    """The hosts before, with other variables, and with the old ones again."""
    before = {name: look(name) for name in NAMES}
    # With smoke at the end, right behind Flower: it was restarted a moment before it is asked.
    changed = play(*ROLES, redis_maxmemory="64mb", celery_worker_pools=ONE_POOL, flower_max_tasks=500)
    assert changed.status == 0, changed.output
    during = {name: look(name) for name in NAMES}
    back = play(*ROLES)
    assert back.status == 0, back.output
    return before, during, {name: look(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_on_memory_changes_without_a_restart(states, name):
    before, during, after = (state[name] for state in states)
    assert during["maxmemory"] == 64 * 2**20
    assert after["maxmemory"] == before["maxmemory"]
    assert before["redis"] == during["redis"] == after["redis"] != 0


@pytest.mark.parametrize("name", NAMES)
def test_a_pool_that_is_gone_from_the_inventory_is_gone_from_the_host(states, name):
    before, during, after = (state[name] for state in states)
    assert before["links"] == after["links"] != []
    assert during["units"] == during["links"] == ["celery-worker@main.service"]
    assert during["high"] == "inactive"
    assert "--queues=high,default,low " in during["main"]
    assert before["units"] == after["units"] == ["celery-worker@high.service", "celery-worker@main.service"]
    assert after["high"] == "active"


@pytest.mark.parametrize("name", NAMES)
def test_what_did_not_change_was_left_alone(states, name):
    before, during, after = (state[name] for state in states)
    assert before["beat"] == during["beat"] == after["beat"] != 0


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_configuration_restarts_its_service(states, name):
    before, during, after = (state[name] for state in states)
    assert len({before["flower"], during["flower"], after["flower"]}) == 3


def test_a_project_that_sets_celery_past_its_settings_is_refused_and_changes_nothing(play, tmp_path):
    source = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "db.sqlite3", "media", "staticfiles")
    shutil.copytree(ROOT / "sample_project", source, ignore=ignored)
    with (source / "sample/celery.py").open("a") as celery:
        celery.write('\napp.conf.update(accept_content=["json", "pickle"], task_acks_late=False)\n')
    before = look("trixie")
    refused = play("project", limit="trixie", django_project_source=str(source))
    assert refused.status != 0
    assert "task_acks_late is False in the loaded app; the deployment asks for True" in refused.words
    assert "accept_content" in refused.words
    assert "Fix:" in refused.words
    assert look("trixie") == before
