"""The database lets in its roles, with their passwords, keeps those as scram, and lets each do and hold what it needs."""

import shlex

import pytest
import stack

SERVICES = ["web", "worker", "beat", "cleaner", "process"]
ALL = ["sample", *(f"sample_{service}" for service in SERVICES)]
# What changes a table, or gains a right, and how PostgreSQL refuses it; of a grant that isn't anybody's to give it warns.
FORBIDDEN = [
    "create table leftover ()",
    "alter table django_celery_beat_periodictask add column leftover int",
    "drop table django_celery_beat_periodictask",
    "truncate django_celery_beat_periodictask cascade",
    "create schema leftover",
    "create role leftover",
    "grant all on django_celery_beat_periodictask to public",
    "set role sample",
    "copy (select 1) to program 'true'",
]
REFUSED = ("permission denied", "must be owner", "must be superuser", "no privileges")
PASSWORD = "$(cat /etc/sample/credentials/database_password)"
LOGIN = f"PGPASSWORD={PASSWORD} psql -U sample -tAc 'select 1'"
ROLES = "from pg_authid where rolname like 'sample%'"


def psql(host, query):
    return host.check_output(f"runuser -u postgres -- psql -tAc {shlex.quote(query)}").strip()


def ask(host, service, *statements):
    """Run statements as a service's role, or as the owner where there is no service; one that fails stops none of the others."""
    suffix = f"_{service}" if service else ""
    password = f"$(cat /etc/sample/credentials/database_password{suffix})"
    script = shlex.quote(";\n".join(statements))
    return host.run(f"printf %s {script} | PGPASSWORD={password} psql -U sample{suffix} -d sample -qtA")


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


def test_an_account_of_another_application_does_not_get_as_far_as_the_socket(host):
    answer = host.run("runuser -u nobody -- psql --no-password -U sample -d sample -tAc 'select 1'")
    assert answer.rc != 0
    assert "Permission denied" in answer.stderr


def test_nobody_else_gets_in_over_the_socket(host):
    for user, reason in (
        ("sample", "no password supplied"),
        ("postgres", "Peer authentication failed"),
        ("nobody", "no pg_hba.conf entry"),
    ):
        answer = host.run(f"runuser -u celery -- psql --no-password -U {user} -d sample -tAc 'select 1'")
        assert answer.rc != 0
        assert reason in answer.stderr


def test_not_even_the_administrator_makes_the_server_start_a_program(host):
    # The shell is there, since the server itself is started by one.
    assert psql(host, "copy (select 1) to program 'read one'") == "COPY 1"
    answer = host.run("""runuser -u postgres -- psql -tAc "copy (select 1) to program '/usr/bin/id'" """)
    assert "command not executable" in answer.stderr


def test_the_password_is_kept_as_scram(host):
    kept = psql(host, f"select rolname || ' ' || left(rolpassword, 14) {ROLES}")
    assert sorted(kept.splitlines()) == sorted(f"{role} SCRAM-SHA-256$" for role in ALL)


@pytest.mark.parametrize("right", ["rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls"])
def test_the_role_has_no_rights_beyond_its_database(host, right):
    assert psql(host, f"select distinct {right} {ROLES}") == "f"


def test_each_service_logs_in_as_itself(host, http, somebody):
    # The web has a connection from its first request that needs one on; of an operator's command that has just ended one may be left.
    assert http("POST", "/register/", somebody)[0] == 201
    roles = "select distinct usename from pg_stat_activity where datname = 'sample'"
    # The project's own process comes and goes with other tests.
    own = {"sample_beat", "sample_web", "sample_worker"}
    stack.wait_for(lambda: own == set(psql(host, roles).split()) - {"sample_process"}, "no other role than services'")


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_changes_no_table(host, service):
    answer = ask(host, service, *FORBIDDEN)
    refusals = [line for line in answer.stderr.splitlines() if any(word in line for word in REFUSED)]
    assert len(refusals) == len(FORBIDDEN), answer.stderr


