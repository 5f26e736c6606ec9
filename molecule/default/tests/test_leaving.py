"""A host that leaves a group loses what it had there, and nothing else."""

import shutil

import pytest
import stack
import yaml
from testinfra import get_host

from testbench import playbooks

NAME = "trixie"
LEFT = ("workers", "flower")
GONE = ("celery-worker@high.service", "celery-worker@main.service", "celery-flower.service")
KEPT = (
    "celery-beat.service",
    "django-web.service",
    "nginx.service",
    "redis-server.service",
    "postgresql@17-main.service",
)
FLOWER = "/etc/sample/flower.conf"


def reach():
    """Return the host with nothing remembered from before."""
    return get_host(f"ansible://{NAME}?ansible_inventory={stack.INVENTORY}&sudo=true")


def look():
    """Look at the units of the host."""
    host = reach()
    return {
        "installed": [unit for unit in GONE if host.file(f"/etc/systemd/system/{unit}").exists],
        "running": [unit for unit in GONE if stack.main_pid(host, unit)],
        "links": host.check_output(
            "find /etc/systemd/system -type l '(' -name 'celery-worker@*' -o -name 'celery-flower*' ')'"
        ).split(),
        "kept": {unit: stack.main_pid(host, unit) for unit in KEPT},
        "flower": host.file(FLOWER).exists,
    }


@pytest.fixture(scope="module")
def states(play, tmp_path_factory):
    """The host before, after it left two groups, and when it is back."""
    folder = tmp_path_factory.mktemp("left") / "inventory"
    shutil.copytree(stack.INVENTORY, folder)
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    for group in LEFT:
        del hosts["all"]["children"]["app"]["children"][group]["hosts"][NAME]
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    before = look()
    run = playbooks.run(["playbooks/retire.yml"], [folder], limit=NAME)
    assert run.status == 0, run.output
    left = look()
    again = playbooks.run(["playbooks/retire.yml"], [folder], limit=NAME)
    back = play("worker", "flower", limit=NAME)
    assert back.status == 0, back.output
    return before, left, look(), again


def test_the_units_of_a_group_that_it_left_are_gone(states):
    before, left, _, _ = states
    assert (before["installed"], before["running"], before["flower"]) == (list(GONE), list(GONE), True)
    assert (left["installed"], left["running"], left["links"], left["flower"]) == ([], [], [], False)


def test_what_it_still_has_a_part_in_goes_on(states):
    before, left, back, _ = states
    assert before["kept"] == left["kept"] == back["kept"]
    assert 0 not in before["kept"].values()


def test_leaving_twice_changes_nothing(states):
    again = states[3]
    assert again.status == 0, again.output
    assert "changed=0" in again.words


def test_a_host_that_is_back_has_them_again(states):
    before, _, back, _ = states
    assert back == before
