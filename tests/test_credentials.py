"""Which credentials there are, and which service finds which of them under which name."""

from __future__ import annotations

import hashlib
from typing import Any

import credentials
import pytest

SEED = "s" * 32


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_password_is_computed_from_secret_purpose_and_name() -> None:
    # As it was computed by every version so far: hosts hold what follows from it.
    assert credentials.derived_passwords(["web"], SEED) == {"web": digest(f"{SEED}:web")}
    assert credentials.derived_passwords(["web"], SEED, "database") == {"web": digest(f"{SEED}:database:web")}
    assert credentials.derived_passwords(["web"], "") == {"web": digest(":web")}


@pytest.mark.parametrize(
    ("passwords", "password", "names"),
    [
        ({}, "", []),
        ({}, "o", ["database_password"]),
        (
            {"web": "w"},
            "o",
            ["database_password", "database_user", "database_password_web", "database_user_web"],
        ),
    ],
)
def test_logins_to_the_database(passwords: dict[str, str], password: str, names: list[str]) -> None:
    assert list(credentials.database_credentials(passwords, "shop", password)) == names


def test_a_role_has_the_tables_and_the_share_of_its_service() -> None:
    roles = credentials.database_roles({"web": "w", "beat": "b"}, "shop", {"web": ["*"], "beat": ["x_*"]}, {"web": 0.5})
    assert roles == [
        {"name": "shop_web", "password": "w", "tables": ["*"], "share": 0.5},
        {"name": "shop_beat", "password": "b", "tables": ["x_*"], "share": 0},
    ]


def test_what_the_inventory_says_of_a_credential_wins_and_nobody_s_login_is_shared() -> None:
    database = credentials.database_credentials({"web": "w"}, "shop", "o")
    found = credentials.application_credentials(
        ["web"], {"web": "redis://x"}, database, "k" * 50, {"signing_key": "s"}, {"sentry": "x", "secret_key": "other"}
    )
    assert (found["broker_url_web"], found["secret_key"]) == ("redis://x", "other")
    assert credentials.shared_credentials(found, database) == ["secret_key", "signing_key", "sentry"]


def logins(**changes: Any) -> dict[str, dict[str, str]]:
    given: dict[str, Any] = {
        "shared": ["secret_key", "sentry"],
        "named": {"beat": [], "cleaner": [], "flower": ["sentry"]},
        "database": {"database_user": "shop", "database_password": "o"},
        "database_services": ["web", "beat", "cleaner"],
        "has_secret_key": True,
        "folder": "/c",
    }
    return credentials.service_logins(["web", "beat", "flower", "operator"], **(given | changes))


def test_each_service_finds_its_own_login_under_the_same_name() -> None:
    found = logins()
    assert found["web"] == {
        "broker_url": "/c/broker_url_web",
        "database_user": "/c/database_user_web",
        "database_password": "/c/database_password_web",
        "secret_key": "/c/secret_key",
        "sentry": "/c/sentry",
    }
    # The owner's, whose migrations make tables.
    assert found["operator"]["database_password"] == "/c/database_password"
    # Beat's login to the broker, and a role of its own in the database.
    assert found["cleaner"]["broker_url"] == "/c/broker_url_beat"
    assert found["cleaner"]["database_user"] == "/c/database_user_cleaner"
    assert found["flower"] == {
        "broker_url": "/c/broker_url_flower",
        "sentry": "/c/sentry",
        "secret_key": "/c/secret_key_flower",
    }


def test_without_roles_of_their_own_services_share_one_login() -> None:
    found = logins(database={"database_password": "o"}, database_services=[])
    assert {name: login.get("database_password") for name, login in found.items()} == {
        "web": "/c/database_password",
        "beat": "/c/database_password",
        "flower": None,
        "operator": "/c/database_password",
        "cleaner": "/c/database_password",
    }
    assert not any("database_user" in login for login in found.values())


def test_without_django_s_key_nobody_gets_another_in_its_place() -> None:
    assert not any("secret_key" in login for login in logins(shared=[], has_secret_key=False).values())
    assert credentials.stand_in_keys("") == {}
