"""What Celery shows of its configuration tells no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery_runtime.masking import MASK, filter_hidden_settings

SECRETS = "hunter2-of-the-broker", "hunter2-of-the-cache", "hunter2-of-a-service"


@pytest.mark.parametrize(
    ("setting", "value", "shown"),
    [
        ("broker_url", f"redis://worker:{SECRETS[0]}@192.0.2.1/0", f"redis://worker:{MASK}@192.0.2.1/0"),
        ("CELERY_BROKER_URL", f"redis://:{SECRETS[0]}@192.0.2.1/0", f"redis://:{MASK}@192.0.2.1/0"),
        ("ANY_PREFIX_BROKER_URL", f"redis+socket://u:{SECRETS[0]}@/run/r.sock", f"redis+socket://u:{MASK}@/run/r.sock"),
        (
            "CELERY_BROKER_READ_URL",
            [f"redis://:{SECRETS[0]}@a", f"redis://:{SECRETS[0]}@b"],
            [f"redis://:{MASK}@a", f"redis://:{MASK}@b"],
        ),
        (
            "CACHES",
            {"default": {"LOCATION": f"redis://:{SECRETS[1]}@c/1"}},
            {"default": {"LOCATION": f"redis://:{MASK}@c/1"}},
        ),
        (
            "BROKER_TRANSPORT_OPTIONS",
            {"sentinel_kwargs": {"password": SECRETS[0]}},
            {"sentinel_kwargs": {"password": MASK}},
        ),
        ("SENTRY_DSN", f"https://{SECRETS[2]}@sentry.example.com/1", MASK),
        ("SECRET_KEY", SECRETS[2], MASK),
        ("HEADER_OF_A_SERVICE", f"Bearer {SECRETS[2]}", f"Bearer {MASK}"),
        ("task_default_queue", "low", "low"),
        ("beat_scheduler", "orchard-db.schedulers:Own", "orchard-db.schedulers:Own"),
        ("worker_concurrency", 4, 4),
        ("result_expires", None, None),
    ],
)
def test_a_setting_is_shown_without_its_secret(
    setting: str, value: Any, shown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "service").write_text(f"{SECRETS[2]}\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    # The name of a role of the database is none.
    (tmp_path / "database_user").write_text("orchard-db\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert filter_hidden_settings({setting: value}) == {setting: shown}
