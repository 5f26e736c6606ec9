"""What a run with another inventory changes, and what it must leave alone."""

import re
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


@pytest.fixture
def source(tmp_path):
    """Return a copy of the sample project."""
    copy = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "db.sqlite3", "media", "staticfiles")
    return shutil.copytree(ROOT / "sample_project", copy, ignore=ignored)


# When the settings were read already.
LATE = """
@app.on_after_configure.connect
def late(sender, **_):
    sender.conf.update(accept_content=["json", "pickle"], task_acks_late=False)
"""


def test_a_project_that_sets_celery_past_its_settings_is_refused_and_changes_nothing(play, source):
    with (source / "sample/celery.py").open("a") as celery:
        celery.write(LATE)
    before = look("trixie")
    refused = play("project", limit="trixie", django_project_source=str(source))
    assert refused.status != 0
    assert "task_acks_late is False in the loaded app; the deployment asks for True" in refused.words
    assert "accept_content" in refused.words
    assert "Fix:" in refused.words
    assert look("trixie") == before


def test_a_site_on_settings_of_its_own_is_refused_before_anything_is_migrated(play, source):
    wsgi = source / "sample/wsgi.py"
    line = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sample.settings")'
    wsgi.write_text(wsgi.read_text().replace(line, 'os.environ["DJANGO_SETTINGS_MODULE"] = "sample.settings"'))
    (source / "housekeeping/migrations").mkdir()
    (source / "housekeeping/migrations/__init__.py").touch()
    (source / "housekeeping/migrations/0001_initial.py").write_text(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    operations = []\n"
    )
    before = look("trixie")
    refused = play("project", limit="trixie", django_project_source=str(source))
    assert refused.status != 0
    assert "stack_wsgi_app: 'sample.wsgi:application': sample/wsgi.py, line 7 replaced" in refused.words
    assert line in refused.words
    assert "Traceback" not in refused.output
    assert look("trixie") == before
    host = get_host(f"ansible://trixie?ansible_inventory={stack.INVENTORY}&sudo=true")
    query = "select count(*) from django_migrations where app = 'housekeeping'"
    assert host.check_output(f'runuser -u postgres -- psql -d sample -tAc "{query}"') == "0"
    # The message says where the traceback is.
    folder = re.search(r"/opt/sample/\S+/\.output/probe", refused.words)
    assert folder, refused.output
    assert "Traceback" in host.check_output(f"cat {folder.group()}/stdout")


def test_a_release_with_other_settings_alone_is_not_built_again(play):
    host = get_host(f"ansible://trixie?ansible_inventory={stack.INVENTORY}&sudo=true")
    before = look("trixie")
    others = set(host.check_output("ls /opt/sample/releases").split())
    # Refused before it is current, so that the host stays as it is.
    steps = [{"at": "before_migration", "manage": "no_such_command"}]
    refused = play("project", limit="trixie", stack_environment={"NOBODY": "reads it"}, stack_release_steps=steps)
    assert refused.status != 0
    assert "no_such_command" in refused.words
    assert look("trixie") == before
    (new,) = set(host.check_output("ls /opt/sample/releases").split()) - others
    folder = f"/opt/sample/releases/{new}"
    for name in ("venv/pyvenv.cfg", "src/manage.py"):
        old, copy = (
            host.check_output(f"stat --format='%y %U %a' {path}/{name}") for path in (before["current"], folder)
        )
        assert old == copy
    assert "NOBODY" in host.check_output(f"cat {folder}/config/environment")
    assert host.check_output(f"cat {folder}/.built") == new
    host.check_output(f"rm -r {folder}")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_deployment_printed_is_kept_for_root_without_secrets(name):
    host = get_host(f"ansible://{name}?ansible_inventory={stack.INVENTORY}&sudo=true")
    output = f"{look(name)['current']}/.output"
    assert host.check_output(f"cat {output}/before_switch_0/stdout").strip().endswith("the step knows ********")
    assert '{"status": 200}' in host.check_output(f"cat {output}/site/stdout")
    assert "Running migrations:" in host.check_output(f"cat {output}/migrate/stdout")
    assert host.check_output(f"find {output} -perm /077 -o ! -user root") == ""
