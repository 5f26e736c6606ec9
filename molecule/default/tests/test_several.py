"""A second application comes to a host that has one: each has what is its own, neither notices the other, and one of them goes again."""

import json
import shlex
import shutil
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import stack
import yaml
from testinfra import get_host

from testbench import playbooks
from testbench.console import Problem
from testbench.front import Front
from testbench.podman import ROOT

# Behind all others, which expect a host with one application; and in this order.
beside, leaving, gone, back = (pytest.mark.after_all(turn=turn) for turn in (2, 3, 4, 5))

NAME = "trixie"
# An application's name and its prefix differ, so that neither is taken for the other unnoticed.
APP, PREFIX, SHARE = "gazette", "second", 0.4
SITE = "gazette.example.com"
SECOND = {
    "stack_app": APP,
    "stack_prefix": PREFIX,
    "stack_web_hosts": [SITE],
    "stack_environment": {"SITE_URL": f"https://{SITE}", "HTTPS": "1"},
    "django_project_source": str(ROOT / "sample_project"),
    "local_secrets_dir": "{{ testbench_mail_folder | dirname }}/second",
    "stack_secrets_dir": "{{ local_secrets_dir }}",
}
PAIRS = [("sample", APP), (APP, "sample")]
# Where each has its servers, and what it calls its own beside them.
BROKERS = {"sample": "redis", APP: f"redis-{PREFIX}"}
CACHES = {"sample": "redis-cache", APP: f"redis-{PREFIX}cache"}
PORTS = {"sample": 5432, APP: 5433}
NAMES = (
    "celery",
    "celery-beat",
    "celery-flower",
    "celery_high",
    "celery_main",
    "django-web",
    "django_beacon",
    "django_sessions",
)
ACCOUNTS = {"sample": set(NAMES), APP: {f"{PREFIX}-{name}" for name in NAMES}}
UNITS = (
    "celery-beat.service",
    "celery-flower.service",
    "celery-results-clean.timer",
    "celery-worker@high.service",
    "celery-worker@main.service",
    "django-process@beacon.service",
    "django-timer@sessions.timer",
    "django-web.service",
    "django-web.socket",
)
SERVERS = {
    "sample": {"redis-server.service", "redis-cache.service", "postgresql@17-main.service"},
    APP: {f"redis-{PREFIX}.service", f"redis-{PREFIX}cache.service", f"postgresql@17-{PREFIX}.service"},
}
RUNNING = {"sample": {*UNITS, *SERVERS["sample"]}, APP: {*(f"{PREFIX}-{unit}" for unit in UNITS), *SERVERS[APP]}}
# The parts of a run that touch what is the host's own, or lies beside the other's: packages, the kernel, servers, the front, what goes.
COMMON = ("record", "certificates", "redis", "cache", "database", "front", "retire")
# What is left of one that is removed, and nothing besides: its data, the accounts that own it, what is the stopped database's, an empty folder.
DATABASE = f"17-{PREFIX}"
LEFT = (
    f"/var/lib/{APP}",
    f"/var/lib/redis-{PREFIX}",
    f"/var/lib/postgresql/17/{PREFIX}",
    f"/etc/postgresql/17/{PREFIX}",
    f"/etc/systemd/system/postgresql@{DATABASE}.service.d",
    f"/var/log/postgresql/postgresql-{DATABASE}.log",
    # Where the front had the uploads.
    f"/var/lib/plainhost-front/media-{PREFIX}",
)
ACCOUNT_FILES = {f"/etc/{name}{suffix}" for name in ("passwd", "shadow", "group", "gshadow") for suffix in ("", "-")}
KNOWN = "select count(*) from accounts_user where email = :'email'"
WELCOME = """select status from django_celery_results_taskresult where task_name = 'accounts.send_welcome_email'
 and task_kwargs like '%''user_id'': ' || (select id from accounts_user where email = :'email') || '}%'"""
STATUS = "select status from django_celery_results_taskresult where task_id = :'task'"
SEND = "from housekeeping.tasks import echo; print('answer:', echo.apply_async(kwargs={'job': {'text': 'x', 'numbers': []}}, queue='high'))"
# A task that is about to say that it has started waits for this (at most 600 s).
LOCK = "begin; lock table django_celery_results_taskresult; select pg_sleep(600)"
# No task waits with a lock of this mode.
LOCKED = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' and database is not null"
# A server process that sleeps doesn't notice that its client is gone.
UNLOCK = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin; lock%'"
BUFFERS = "select setting::bigint * 8192 from pg_settings where name = 'shared_buffers'"


def reach():
    """Return the host with nothing remembered from before."""
    return get_host(f"ansible://{NAME}?ansible_inventory={stack.INVENTORY}&sudo=true")


def look():
    """Look at what there is of applications on the host."""
    return stack.script(reach(), "belongings.py")


def sql(application, statement, **values):
    """Ask an application's database as its administrator; a value stands in the statement as :'name'."""
    named = shlex.join(f"--set={name}={value}" for name, value in values.items())
    login = f"runuser -u postgres -- psql -p {PORTS[application]} -d {application} -tA {named}"
    return reach().check_output(f"echo {shlex.quote(statement)} | {login}")


