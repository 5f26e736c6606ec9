"""Texts of senders in lines of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery_runtime import log_text


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    """Have records made as in a worker."""
    before = logging.getLogRecordFactory()
    log_text.install()
    yield
    logging.setLogRecordFactory(before)


def made(name: Any, text: str, *arguments: Any) -> str:
    """Return the text of a record as a logger makes it."""
    return logging.getLogRecordFactory()(name, logging.INFO, "", 0, text, arguments, None).getMessage()


def test_a_record_that_is_made_of_another_is_the_same() -> None:
    """Formatters copy records so, structlog's among them."""
    record = logging.getLogRecordFactory()("celery.worker.strategy", 20, "", 0, "%(id)s", ({"id": "a\nb"},), None)
    assert logging.makeLogRecord(record.__dict__).getMessage() == record.getMessage() == "a\\nb"


def test_texts_of_celerys_records_are_one_line_each() -> None:
    assert made("celery.app.trace", "Task %s: %r", "one\ntwo\u2028", ["\n"]) == "Task one\\ntwo\\u2028: ['\\n']"
    assert made("celery.app.trace", "%(traceback)s", {"traceback": "one\ntwo"}) == "one\ntwo"
    assert len(made("celery.worker.request", "%s", "x" * 10**6)) == log_text.LONGEST
    assert made("celery.worker.request", "nothing to say") == "nothing to say"


def test_records_of_others_are_left_as_they_are() -> None:
    assert made("shop", "%s", "one\ntwo") == "one\ntwo"
