"""What the role `stack` computes from its inputs, and what the role `preflight` refuses of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import Role

Roles = Callable[..., Role]
EXTRA = "preflight_celery_settings_extra"


def test_the_runtime_gets_numbers(role: Roles) -> None:
    runtime = role("stack", stack_lease_seconds="60", stack_publish_timeout="1.5").evaluate("stack_runtime")
    assert (runtime["lease_seconds"], runtime["publish_timeout"], runtime["delivery_limit"]) == (60, 1.5, 5)
    assert "transport" in runtime["parts"]


def test_stock_celery_is_what_the_parts_lie_over(role: Roles) -> None:
    settings = role("stack").evaluate("stack_celery_settings")
    assert settings["result_backend"] == "django-db"
    assert settings["beat_scheduler"] == "django_celery_beat.schedulers:DatabaseScheduler"


@pytest.mark.parametrize("engine", ["django.db.backends.postgresql", "django.contrib.gis.db.backends.postgis"])
def test_a_database_that_is_gone_is_noticed(role: Roles, engine: str) -> None:
    stack = role(
        "stack", stack_database_engine=engine, stack_database_options={"sslmode": "require", "connect_timeout": 2}
    )
    options = stack.evaluate("stack_database")["OPTIONS"]
    assert options["tcp_user_timeout"] == 10000
    # What the inventory says wins.
    assert (options["sslmode"], options["connect_timeout"]) == ("require", 2)


def test_another_database_gets_its_own_options_alone(role: Roles) -> None:
    stack = role(
        "stack", stack_database_engine="django.db.backends.mysql", stack_database_options={"charset": "utf8mb4"}
    )
    assert stack.evaluate("stack_database")["OPTIONS"] == {"charset": "utf8mb4"}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param(
            {"preflight_soft_time_limit": 1800}, ["stack_soft_time_limit", "stack_time_limit"], id="soft and hard"
        ),
        pytest.param(
            {"preflight_longest_delay": 5340},
            ["stack_visibility_timeout", "stack_longest_delay", "stack_time_limit"],
            id="visibility",
        ),
        pytest.param({EXTRA: {"task_soft_time_limit": 1}}, ["task_soft_time_limit"], id="a time past its variable"),
        pytest.param(
            {EXTRA: {"broker_transport_options": {"visibility_timeout": 1}}}, ["visibility_timeout"], id="nested"
        ),
        pytest.param(
            {EXTRA: {"worker_consumer": "x"}, "preflight_runtime_parts": ["watchdog"]},
            ["worker_consumer", "(watchdog)"],
            id="part",
        ),
        pytest.param({"preflight_lease_seconds": 29}, ["stack_lease_seconds is 29"], id="lease"),
        pytest.param({"preflight_delivery_limit": -1}, ["stack_delivery_limit is -1"], id="limit"),
        pytest.param({"preflight_message_max_bytes": 1024}, ["stack_message_max_bytes is 1024"], id="bytes"),
        pytest.param(
            {"preflight_message_signing": True, "preflight_signing_is_complete": False},
            ["stack_message_signing is on", "stack_message_signing_key"],
            id="signing",
        ),
        pytest.param({"preflight_publish_timeout": 0.0}, ["stack_publish_timeout is 0.0"], id="publish"),
    ],
)
def test_a_contradiction_is_named(role: Roles, variables: dict[str, Any], words: list[str]) -> None:
    faults = role("preflight", **({"preflight_app": "shop"} | variables)).evaluate("__preflight_faults")
    assert len(faults) == 1, faults
    assert [word for word in words if word not in faults[0]] == []


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"preflight_longest_delay": 5339},
        {EXTRA: {"worker_consumer": "x", "result_backend": "x"}, "preflight_runtime_parts": ["memory"]},
        {
            EXTRA: {"worker_concurrency": 2, "broker_transport_options": {"socket_timeout": 9}},
            "preflight_runtime_parts": ["transport"],
        },
    ],
)
def test_what_can_work_is_not_refused(role: Roles, variables: dict[str, Any]) -> None:
    assert role("preflight", **({"preflight_app": "shop"} | variables)).evaluate("__preflight_faults") == []
