"""What gunicorn is started with."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from conftest import Role


@pytest.mark.parametrize(
    ("wrapper", "application"),
    [
        ("", "shop.wsgi:application"),
        ("celery_runtime.behind_front:application", "celery_runtime.behind_front:application('shop.wsgi:application')"),
    ],
)
def test_gunicorn_gets_the_application_as_one_word(role: Callable[..., Role], wrapper: str, application: str) -> None:
    web = role("django_web", django_web_wsgi_app="shop.wsgi:application", django_web_wrapper=wrapper)
    assert shlex.split(web.evaluate("__django_web_service.exec_start"))[-1] == application
