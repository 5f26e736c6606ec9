"""A project whose dependencies are hostile: wheels with code that starts by itself, and an editable folder with a build backend."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

from testbench.podman import ROOT

HERE = Path(__file__).resolve().parent / "hostile"
REFUSED = '\napp.conf.update(accept_content=["json", "pickle"])\n'
# `import` at the beginning of a line of a .pth is executed at each start of the interpreter: https://docs.python.org/3/library/site.html
PTH = "import os, hostile_witness; hostile_witness.testify('pth', os.path.dirname(hostile_witness.__file__))\n"
CUSTOMIZE = (
    "import os, hostile_witness\nhostile_witness.testify('sitecustomize', os.path.dirname(hostile_witness.__file__))\n"
)


def copied(folder: Path) -> Path:
    """Return a copy of the sample project."""
    ignored = shutil.ignore_patterns("__pycache__", ".*", "db.sqlite3", "media", "staticfiles")
    return Path(shutil.copytree(ROOT / "sample_project", folder, ignore=ignored))


def wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """Write a wheel of version 1.0 and return its line for a file of requirements, with its hash."""
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    path = folder / f"{module}-1.0-py3-none-any.whl"
    files |= {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hostile\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def hostile(folder: Path, peers: list[tuple[str, int]]) -> Path:
    """Return the sample project with hostile dependencies in `hostile.txt`; its release is built, and then refused by the probe."""
    source = copied(folder)
    witness = (HERE / "witness.py").read_text().replace("PEERS = []", f"PEERS = {peers!r}")
    shutil.copytree(HERE / "backend", source / "editable")
    (source / "editable/witness.py").write_text(witness)
    wheels = source / "wheels"
    wheels.mkdir()
    lines = "--find-links wheels/\n"
    lines += wheel(wheels, "hostile-pth", {"hostile.pth": PTH, "hostile_witness.py": witness})
    lines += wheel(wheels, "hostile-customize", {"sitecustomize.py": CUSTOMIZE})
    (source / "hostile.txt").write_text(lines + "-e ./editable\n")
    with (source / "sample/celery.py").open("a") as celery:
        celery.write(REFUSED)
    return source
