"""What runs beside the web, workers and beat, what each may write, and what the deployment ran."""

import time
from pathlib import Path

import pytest
from orchard import property_of, query, seen_by, wait

from testbench.demo import find_mail

SCALE = "django-process@scale.service"
ROT = "django-timer@rot"
STATE = "/var/lib/orchard"
UNITS = {
    "web": "django-web.service",
    "worker": "celery-worker@post.service",
    "beat": "celery-beat.service",
    "flower": "celery-flower.service",
    "process": SCALE,
}
# Who may write to a folder.
WRITERS = {"attic": ["worker"], "diary": ["process"], "media": ["web", "worker"], "logs": list(UNITS)}


def test_what_comes_onto_the_scale_is_read_by_the_process_and_done_by_a_worker(host, site):
    word = f"pear {time.time_ns()}"
    assert site.post("/weigh", word).status == 202
    row = "select detail from orchard_event where kind = 'weighed-big' and starts_with(detail, :'word')"
    task = wait(lambda: query(host, row, word=word), "the event").rpartition(" ")[2]
    assert site.done(task)["result"]["fruit"] == word
    assert property_of(host, SCALE, "NRestarts") == "0"


@pytest.mark.parametrize("unit", UNITS.values())
def test_each_service_runs_on_the_python_of_the_archive(host, unit):
    program = host.check_output(f"readlink /proc/{property_of(host, unit, 'MainPID')}/exe")
    assert program.startswith("/opt/orchard/python/")
    assert host.check_output(f"stat -c %U {program}") == "root"


def test_the_process_is_as_closed_as_the_others(host):
    pid = property_of(host, SCALE, "MainPID")
    assert host.check_output(f"ps -o user:32=,group:32= -p {pid}").split() == ["django_scale", "orchard"]
    [line] = [
        line for line in host.check_output("systemd-analyze security --no-pager").splitlines() if line.startswith(SCALE)
    ]
    assert float(line.split()[1]) <= 0.3
    assert property_of(host, SCALE, "PrivateNetwork") == "yes"


def test_the_timer_runs_by_the_clock(host):
    def runs():
        return int(query(host, "select count(*) from orchard_event where kind = 'rot'"))

    wait(runs, "the timer")
    # Nobody but the clock has started it.
    assert property_of(host, f"{ROT}.timer", "LastTriggerUSec") not in ("", "n/a")
    assert property_of(host, f"{ROT}.service", "Result") == "success"


@pytest.mark.parametrize("folder", WRITERS)
@pytest.mark.parametrize("service", UNITS)
def test_a_folder_is_written_to_by_the_services_that_say_so_alone(host, service, folder):
    path = seen_by(host, UNITS[service], f"{STATE}/{folder}/tried")
    tried = host.run(f"touch {path} && rm {path}")
    if service in WRITERS[folder]:
        assert tried.rc == 0, tried.stderr
    else:
        assert "Read-only file system" in tried.stderr or "Permission denied" in tried.stderr


def test_each_step_of_the_deployment_ran_once_and_in_order(host):
    steps = ["before_migration", "after_migration", "after_static", "before_switch", "after_switch"]
    assert host.file(f"{STATE}/diary/diary.txt").content_string.split() == steps


def test_each_service_has_a_log_of_its_own_in_a_folder_of_the_project_s(host):
    logs = set(host.check_output(f"ls {STATE}/logs").split())
    assert {"django-web.log", "celery_post.log", "celery-beat.log", "celery-flower.log", "django_scale.log"} <= logs


def test_flower_reads_the_cache_and_can_not_write_to_it(host):
    # What it loads asks the cache. Without the right it would be started anew every few seconds.
    pid = property_of(host, "celery-flower.service", "MainPID")
    time.sleep(15)
    assert property_of(host, "celery-flower.service", "MainPID") == pid != "0"
    url = host.check_output("cat /etc/orchard/credentials/cache_url_flower")
    password = url.partition("://flower:")[2].partition("@")[0]
    cli = f"REDISCLI_AUTH={password} redis-cli --user flower -s /run/redis-cache/redis-server.sock"
    assert host.run(f"{cli} get season").stdout.strip() == ""
    assert "NOPERM" in host.run(f"{cli} set season winter 2>&1").stdout


def test_mail_goes_out_by_a_server_that_speaks_no_tls_though_the_project_asks_for_it(host, variables):
    recipient = f"{time.time_ns()}@example.com"
    host.check_output(f"orchard-manage sendtestemail {recipient}")
    wait(lambda: find_mail(Path(variables["testbench_mail_folder"]), recipient), "the mail")


def test_secrets_are_readable_by_nobody_else(host):
    assert host.check_output("stat --format='%a %U' /etc/orchard/credentials/orchard_toml") == "600 root"
    token = host.check_output("sed -n 's/^token = \"\\(.*\\)\"/\\1/p' /etc/orchard/credentials/orchard_toml")
    assert len(token) == 40
    # Neither in a release, nor in a unit, nor in the journal. Here it is no secret any longer: the host goes when the tests are over.
    assert host.run(f"grep -rlF {token} /opt/orchard /etc/systemd {STATE}").stdout == ""
    journal = f"journalctl --no-pager {' '.join(f'--unit={unit}' for unit in UNITS.values())}"
    assert host.run(f"{journal} | grep -cF {token}").stdout.strip() == "0"
