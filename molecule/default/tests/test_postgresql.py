"""The database lets in its one role, with its password, and keeps that as scram."""

import shlex

import pytest
import stack

PASSWORD = "$(cat /etc/sample/credentials/database_password)"
LOGIN = f"PGPASSWORD={PASSWORD} psql -U sample -tAc 'select 1'"
ROLE = "from pg_authid where rolname = 'sample'"


def psql(host, query):
    return host.check_output(f"runuser -u postgres -- psql -tAc {shlex.quote(query)}").strip()


def answers(host):
    return host.run("runuser -u postgres -- psql -tAc 'select 1'").rc == 0


@pytest.fixture
def unit(host):
    return host.check_output("systemctl list-units --plain --no-legend 'postgresql@*' | cut -d' ' -f1")


def test_a_wrong_password_is_refused(host):
    answer = host.run("PGPASSWORD=wrong psql -U sample -d sample -tAc 'select 1'")
    assert answer.rc != 0
    assert "password authentication failed" in answer.stderr


def test_the_right_password_lets_in(host):
    assert host.check_output(f"{LOGIN} sample") == "1"


def test_the_role_gets_into_no_other_database(host):
    answer = host.run(f"{LOGIN} postgres")
    assert answer.rc != 0
    assert "no pg_hba.conf entry" in answer.stderr


def test_nobody_else_gets_in_over_the_socket(host):
    for user, reason in (
        ("sample", "no password supplied"),
        ("postgres", "Peer authentication failed"),
        ("nobody", "no pg_hba.conf entry"),
    ):
        answer = host.run(f"runuser -u nobody -- psql --no-password -U {user} -d sample -tAc 'select 1'")
        assert answer.rc != 0
        assert reason in answer.stderr


def test_the_password_is_kept_as_scram(host):
    assert psql(host, f"select left(rolpassword, 14) {ROLE}") == "SCRAM-SHA-256$"


@pytest.mark.parametrize("right", ["rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"])
def test_the_role_has_no_rights_beyond_its_database(host, right):
    assert psql(host, f"select {right} {ROLE}") == "f"


def test_a_reload_works(host, unit):
    before = psql(host, "select pg_conf_load_time()")
    host.check_output(f"systemctl reload {unit}")
    stack.wait_for(lambda: psql(host, "select pg_conf_load_time()") != before, "a reload")


def test_a_stop_is_clean(host, unit):
    host.check_output(f"systemctl stop {unit}")
    try:
        assert stack.show(host, unit, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    finally:
        host.check_output(f"systemctl start {unit}")
    stack.wait_for(lambda: answers(host), "PostgreSQL")


def test_it_comes_back_after_a_kill(host, unit):
    host.check_output(f"systemctl kill --signal=KILL --kill-whom=main {unit}")
    try:
        stack.wait_for(lambda: answers(host), "PostgreSQL after a kill")
    finally:
        host.check_output(f"systemctl start {unit}")
