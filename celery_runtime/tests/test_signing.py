"""Signed messages: sent and read by all who have the key, refused from whoever hasn't."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for

SEPARATOR = b"\x00\x01"


def make_key(folder: Path) -> None:
    """Make a key and its certificate as docs/operations.md says."""
    folder.mkdir()
    command = "openssl req -x509 -newkey rsa:3072 -nodes -days 3650 -subj /CN=messages"
    files = ["-keyout", str(folder / "signing_key"), "-out", str(folder / "signing_certificate")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)


@pytest.fixture
def signed(celery: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return Celery with signed messages, and the key handed to it."""
    make_key(tmp_path / "credentials")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    celery.runtime["parts"].append("signing")
    return celery


def forged(content: bytes, content_type: str = "application/data", **headers: Any) -> bytes:
    return json.dumps(
        {
            "body": base64.b64encode(content).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"task": "jobs.note", "id": str(uuid.uuid4()), **headers},
            "properties": {
                "delivery_info": {"exchange": "", "routing_key": "low"},
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    ).encode()


def pack(*fields: bytes) -> bytes:
    return base64.b64encode(SEPARATOR.join(fields))


def test_signed_tasks_are_done_and_others_refused(signed: Any, server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    plain = b'[[], {"name": "forged"}, {}]'
    signed.send("note", "caught")
    caught = json.loads(server.client.rpop("low"))
    assert caught["content-type"] == "application/data"
    true = base64.b64decode(base64.b64decode(caught["body"])).split(SEPARATOR, maxsplit=4)
    worker = signed.worker()
    own = tmp_path / "credentials"
    # Somebody who has a key of another environment.
    make_key(tmp_path / "stranger")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "stranger"))
    signed.send("note", "stranger")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(own))
    for content in (
        b"",
        b"no base64 at all",
        pack(b"", b""),
        pack(*true[:4], plain),
        pack(true[0], b"", *true[2:4], plain),
        # What was signed as JSON is to be read as pickle.
        pack(*true[:2], b"application/x-python-serialize", b"binary", true[4]),
    ):
        server.client.lpush("low", forged(content or b" "))
    server.client.lpush("low", forged(plain, "application/json"))
    signed.send("note", "good")
    wait_for(lambda: "good" in signed.effects() or worker.poll() is not None, "good")
    assert worker.poll() is None, signed.log()
    assert not {"forged", "stranger", "caught"} & set(signed.effects())
    reasons = [
        json.loads(line)["story"][-1]["reason"] for line in signed.run("dead-letters", "list", "--json").splitlines()
    ]
    assert len(reasons) == 8, reasons
    assert all("unreadable: " in reason for reason in reasons)
    for says in (
        "Unknown certificate",
        "not signed",
        "signature does not fit",
        "not application/json",
        "Refusing to deserialize",
    ):
        assert any(says in reason for reason in reasons), (says, reasons)


def test_retries_and_control_commands_are_signed_too(signed: Any, tmp_path: Path) -> None:
    signed.worker()
    signed.send("fail_until", str(tmp_path / "credentials"))
    wait_for(lambda: "done" in signed.effects(), "done")
    assert "one@test" in signed.run("inspect", "ping")


def test_headers_are_not_signed(signed: Any, server: Any) -> None:
    """What isn't promised: a signed body under another task's name, and a second time."""
    signed.send("note", "again")
    raw = server.client.lindex("low", 0)
    server.client.lpush("low", raw.replace(json.loads(raw)["properties"]["delivery_tag"].encode(), b"another"))
    signed.worker()
    wait_for(lambda: signed.effects().count("again") == 2, "again")
