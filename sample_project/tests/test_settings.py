"""The settings, also as another process with another environment sees them."""

import json

import pytest
from django.conf import settings
from django_celery_beat.schedulers import DatabaseScheduler
from sample.celery import app

from tests.conftest import run


def test_json_and_nothing_else():
    assert app.conf.task_serializer == app.conf.result_serializer == app.conf.event_serializer == "json"
    assert app.conf.accept_content == app.conf.result_accept_content == ["json"]


def test_limits_fit_together():
    conf = app.conf
    app.loader.import_default_modules()
    assert (conf.task_soft_time_limit, conf.task_time_limit) == (900, 1800)
    assert conf.broker_transport_options["visibility_timeout"] == 7200
    assert conf.worker_prefetch_multiplier == 1
    assert conf.task_acks_late is True
    for task in app.tasks.values():
        soft, hard = task.soft_time_limit or 900, task.time_limit or 1800
        longest_wait = 240 * 1.5
        assert soft < hard < 7200 - longest_wait


def test_every_celery_setting_is_one_that_celery_knows():
    from celery.app.defaults import NAMESPACES, flatten

    known = {f"CELERY_{key}".upper() for key, _ in flatten(NAMESPACES)} | {"CELERY_BEAT_SCHEDULE"}
    ours = {name for name in dir(settings) if name.startswith("CELERY_")}
    assert ours
    assert ours <= known


def test_results_stay_in_the_database_until_the_command_removes_them():
    assert app.conf.result_backend == "django-db"
    assert app.conf.result_expires is None
    assert app.conf.result_extended is True
    assert app.conf.task_track_started is True


def test_worker_loss():
    assert app.conf.task_reject_on_worker_lost is False
    assert app.conf.task_retry_on_worker_lost is True
    assert app.conf.worker_cancel_long_running_tasks_on_connection_loss is False
    assert app.conf.broker_connection_max_retries is None


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        ("accounts.send_welcome_email", "high"),
        ("accounts.send_pending_welcome_emails", "default"),
        ("digests.send_weekly_digest", "low"),
        ("digests.send_user_digest", "low"),
        ("housekeeping.remove_old_files", "low"),
        ("housekeeping.echo", "default"),
    ],
)
def test_routes(task, queue):
    app.loader.import_default_modules()
    assert task in app.tasks
    assert app.amqp.router.route({}, task)["queue"].name == queue


def test_scheduled_tasks_exist_and_expire_as_beat_sends_them(transactional_db):
    app.loader.import_default_modules()
    # Beat's own scheduler, which writes the schedule to the database and reads it back.
    schedule = DatabaseScheduler(app=app).schedule
    assert set(schedule) == set(app.conf.beat_schedule)
    for entry in schedule.values():
        assert entry.task in app.tasks
        assert entry.options["expires"] > 0


def test_production_without_a_secret_key_is_refused():
    result = run(["manage.py", "check"])
    assert result.returncode != 0
    assert "ImproperlyConfigured: No secret key" in result.stderr
    assert "$CREDENTIALS_DIRECTORY" in result.stderr


def test_secrets_from_the_credentials_directory(tmp_path):
    (tmp_path / "secret_key").write_text("from-a-file\n")
    (tmp_path / "broker_url").write_text("redis://:s3cret@broker:6379/0\n")
    code = "from sample import settings as s; print(s.SECRET_KEY, s.CELERY_BROKER_URL, s.DEBUG)"
    result = run(["-c", code], CREDENTIALS_DIRECTORY=str(tmp_path))
    assert result.stdout.split() == ["from-a-file", "redis://:s3cret@broker:6379/0", "False"], result.stderr


def test_limits_are_variables():
    code = "from sample.celery import app as a; print(a.conf.task_time_limit, a.conf.task_soft_time_limit)"
    result = run(["-c", code], DEBUG="1", TASK_TIME_LIMIT="60", TASK_SOFT_TIME_LIMIT="30")
    assert result.stdout.split() == ["60", "30"], result.stderr


@pytest.mark.parametrize("https", ["", "1"])
def test_check_deploy_has_nothing_to_say_behind_https(https):
    key = "k" * 25 + "0123456789abcdefghijklmnopqrstuv"
    result = run(
        ["manage.py", "check", "--deploy", "--fail-level", "WARNING" if https else "ERROR"], SECRET_KEY=key, HTTPS=https
    )
    assert result.returncode == 0, result.stderr
    # Without TLS the warnings about it are expected.
    tls = {name for name in ("W008", "W012", "W016") if f"security.{name}" in result.stderr}
    assert tls == (set() if https else {"W008", "W012", "W016"})


def test_no_migration_is_missing():
    result = run(["manage.py", "makemigrations", "--check", "--dry-run"], DEBUG="1")
    assert result.returncode == 0, result.stdout


def test_production_serves_collected_static_files(tmp_path, database_url):
    environment = {
        "SECRET_KEY": "k",
        "DATABASE_URL": database_url,
        "STATIC_ROOT": str(tmp_path / "s"),
    }
    assert run(["manage.py", "collectstatic", "--noinput", "-v0"], **environment).returncode == 0
    code = """
import re, json, django
from sample.wsgi import application
from django.test import Client
client = Client(headers={"host": "localhost"})
page = client.get("/")
css = re.search(r'href="(/static/sample/site[.][0-9a-f]+[.]css)"', page.text)[1]
static = client.get(css)
print(json.dumps([page.status_code, static.status_code, static["Cache-Control"]]))
"""
    result = run(["-c", code], **environment)
    page, static, caching = json.loads(result.stdout or "[0, 0, 0]")
    assert (page, static) == (200, 200), result.stderr
    assert "immutable" in caching


def test_administrator_without_a_prompt_can_log_in(database_url):
    environment = {
        "DEBUG": "1",
        "DATABASE_URL": database_url,
        "DJANGO_SUPERUSER_EMAIL": "Root@example.com",
        "DJANGO_SUPERUSER_PASSWORD": "correct horse",
    }
    made = run(["manage.py", "createsuperuser", "--noinput"], **environment)
    assert made.returncode == 0, made.stderr
    code = """
import django; django.setup()
from django.test import Client
client = Client(headers={"host": "localhost"})
form = {"username": "root@EXAMPLE.com", "password": "correct horse", "next": "/admin/"}
print(client.post("/admin/login/", form).status_code, client.get("/admin/").status_code)
"""
    result = run(["-c", code], DJANGO_SETTINGS_MODULE="sample.settings", **environment)
    assert result.stdout.split() == ["302", "200"], result.stderr