def of_first(state):
    """Return the main processes of the first application's units."""
    return {unit: process for unit, process in state["processes"].items() if unit in RUNNING["sample"]}


def changed(one, other):
    """Return the paths that there are in one of two states alone, or that differ."""
    return {
        path
        for path in one["paths"].keys() | other["paths"].keys()
        if one["paths"].get(path) != other["paths"].get(path)
    }


@pytest.fixture(scope="module")
def inventory(tmp_path_factory):
    """Return an inventory of a second application, made of the first one's."""
    folder = tmp_path_factory.mktemp("second") / "inventory"
    shutil.copytree(stack.INVENTORY, folder)
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    hosts["all"]["hosts"][NAME]["stack_host_share"] = SHARE
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (folder / "group_vars/all/3-second.yml").write_text(yaml.safe_dump(SECOND))
    return folder


@pytest.fixture(scope="module")
def before():
    """Return the host before the second application came."""
    return look()


@pytest.fixture(scope="module")
def set_up(before, inventory):
    """Set the second application up."""
    run = playbooks.run(["site.yml"], [inventory], limit=NAME)
    assert run.status == 0, run.output
    return run


@pytest.fixture(scope="module")
def during(set_up):
    """Return the host with both."""
    return look()


@pytest.fixture(scope="module")
def addresses():
    """Return where the host is met, and where secrets lie."""
    variables = reach().ansible.get_variables()
    return variables["ansible_host"], Path(variables["testbench_mail_folder"]).parent


@pytest.fixture(scope="module")
def first_site(addresses):
    """Return a client of the first application's site."""
    address, folder = addresses
    return Front(address, folder / "secrets/ca/ca.pem")


@pytest.fixture(scope="module")
def second_site(set_up, addresses):
    """Return a client of the second application's site."""
    address, folder = addresses
    return Front(SITE, folder / "second/ca/ca.pem", place=address)


@pytest.fixture(scope="module")
def looked(inventory, during):
    """Dry-run the removal; return what it said, and the host before and behind it."""
    run = playbooks.run(["playbooks/remove.yml"], [inventory], limit=NAME, dry=True)
    return during, run, look()


@pytest.fixture(scope="module")
def removed(inventory, during, people):
    """Remove the second application while a task of the first is under way; return the host behind it, and the task."""
    host = reach()
    host.check_output(
        f"systemd-run --collect --unit=test-lock runuser -u postgres -- psql -d sample -c {shlex.quote(LOCK)}"
    )
    try:
        stack.wait_for(lambda: sql("sample", LOCKED) == "1", "a lock")
        task = host.check_output(f"sample-manage shell -c {shlex.quote(SEND)}").split("answer:")[1].strip()
        stack.wait_for(lambda: task in stack.redis(host, "hvals unacked"), "the task's begin")
        run = playbooks.run(["playbooks/remove.yml"], [inventory], limit=NAME)
        assert run.status == 0, run.output
        under_way = task in stack.redis(host, "hvals unacked")
        state = look()
    finally:
        sql("sample", UNLOCK)
    return {"run": run, "task": task, "under_way": under_way, "state": state}


@pytest.fixture(scope="module")
def again(inventory, removed):
    """Begin to set the second application up once more, on what is left of it."""
    run = playbooks.run(
        [f"playbooks/{name}.yml" for name in ("preflight", "record", "redis", "database")], [inventory], limit=NAME
    )
    assert run.status == 0, run.output
    return look()


@pytest.fixture(scope="module")
def people(first_site, second_site):
    """Register somebody on each site, and return their addresses."""
    found = {}
    for application, site in {"sample": first_site, APP: second_site}.items():
        found[application] = f"{application}.{time.time_ns()}@example.com"
        status, body, _ = site.request("POST", "/register/", {"email": found[application], "name": "Ada"})
        assert status == 201, body
    return found


@pytest.fixture(scope="module")
def trespass(set_up):
    """Have one application's accounts and logins try what is another's, once."""

    @cache
    def attempt(application, other):
        told = {
            "application": application,
            "other": other,
            "accounts": sorted(ACCOUNTS[application]),
            "servers": {"broker_url": BROKERS, "cache_url": CACHES},
            "port": PORTS[other],
        }
        return stack.script(reach(), "trespass.py", shlex.quote(json.dumps(told)))

    return attempt


def healthy(site):
    status, body, _ = site.request("GET", "/healthz")
    return status == 200 and json.loads(body) == {"status": "ok"}


@beside
def test_each_site_answers_by_its_own_name(first_site, second_site):
    assert healthy(first_site)
    assert healthy(second_site)
    # Each has a certificate of its own authority, for its own name.
    for front in (
        replace(first_site, authority=second_site.authority),
        replace(second_site, authority=first_site.authority),
    ):
        with pytest.raises(Problem, match="certificate verify failed"):
            front.request("GET", "/healthz")


@beside
@pytest.mark.parametrize(("application", "other"), PAIRS)
def test_a_task_of_each_is_in_its_own_database_alone(people, application, other):
    email = people[application]
    stack.wait_for(lambda: sql(application, WELCOME, email=email) == "SUCCESS", "the result")
    assert sql(application, KNOWN, email=email) == "1"
    assert sql(other, KNOWN, email=email) == "0"


