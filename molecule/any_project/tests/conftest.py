"""Fixtures of the scenario: the host, its site, and what the inventory says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from orchard import Site

from testbench.front import Front


@pytest.fixture(scope="module")
def variables(host: Any) -> dict[str, Any]:
    """Return what the inventory says of the host."""
    return dict(host.ansible.get_variables())


@pytest.fixture(scope="module")
def secrets(variables: dict[str, Any]) -> Path:
    """Return the controller's folder of what must not leave it."""
    return Path(variables["testbench_mail_folder"]).parent / "secrets"


@pytest.fixture(scope="module")
def site(variables: dict[str, Any], secrets: Path) -> Site:
    """Return the site, as a browser meets it that trusts the authority which site.yml made."""
    return Site(Front(variables["ansible_host"], secrets / "ca/ca.pem"))
