"""The steps of a build that touch what a project and its dependencies bring. Runs as the build's account, in its sandbox.

Run by build.py, which says where things are; the index's address, which may hold a login, comes as a credential.
"""

from __future__ import annotations

import argparse
import compileall
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

# Only these may name where submodules come from: no `ext::`, which is a command, and no local path of the build's host.
GIT_PROTOCOLS = "https:http:ssh:git"
# A repository of another account may be read here: nothing in it is run. No hook runs, and no watcher.
GIT_SETTINGS = """
[safe]
    directory = *
[core]
    hooksPath = /dev/null
    fsmonitor = false
[advice]
    detachedHead = false
"""


def credential(name: str) -> Path | None:
    """Return the file of a credential; None when the step has no such."""
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / name
    return path if path.is_file() else None


def environment() -> dict[str, str]:
    """Return the environment for uv: the deployment's index, and nothing of the host's that could change what is installed."""
    index = credential("index")
    named: dict[str, str] = json.loads(index.read_text()) if index else {}
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "UV_CACHE_DIR", "TMPDIR") if name in os.environ}
    return kept | {"HOME": "/nonexistent", "UV_LINK_MODE": "copy", "PYTHONDONTWRITEBYTECODE": "1"} | named


def run(command: list[str], folder: Path | None = None) -> int:
    """Run a command and return its exit status."""
    return subprocess.run(command, env=environment(), cwd=folder, check=False).returncode


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the project's source. A link that leads out leads to nothing that this account could write to."""
    folder.mkdir()
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "fully_trusted_filter"):
            tar.extraction_filter = tarfile.fully_trusted_filter
        tar.extractall(folder)  # noqa: S202 (what comes out is verified before anybody uses it)  # nosec B202


def install(options: argparse.Namespace) -> int:
    """Lay out the source, make the environment, install the project's requirements."""
    tree: Path = options.tree
    if options.archive:
        unpack(options.archive, tree / "src")
    else:
        shutil.copytree(options.checkout, tree / "src", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    unreadable = [name for name in options.requirement if not os.access(tree / "src" / name, os.R_OK)]
    if unreadable:
        names = ", ".join(unreadable)
        sys.stderr.write(f"the source has no file {names} that the build can read (django_project_requirements)\n")
        return 1
    venv = tree / "venv"
    uv = [options.uv, "venv", "--quiet", "--no-project", "--python", options.python, str(venv)]
    if status := run(uv):
        return status
    files = [f"--requirement={name}" for name in options.requirement]
    # Paths in a requirements file are relative to where it is read.
    uv = [options.uv, "pip", "install", "--quiet", f"--python={venv}/bin/python", *options.option, *files]
    return run(uv, tree / "src")


def compile_all(options: argparse.Namespace) -> int:
    """Compile what was installed. Nothing is imported; what isn't Python of this version stays as it is."""
    files = [
        str(path) for path in (options.tree / "venv/lib").rglob("*.py") if path.is_file() and not path.is_symlink()
    ]
    # By fork: the other ways of starting a process want a socket of the kind that a build may not have.
    with multiprocessing.get_context("fork").Pool() as pool:
        pool.map(partial(compileall.compile_file, quiet=2), files, chunksize=50)
    return 0


def git(options: argparse.Namespace) -> int:
    """Fetch a ref of a repository, check it out with its submodules, and print the commit."""
    folder = str(options.checkout)
    key, known = credential("git_key"), credential("git_known_hosts")
    ssh = "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    if key:
        # ssh wants one of its own, that others can't read.
        own = Path("/tmp/git_key")  # noqa: S108 (the unit's own /tmp)  # nosec B108
        own.touch(mode=0o600)
        own.write_text(key.read_text())
        ssh += f" -i {own}"
    if known:
        ssh += f" -o UserKnownHostsFile={known}"
    settings = Path("/tmp/gitconfig")  # noqa: S108 (as above)  # nosec B108
    settings.write_text(GIT_SETTINGS)
    named = environment() | {"GIT_SSH_COMMAND": ssh, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": str(settings)}

    def call(*words: str, check: bool = True) -> str:
        command = ["git", "-C", folder, *words]
        return subprocess.run(command, env=named, stdout=subprocess.PIPE, text=True, check=check).stdout.strip()

    def commit(name: str) -> str:
        """Return the number of a commit; nothing when the clone has none of that name."""
        return call("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", check=False)

    try:
        Path(folder).mkdir(exist_ok=True)
        if not Path(folder, ".git").is_dir():
            call("init", "--quiet", "--template=")
        # Branches, tags and HEAD under names of their own; what the remote has no more is forgotten.
        specs = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*", "+HEAD:refs/remotes/origin/HEAD"]
        call("fetch", "--quiet", "--force", "--prune", "--end-of-options", options.repository, *specs)
        names = (f"refs/tags/{options.ref}", f"refs/remotes/origin/{options.ref}", options.ref)
        number = next((found for name in names if (found := commit(name))), "")
        if not number:
            sys.stderr.write(f"{options.ref} is no tag, branch or commit of the repository (django_project_git_ref)\n")
            return 1
        call("checkout", "--quiet", "--force", "--detach", number)
        call("clean", "--quiet", "-ffdx")
        if Path(folder, ".gitmodules").is_file():
            named["GIT_ALLOW_PROTOCOL"] = GIT_PROTOCOLS
            call("submodule", "sync", "--quiet", "--recursive")
            call("submodule", "update", "--quiet", "--init", "--recursive", "--force")
    except subprocess.CalledProcessError:
        # git has said why.
        return 1
    sys.stdout.write(f"{number}\n")
    return 0


def main() -> int:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    one = steps.add_parser("git")
    one.add_argument("--checkout", type=Path, required=True)
    one.add_argument("--repository", required=True)
    one.add_argument("--ref", required=True)
    one = steps.add_parser("install")
    source = one.add_mutually_exclusive_group(required=True)
    source.add_argument("--archive", type=Path)
    source.add_argument("--checkout", type=Path)
    one.add_argument("--tree", type=Path, required=True)
    one.add_argument("--uv", required=True)
    one.add_argument("--python", required=True)
    one.add_argument("--requirement", action="append", default=[])
    one.add_argument("--option", action="append", default=[])
    one = steps.add_parser("run", help="run a command with the index's environment")
    one.add_argument("command", nargs=argparse.REMAINDER)
    one = steps.add_parser("compile")
    one.add_argument("--tree", type=Path, required=True)
    options = parser.parse_args()
    if options.step == "run":
        return run(options.command)
    return {"git": git, "install": install, "compile": compile_all}[options.step](options)


if __name__ == "__main__":
    sys.exit(main())