@beside
@pytest.mark.parametrize(("application", "other"), PAIRS)
def test_no_account_reaches_what_is_the_other_s(trespass, application, other):
    seen = trespass(application, other)["accounts"]
    assert seen.keys() == ACCOUNTS[application]
    for account, got in seen.items():
        # What refuses is neither a mistake in the attempts nor an account that can do nothing.
        assert got["own"], account
        assert got["files"] == "", account
        for server in ("broker_url", "cache_url", "database"):
            assert "Permission denied" in got[server], (account, server)


@beside
@pytest.mark.parametrize(("application", "other"), PAIRS)
def test_no_login_opens_the_other_s_redis(trespass, application, other):
    seen = trespass(application, other)["logins"]
    # Of web, workers, beat, Flower, operators and processes: at the broker all, at the cache all but Flower.
    assert len(seen) == 6 + 5
    for name, got in seen.items():
        assert got["application"] == "PONG", name
        assert "WRONGPASS" in got["other"], name


@beside
def test_each_has_accounts_and_units_of_its_own_and_no_port(before, during):
    assert set(during["processes"]) - set(before["processes"]) == RUNNING[APP]
    new = set(during["accounts"]) - set(before["accounts"])
    assert new == ACCOUNTS[APP] | {f"{APP}-build", *CACHES.values(), *BROKERS.values()} - set(before["accounts"])
    for application, accounts in ACCOUNTS.items():
        assert [during["accounts"][account] for account in accounts] == [[application]] * len(accounts)
    assert during["ports"] == before["ports"]


@beside
def test_what_both_may_take_fits_the_host(during):
    host = reach()
    first = host.ansible.get_variables()["stack_host_share"]
    memory = int(host.check_output("awk '/^MemTotal/ { print $2 }' /proc/meminfo")) * 1024
    takes = {}
    for application in RUNNING:
        limits = [limit for unit, limit in during["limits"].items() if unit in RUNNING[application]]
        # Two pools and a process.
        assert len(limits) == 3
        servers = [
            host.check_output(stack.redis_command("config get maxmemory", kind[application])).split()[1]
            for kind in (BROKERS, CACHES)
        ]
        takes[application] = sum(limits) + sum(map(int, servers)) + int(sql(application, BUFFERS))
    assert takes["sample"] <= memory * first
    assert takes[APP] <= memory * SHARE
    assert sum(takes.values()) <= memory


@beside
def test_the_first_is_as_it_was_when_the_second_has_come(before, during):
    assert of_first(during) == of_first(before)
    assert of_first(before).keys() == RUNNING["sample"]
    others = {path for path in changed(before, during) if path in before["paths"]}
    assert others - ACCOUNT_FILES == set()


@beside
@pytest.mark.usefixtures("during")
@pytest.mark.parametrize("application", ["sample", APP])
def test_a_further_run_of_each_changes_nothing(inventory, application):
    paths = [f"playbooks/{name}.yml" for name in ("preflight", *COMMON)]
    run = playbooks.run(paths, [inventory if application == APP else stack.INVENTORY], limit=NAME)
    assert run.status == 0, run.output
    assert " changed=0 " in run.words, run.output


@leaving
def test_a_dry_run_of_the_removal_changes_nothing_and_says_what_would_go(looked):
    state, run, after = looked
    assert run.status == 0, run.output
    assert changed(state, after) == set()
    assert state["processes"] == after["processes"]
    assert "changed=0" not in run.words
    for name in sorted(RUNNING[APP] - {f"postgresql@17-{PREFIX}.service"}):
        assert name in run.words
    for path in (f"/opt/{APP}", f"/etc/{APP}", f"/etc/nginx/applications/{PREFIX}.conf", f"/etc/redis-{PREFIX}"):
        assert path in run.words
    assert f"uploads are left in /var/lib/{APP}" in run.words


@gone
def test_a_removal_leaves_the_data_and_nothing_else(before, removed):
    after = removed["state"]
    left = changed(before, after) - ACCOUNT_FILES
    assert {path for path in left if not path.startswith(tuple(f"{one}/" for one in LEFT))} == set(LEFT)
    assert set(after["processes"]) == set(before["processes"])
    for path in (*LEFT[:2], f"pg_dropcluster VERSION {PREFIX}"):
        assert path in removed["run"].words


@gone
def test_the_first_doesn_t_notice_the_removal(before, removed, first_site):
    assert of_first(removed["state"]) == of_first(before)
    assert removed["under_way"]
    stack.wait_for(lambda: sql("sample", STATUS, task=removed["task"]) == "SUCCESS", "the end of the task")
    assert healthy(first_site)


@back
def test_one_that_is_set_up_again_has_its_data(people, removed, again, before):
    assert set(again["processes"]) - set(before["processes"]) == SERVERS[APP] - {f"{CACHES[APP]}.service"}
    assert sql(APP, KNOWN, email=people[APP]) == "1"
    assert of_first(again) == of_first(before)
