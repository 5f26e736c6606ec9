"""The database lets in its one role, with its password, and keeps that as scram."""

import shlex

import stack


def psql(host, query):
    return host.check_output(f"runuser -u postgres -- psql -tAc {shlex.quote(query)}")


def test_a_wrong_password_is_refused(host):
    answer = host.run("PGPASSWORD=wrong psql -h 127.0.0.1 -U sample -d sample -tAc 'select 1'")
    assert answer.rc != 0
    assert "password authentication failed" in answer.stderr


def test_the_right_password_lets_in(host):
    answer = host.check_output(
        "PGPASSWORD=$(cat /etc/sample/credentials/database_password) psql -h 127.0.0.1 -U sample -d sample -tAc 'select 1'"
    )
    assert answer.strip() == "1"


def test_the_password_is_kept_as_scram(host):
    assert psql(host, "select left(rolpassword, 14) from pg_authid where rolname = 'sample'").strip() == "SCRAM-SHA-256$"


def test_the_role_is_no_superuser(host):
    rights = "select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls from pg_authid where rolname = 'sample'"
    assert psql(host, rights).strip() == "f"


def test_the_role_gets_into_no_other_database(host):
    answer = host.run(
        "PGPASSWORD=$(cat /etc/sample/credentials/database_password) psql -h 127.0.0.1 -U sample -d postgres -tAc 'select 1'"
    )
    assert answer.rc != 0
    assert "no pg_hba.conf entry" in answer.stderr


def test_nobody_else_gets_in_over_the_socket(host):
    answer = host.run("runuser -u nobody -- psql -d sample -tAc 'select 1'")
    assert answer.rc != 0


def test_it_comes_back_by_itself(host):
    unit = host.check_output("systemctl list-units --plain --no-legend 'postgresql@*' | cut -d' ' -f1").strip()
    host.check_output(f"systemctl kill --signal=KILL --kill-whom=main {unit}")
    stack.wait_for(lambda: host.run("runuser -u postgres -- psql -tAc 'select 1'").rc == 0, "PostgreSQL after a kill", 40)
