"""Each setting that the stack lays over a project's has a reason of its own, with a variable that there is."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import yaml
from conftest import ROOT, Role


@pytest.fixture(scope="module")
def reasons() -> ModuleType:
    """Return the runtime's module, which needs nothing of Celery's."""
    spec = importlib.util.spec_from_file_location("reasons", ROOT / "celery_runtime/src/celery_runtime/reasons.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["reasons"] = module
    spec.loader.exec_module(module)
    return module


FAR: dict[str, Any] = {
    "stack_broker_host": "192.0.2.11",
    "stack_database_host": "192.0.2.12",
    "stack_broker_seed": "s" * 32,
    "stack_mail_host": "192.0.2.13",
    "stack_mail_from": "a@example.com",
    "stack_secret_key": "k" * 50,
    "stack_database_password": "p" * 16,
    "ansible_host": "192.0.2.10",
    "inventory_hostname": "one",
}


def test_each_setting_of_the_stack_has_one(role: Callable[..., Role], reasons: ModuleType) -> None:
    stack = role("stack", **FAR)
    assert set(stack.evaluate("stack_celery_settings")) - set(reasons.CELERY) == set()
    assert set(stack.evaluate("stack_django_settings")) - set(reasons.DJANGO) == set()
    assert set(stack.evaluate("stack_database")) - set(reasons.DATABASE) == set()
    credentials = set(stack.evaluate("stack_credential_settings")) - {"DATABASE_USER", "DATABASE_PASSWORD"}
    assert credentials - set(reasons.DJANGO) == {"CELERY_BROKER_URL"}
    assert "broker_url" in reasons.CELERY


def test_each_reason_names_a_variable_that_there_is(reasons: ModuleType) -> None:
    inputs: set[str] = set()
    for path in (ROOT / "roles").glob("*/defaults/main.yml"):
        inputs |= set(yaml.safe_load(path.read_text()) or {})
    named = {
        reason.variable for table in (reasons.CELERY, reasons.DJANGO, reasons.DATABASE) for reason in table.values()
    }
    assert named - inputs == set()
