"""What needs neither Django nor Celery: the configuration file, the credentials, and the deployment's settings over a project's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from celery_runtime import configuration
from celery_runtime.configuration import Configuration, ConfigurationError
from celery_runtime.overlay import overlay

PROJECT = {
    "DEBUG": False,
    "CELERY_TASK_TIME_LIMIT": 5,
    "EMAIL_PORT": 25,
    "INSTALLED_APPS": ["django.contrib.admin", "django_celery_beat.apps.BeatConfig"],
    "DATABASES": {"default": {"ENGINE": "sqlite3"}, "replica": {"ENGINE": "x"}},
    "lower_case": "no setting",
}


def secret(name: str) -> str:
    return f"secret of {name}"


def configured(**changes: object) -> Configuration:
    return Configuration(project_settings="p.settings", celery_app="p", **changes)


def test_the_deployment_s_settings_win_and_the_others_stay() -> None:
    result = overlay(PROJECT, configured(celery={"task_time_limit": 1800}, django={"EMAIL_PORT": 2525}), secret)
    assert result["CELERY_TASK_TIME_LIMIT"] == 1800
    assert result["EMAIL_PORT"] == 2525
    assert result["DEBUG"] is False
    assert "lower_case" not in result


def test_a_dictionary_of_the_project_is_replaced_as_a_whole_but_options_of_the_broker_are_merged() -> None:
    options = {"socket_timeout": 60, "client_name": "shop"}
    project = PROJECT | {"CELERY_BROKER_TRANSPORT_OPTIONS": options, "LOGGING": {"ours": 1}}
    celery = {"broker_transport_options": {"socket_timeout": 15, "socket_keepalive": True}}
    result = overlay(project, configured(celery=celery, django={"LOGGING": {"theirs": 2}}), secret)
    assert result["LOGGING"] == {"theirs": 2}
    assert result["CELERY_BROKER_TRANSPORT_OPTIONS"] == {
        "client_name": "shop",
        "socket_timeout": 15,
        "socket_keepalive": True,
    }


def test_another_namespace_is_the_project_s_choice() -> None:
    result = overlay(PROJECT, configured(namespace="QUEUE", celery={"task_time_limit": 7}), secret)
    assert result["QUEUE_TASK_TIME_LIMIT"] == 7
    assert result["CELERY_TASK_TIME_LIMIT"] == 5


def test_credentials_become_settings_and_the_database_s_password() -> None:
    result = overlay(
        PROJECT,
        configured(database={"ENGINE": "pg"}, credentials={"SECRET_KEY": "key", "DATABASE_PASSWORD": "db"}),
        secret,
    )
    assert result["SECRET_KEY"] == "secret of key"
    assert result["DATABASES"] == {"default": {"ENGINE": "pg", "PASSWORD": "secret of db"}, "replica": {"ENGINE": "x"}}
    assert "DATABASE_PASSWORD" not in result


def test_a_unit_without_a_login_to_the_database_has_none() -> None:
    configuration = configured(
        database={"ENGINE": "pg", "USER": "app"}, credentials={"DATABASE_USER": "user", "DATABASE_PASSWORD": "db"}
    )
    for handed, login in ((True, {"USER": "secret of user", "PASSWORD": "secret of db"}), (False, {"USER": "app"})):
        result = overlay(PROJECT, configuration, secret, lambda _, handed=handed: handed)
        assert result["DATABASES"]["default"] == {"ENGINE": "pg"} | login


def test_what_a_unit_was_not_handed_stays_the_project_s() -> None:
    credentials = {"SECRET_KEY": "key", "SENTRY_DSN": "dsn", "DATABASE_PASSWORD": "db"}
    result = overlay(
        PROJECT | {"SENTRY_DSN": "none"},
        configured(database={"ENGINE": "pg"}, credentials=credentials),
        secret,
        lambda name: name == "key",
    )
    assert (result["SECRET_KEY"], result["SENTRY_DSN"]) == ("secret of key", "none")
    assert result["DATABASES"]["default"] == {"ENGINE": "pg"}


def test_missing_apps_are_added_once() -> None:
    result = overlay(PROJECT, configured(installed_apps=["django_celery_beat", "django_celery_results"]), secret)
    assert result["INSTALLED_APPS"] == [*PROJECT["INSTALLED_APPS"], "django_celery_results"]
    assert len(PROJECT["INSTALLED_APPS"]) == 2


def test_configuration_is_read_from_the_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"project_settings": "p.settings", "celery_app": "p", "queues": ["a"]}))
    monkeypatch.setenv(configuration.CONFIG_VARIABLE, str(file))
    assert configuration.load().queues == ["a"]
    file.write_text("{")
    with pytest.raises(ConfigurationError, match="can't be used"):
        configuration.load()
    monkeypatch.delenv(configuration.CONFIG_VARIABLE)
    with pytest.raises(ConfigurationError, match="is not set"):
        configuration.load()


def test_a_credential_is_read_or_its_absence_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("value\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert configuration.credential("key") == "value"
    assert (configuration.handed("key"), configuration.handed("other")) == (True, False)
    with pytest.raises(ConfigurationError, match="'other' was not handed"):
        configuration.credential("other")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    # Without any, nothing is passed over in silence.
    assert configuration.handed("key")
    with pytest.raises(ConfigurationError, match="not started by systemd"):
        configuration.credential("key")
