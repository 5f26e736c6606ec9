"""What is said of a program that the sandbox refuses. That the sandbox itself is met so: molecule/default/tests/test_programs.py."""

from __future__ import annotations

import logging
import os
import subprocess
from pathlib import Path

import pytest
from celery_runtime import programs


@pytest.fixture
def gitlike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program on PATH that the kernel refuses whatever its mode, as it does below a file system without programs."""
    program = tmp_path / "gitlike"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (tmp_path / "notes").write_text("no program\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, *rest: Path(path) != program and access(path, *rest))
    return program


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "gitlike"),
        PermissionError(13, "Permission denied", b"gitlike"),
        FileNotFoundError(2, "No such file or directory", "gitlike"),
        ImportError("Bad gitlike executable. It must be on your $PATH"),
        RuntimeError("gitlike is not installed or it's not in your PATH"),
        RuntimeError("failed to execute PosixPath('gitlike'), make sure that it is there"),
        RuntimeError("Couldn't find gitlike or other"),
    ],
)
def test_the_hint_names_the_program_and_the_variable(gitlike: Path, error: Exception) -> None:
    text = programs.hint(error)
    assert str(gitlike) in text
    assert "stack_programs" in text


def test_an_error_behind_another_is_found(gitlike: Path) -> None:
    def fail() -> None:
        try:
            raise PermissionError(13, "Permission denied", "gitlike")
        except PermissionError as error:
            raise ImportError("no version") from error

    with pytest.raises(ImportError) as caught:
        fail()
    assert str(gitlike) in programs.hint(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no program at all"),
        PermissionError(13, "Permission denied", "/etc/shadow"),
        FileNotFoundError(2, "No such file or directory", "no-such-program"),
        RuntimeError("notes not found"),
        RuntimeError("sh not found"),
        RuntimeError("the 'nul\0byte' command"),
    ],
)
@pytest.mark.usefixtures("gitlike")
def test_another_error_has_no_hint(error: Exception) -> None:
    assert programs.hint(error) == ""


def test_what_may_be_started_is_not_refused() -> None:
    assert subprocess.run(["sh", "-c", "true"], check=False).returncode == 0
    assert programs.refused("sh") == ""


def test_a_task_and_a_request_that_fail_say_so_once(gitlike: Path, caplog: pytest.LogCaptureFixture) -> None:
    from celery import signals
    from django.core.signals import got_request_exception

    programs.install()
    programs.install()
    caplog.set_level(logging.WARNING)
    error = PermissionError(13, "Permission denied", "gitlike")
    signals.task_failure.send(sender=None, exception=error)
    try:
        raise error
    except PermissionError:
        got_request_exception.send(sender=None)
    assert [str(gitlike) in record.getMessage() for record in caplog.records] == [True, True]
