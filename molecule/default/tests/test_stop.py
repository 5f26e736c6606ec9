"""A stop in two stages, on a running service: what outlasts the grace goes back into its queue at once, and is done after the start."""

import shlex
import time

import pytest
import stack

UNIT = "celery-worker@high.service"
DROPIN = f"/run/systemd/system/{UNIT}.d/50-test.conf"
SHORT = r"[Service]\nExecStop=\nExecStop=+/usr/local/libexec/celery-worker-stop 3 300 20\n"
SEND = "from housekeeping.tasks import echo; print('answer:', echo.apply_async(kwargs={'job': {'text': 'x', 'numbers': []}}, queue='high'))"
# A task that is about to say that it has started waits for this, as for a database that is slow.
LOCK = "begin; lock table django_celery_results_taskresult; select pg_sleep(1800)"
# No task waits with a lock of this mode.
LOCKED = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' and database is not null"
# The hard time limit of tasks (s), for which a stop without a grace would wait.
LIMIT = 1800
STATUS = "select status from django_celery_results_taskresult where task_id = "
# A server process that sleeps doesn't notice that its client is gone.
UNLOCK = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin; lock%'"


def sql(host, statement):
    return host.check_output(f"runuser -u postgres -- psql -d sample -tAc {shlex.quote(statement)}")


@pytest.fixture
def slow_database(host):
    statement = shlex.quote(LOCK)
    host.check_output(f"systemd-run --collect --unit=test-lock runuser -u postgres -- psql -d sample -c {statement}")
    try:
        stack.wait_for(lambda: sql(host, LOCKED) == "1", "a lock")
        yield lambda: sql(host, UNLOCK)
    finally:
        sql(host, UNLOCK)


@pytest.fixture
def short_grace(host):
    host.check_output(f"mkdir -p {DROPIN.rpartition('/')[0]} && printf '{SHORT}' > {DROPIN} && systemctl daemon-reload")
    yield
    host.check_output(f"rm -r {DROPIN.rpartition('/')[0]} && systemctl daemon-reload && systemctl start {UNIT}")


@pytest.mark.usefixtures("short_grace")
def test_what_outlasts_the_grace_is_given_back_and_done_later(host, slow_database):
    task = host.check_output(f"sample-manage shell -c {shlex.quote(SEND)}").split("answer:")[1].strip()
    stack.wait_for(lambda: task in stack.redis(host, "hvals unacked"), "the task's begin")
    began = time.monotonic()
    host.check_output(f"systemctl stop {UNIT}")
    # Not before the grace is over, and long before the time limit of tasks.
    assert 2 < time.monotonic() - began < LIMIT
    assert task in stack.redis(host, "lrange high 0 -1")
    assert task not in stack.redis(host, "hvals unacked")
    assert stack.show(host, UNIT, "Result")["Result"] == "success"
    said = host.check_output(f"journalctl --output=cat --since=-30s --unit={UNIT}")
    assert "cold shutdown after 3 s" in said
    slow_database()
    host.check_output(f"systemctl start {UNIT}")
    stack.wait_for(lambda: sql(host, f"{STATUS}'{task}'") == "SUCCESS", "its end")
