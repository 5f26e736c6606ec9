"""Build the wheel of a Python project that lies on the controller."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# As PEP 517 says it: with the project as the working directory.
HOOK = "import importlib, sys; print(importlib.import_module(sys.argv[1]).build_wheel(sys.argv[2]))"
# 1980-01-01, the first day that an archive of this kind knows.
EPOCH = "315532800"
# Their settings make no other wheel.
DEVELOPERS_TOOLS = ("mypy", "pytest", "ruff")


class NotBuilt(Exception):
    """There is no wheel; the text says why, and what to do."""


def metadata(src: Path) -> dict[str, Any]:
    """Return what a project's file says, without the tables of tools that only its developers use."""
    tables = tomllib.loads((src / "pyproject.toml").read_text())
    tables["tool"] = {name: table for name, table in tables.get("tool", {}).items() if name not in DEVELOPERS_TOOLS}
    tables.pop("dependency-groups", None)
    return tables


def sources(src: Path) -> list[Path]:
    """Return the files that a wheel is made of beside that one, sorted: the licence, and all below `src/` but compiled code."""
    found = [path for path in (src / "src").rglob("*") if path.is_file()]
    modules = [path for path in found if path.suffix not in (".pyc", ".pyo") and "__pycache__" not in path.parts]
    return sorted([*modules, src / "LICENSE"])


def digest(src: Path, beside: list[Path]) -> str:
    """Return the SHA-256 over the metadata, the names and contents of the sources, and those of what goes along."""
    total = hashlib.sha256(json.dumps(metadata(src), sort_keys=True).encode())
    named = [*((str(path.relative_to(src)), path) for path in sources(src)), *((path.name, path) for path in beside)]
    for name, path in named:
        content = path.read_bytes()
        total.update(f"{len(content)} {name}\0".encode() + content)
    return total.hexdigest()


def build(src: Path, beside: list[Path], dest: Path) -> Path:
    """Build the wheel, and an archive of it and of what goes along, unless that was done already; return the wheel's path.

    Args:
        src: the project.
        beside: what goes along.
        dest: where both get a folder of their own; the archive is called `archive.tar`.

    Raises:
        NotBuilt: the backend isn't here, or it refuses.
    """
    folder = dest / f"wheel-{digest(src, beside)}"
    if not folder.exists():
        dest.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=dest, ignore_cleanup_errors=True) as staging:
            _build(src, Path(staging, "wheel"))
            _pack([*Path(staging, "wheel").iterdir(), *beside], Path(staging, "wheel/archive.tar"))
            try:
                Path(staging, "wheel").rename(folder)
            except OSError:
                # For another host it was built at the same time.
                if not folder.exists():
                    raise
    [wheel] = folder.glob("*.whl")
    return wheel


def backend_of(src: Path) -> str:
    """Return the module that builds a project's wheel.

    Raises:
        NotBuilt: it isn't here.
    """
    system = metadata(src)["build-system"]
    backend: str = system["build-backend"]
    if importlib.util.find_spec(backend.partition(".")[0]) is None:
        raise NotBuilt(
            f"the Python that runs Ansible, {sys.executable}, lacks {backend.partition('.')[0]}, which builds the wheel of {src}. "
            f"Install {' '.join(system['requires'])} there"
        )
    return backend


def _build(src: Path, folder: Path) -> None:
    backend = backend_of(src)
    folder.mkdir()
    done = subprocess.run(
        # Nothing of the sources' folder is imported, nor written there.
        [sys.executable, "-P", "-B", "-c", HOOK, backend, str(folder)],
        cwd=src,
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotBuilt(f"the wheel of {src} can't be built: {done.stderr.strip() or done.stdout.strip()}")


def _pack(files: list[Path], archive: Path) -> None:
    """Pack files under their own names. Who owns them, when and how they were written stays here."""
    with tarfile.open(archive, "w") as tar:
        for path in files:
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)


class ActionModule(ActionBase):
    """The action; it never contacts the host."""

    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Digest and, where asked, build."""
        result = super().run(tmp, task_vars)
        src = Path(str(self._task.args["src"])).expanduser().resolve()
        if not (src / "pyproject.toml").is_file():
            raise AnsibleActionFail(f"{src} on the controller holds no pyproject.toml")
        beside = [Path(str(path)) for path in self._task.args.get("beside", [])]
        result.update(changed=False, digest=digest(src, beside))
        try:
            # Before a host is touched, and not on the day on which one needs a wheel.
            backend_of(src)
            if self._task.args.get("dest"):
                wheel = build(src, beside, Path(str(self._task.args["dest"])))
                result.update(wheel=str(wheel), archive=str(wheel.with_name("archive.tar")))
        except NotBuilt as reason:
            raise AnsibleActionFail(str(reason)) from None
        return result