@pytest.mark.parametrize("service", ["web", "worker"])
def test_web_and_workers_read_and_write(host, service):
    answer = ask(
        host,
        service,
        "table accounts_user",
        "begin; update accounts_user set name = name; rollback",
        "begin; delete from django_celery_beat_periodictask; rollback",
    )
    assert answer.stderr == ""


def test_beat_uses_its_schedule_alone(host):
    answer = ask(
        host,
        "beat",
        "begin; update django_celery_beat_periodictask set enabled = enabled; rollback",
        "begin; delete from django_celery_beat_periodictask; rollback",
    )
    assert answer.stderr == ""
    others = ("accounts_user", "django_celery_results_taskresult", "django_session", "django_migrations")
    answer = ask(host, "beat", *(f"table {table}" for table in others))
    assert answer.stderr.count("permission denied") == len(others), answer.stderr


def test_the_cleaner_removes_results_and_sees_nothing_else(host):
    assert ask(host, "cleaner", "begin; delete from django_celery_results_taskresult; rollback").stderr == ""
    assert "permission denied" in ask(host, "cleaner", "select 1 from django_celery_beat_periodictask").stderr
    host.check_output("systemctl start celery-results-clean.service")


def test_tables_of_later_migrations_come_with_their_rights(host):
    assert ask(host, "", "create table later (id serial primary key)").stderr == ""
    try:
        for service in ("web", "worker"):
            answer = ask(host, service, "insert into later default values returning id")
            assert answer.stderr == ""
        assert "permission denied" in ask(host, "beat", "select 1 from later").stderr
    finally:
        assert ask(host, "", "drop table later").stderr == ""


def test_what_a_role_set_for_itself_is_gone_after_a_run(host, play, http, somebody):
    assert ask(host, "web", "alter role sample_web in database sample set search_path = 'nowhere'").stderr == ""
    # Sessions that begin now find no table, for as long as they live.
    host.check_output("systemctl restart django-web.service")
    assert http("POST", "/register/", somebody)[0] == 500
    for statement in (
        "alter role sample_web set statement_timeout = 60000",
        "alter role sample_web password 'a-password-of-my-own'",
    ):
        assert ask(host, "web", statement).stderr == ""
    assert "password authentication failed" in ask(host, "web", "select 1").stderr
    # Its author's setting at the database itself.
    assert ask(host, "", "alter database sample set statement_timeout = 60000").stderr == ""
    play("database", limit=host.backend.host)
    assert psql(host, "select count(*) from pg_db_role_setting") == "0"
    assert ask(host, "web", "show statement_timeout").stdout.strip() == "0"
    assert http("POST", "/register/", somebody)[0] == 201


@pytest.mark.parametrize(
    ("role", "reason", "others"),
    [
        # A service at its limit takes nothing from another, nor from an operator.
        ("sample_beat", "too many connections for role", ["sample_web", "sample_worker", "sample", "postgres"]),
        ("sample_web", "too many connections for role", ["sample_beat", "sample_worker", "sample", "postgres"]),
        # Operators may take all there is, but for the administrator's.
        ("sample", "reserved for", ["postgres"]),
    ],
)
def test_whoever_holds_all_that_he_gets_keeps_nobody_else_out(host, role, reason, others):
    answer = stack.script(host, "logins.py", role, *others)
    assert answer["held"] > 0
    assert reason in answer["refused"]
    assert answer["others"] == dict.fromkeys(others, "in")


@pytest.mark.parametrize("speaks", ["postgresql", "nothing"])
def test_who_doesnt_log_in_is_left(host, speaks):
    # Of the application's own accounts; nobody else gets as far as the socket.
    answer = stack.script(host, "crowd.py", "celery", speaks, "3", "/run/postgresql/.s.PGSQL.5432", "wait")
    assert answer["held"] == 3
    assert answer["left"] is True


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
