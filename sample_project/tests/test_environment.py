"""How configuration is read."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from sample.environment import credential, database, flag, number


@pytest.fixture
def credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    return tmp_path


def test_credential_file_wins_over_the_variable(credentials, monkeypatch):
    monkeypatch.setenv("BROKER_URL", "from-variable")
    assert credential("broker_url") == "from-variable"
    (credentials / "broker_url").write_text("from-file\n")
    assert credential("broker_url") == "from-file"


def test_empty_credential_counts_as_absent(credentials):
    (credentials / "sentry_dsn").write_text("\n")
    assert credential("sentry_dsn", "default") == "default"


def test_credential_that_cannot_be_read_is_an_error(credentials):
    (credentials / "secret_key").mkdir()
    with pytest.raises(IsADirectoryError):
        credential("secret_key")


def test_flags_and_numbers(monkeypatch):
    monkeypatch.setenv("X", "Yes")
    assert flag("X") is True
    monkeypatch.setenv("X", "0")
    assert flag("X", default=True) is False
    monkeypatch.setenv("X", "ture")
    with pytest.raises(ImproperlyConfigured, match="X='ture'"):
        flag("X")
    with pytest.raises(ImproperlyConfigured, match="whole number"):
        number("X", 1)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/db.sqlite3", {"NAME": "/var/db.sqlite3"}),
        (
            "postgresql://ann:p%40ss%2Fw@db.example:5433/shop?sslmode=require",
            {"NAME": "shop", "USER": "ann", "PASSWORD": "p@ss/w", "HOST": "db.example", "PORT": "5433"},
        ),
        ("postgres:///shop?host=/run/postgresql", {"NAME": "shop", "HOST": "/run/postgresql", "PORT": ""}),
    ],
)
def test_database_urls(url, expected):
    entry = database(url)
    assert {key: entry[key] for key in expected} == expected


def test_database_options_are_kept():
    options = database("postgresql://h/n?sslmode=require")["OPTIONS"]
    assert options == {"connect_timeout": 5, "sslmode": "require"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://ann:hunter2@h/n",
        "postgresql://ann:hunter2@h",
        "postgresql://ann:hunter2@h:x/n",
        "sqlite://",
    ],
)
def test_wrong_database_urls_are_refused_without_the_password(url):
    with pytest.raises(ImproperlyConfigured) as refused:
        database(url)
    assert "hunter2" not in str(refused.value)
