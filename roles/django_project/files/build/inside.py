"""The steps of a build that touch what a project and its dependencies bring. Runs as the build's account, in its sandbox.

Run by build.py, which says where things are; the index's address, which may hold a login, comes as a credential.
"""

from __future__ import annotations

import argparse
import compileall
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

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

# What uv says of a package that is to be built, and may not or can't be. A test has uv say it.
NO_WHEEL = re.compile(r"Wheels are required for `([^`]+)` because building from source is disabled")
OTHER_PYTHON = re.compile(
    r"(\S+) requires (Python \S+) and|the current Python version \([^)]*\) does not satisfy (Python\S+)"
)
NOT_BUILT = re.compile(r"Failed to build `([^`=\s]+)")


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


def run(command: list[str], folder: Path | None = None, **more: str) -> int:
    """Run a command, with more variables, and return its exit status."""
    return subprocess.run(command, env=environment() | more, cwd=folder, check=False).returncode


class Refused(Exception):
    """A lock that can't be used; the text says what to do."""


def without_wheels(command: list[str], folder: Path, said: str) -> list[str]:
    """Return all packages without a wheel: uv names one, and is asked for the rest of the lock until it names none."""
    found: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        leave_out = Path(scratch) / "found.txt"
        while new := [name for name in NO_WHEEL.findall(said) if name not in found]:
            found += new
            leave_out.write_text("\n".join(found))
            dry = [*command, "--dry-run", f"--excludes={leave_out}"]
            said = subprocess.run(
                dry, env=environment(), cwd=folder, check=False, stderr=subprocess.PIPE, text=True
            ).stderr
    return sorted(found)


def ways_out(refused: list[str], said: str) -> list[str]:
    """Return what can be done about an installation that failed.

    Args:
        refused: the packages without a wheel.
        said: what uv said.
    """
    failed = list(dict.fromkeys(NOT_BUILT.findall(said)))
    names = ", ".join(refused)
    has, one = ("has", "it") if len(refused) == 1 else ("have", "them")
    return [
        *(
            [
                f"{names} {has} no wheel for this Python. To have {one} built from source, name {one} (django_project_build: [{names}]), and "
                "the Debian packages that this needs (django_project_build_packages); or bring wheels (django_project_wheels)"
            ]
            if refused
            else []
        ),
        *(
            f"{name or 'A package of the lock'} asks for {python or directly}: name another one in stack_python, or bring one with "
            "stack_python_archive and stack_python_sha256"
            for name, python, directly in dict.fromkeys(OTHER_PYTHON.findall(said))
        ),
        *(
            f"{name} could not be built from source. Compilers and headers that it needs are Debian packages: name them in "
            "django_project_build_packages, and libraries that it runs with in django_project_packages"
            for name in failed
        ),
    ]


def install_packages(command: list[str], folder: Path) -> int:
    """Run uv's installation, and add to what it says what to do about it."""
    done = subprocess.run(command, env=environment(), cwd=folder, check=False, stderr=subprocess.PIPE, text=True)
    lines = [*done.stderr.splitlines(), *ways_out(without_wheels(command, folder, done.stderr), done.stderr)]
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    return min(done.returncode, 1)


def other_python(options: argparse.Namespace, source: Path) -> list[str]:
    """Return why the project doesn't want the interpreter, or why that can't be used."""
    # Python is started without the folder of its script, and not every step has the package that this one needs.
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from python_wanted import faults

    code = "import platform; print(platform.python_version())"
    try:
        asked = subprocess.run(
            [options.python, "-I", "-c", code], env=environment(), check=False, capture_output=True, text=True
        )
    except OSError as error:
        return [f"{options.python} can't be run on this host (stack_python, stack_python_archive): {error}"]
    if asked.returncode != 0:
        return [
            f"{options.python} can't be run on this host (stack_python, stack_python_archive): {asked.stderr.strip()}"
        ]
    return faults(source, options.requirement, asked.stdout.strip())


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the project's source, or what takes the place of files in it.

    A link that leads out leads to nothing that this account could write to.
    """
    folder.mkdir(exist_ok=True)
    with tarfile.open(archive) as tar:
        for name in tar.getnames():
            # A file takes the place of a link, and not of what that leads to.
            (folder / name).unlink(missing_ok=True)
        if hasattr(tarfile, "fully_trusted_filter"):
            tar.extraction_filter = tarfile.fully_trusted_filter
        tar.extractall(folder)  # noqa: S202 (what comes out is verified before anybody uses it)  # nosec B202


def exported(lock: Path, options: argparse.Namespace) -> str:
    """Return what a project's uv.lock pins, as a requirements file: without the project itself and without what only its developers need.

    Raises:
        Refused: uv can't read it, or its pyproject.toml isn't beside it.
    """
    words = [
        options.uv,
        "export",
        "--quiet",
        "--frozen",
        "--no-dev",
        "--no-emit-project",
        "--no-header",
        f"--python={options.python}",
    ]
    extras = [f"--extra={name}" for name in options.extra]
    done = subprocess.run(
        [*words, *extras], env=environment(), cwd=lock.parent, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Refused(f"{lock.name} can't be read (django_project_requirements): {done.stderr.strip()}")
    return done.stdout


def converted(lock: Path) -> str:
    """Return what a pylock.toml pins, as a requirements file: its own addresses would go past the deployment's index.

    Raises:
        Refused: something in it has no version with hashes on an index.
    """
    lines = []
    packages: list[dict[str, Any]] = tomllib.loads(lock.read_text()).get("packages", [])
    for package in packages:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        hashes = [f"--hash=sha256:{file['hashes']['sha256']}" for file in files if "sha256" in file.get("hashes", {})]
        if "version" not in package or not hashes:
            raise Refused(
                f"{lock.name} (django_project_requirements): {package.get('name')} is not pinned by version and SHA-256 to files of an index; "
                "a build takes packages from the deployment's index alone"
            )
        marker = f" ; {package['marker']}" if "marker" in package else ""
        lines.append(" ".join([f"{package['name']}=={package['version']}{marker}", *hashes]))
    return "\n".join(lines) + "\n"


def requirement_files(options: argparse.Namespace, folder: Path) -> list[str]:
    """Return the project's requirements as uv installs them.

    Args:
        options: the step's.
        folder: where what is made of other locks is written to.

    Raises:
        Refused: a lock can't be used.
    """
    found = []
    for number, name in enumerate(options.requirement):
        lock = options.tree / "src" / name
        if lock.name == "uv.lock":
            text = exported(lock, options)
        elif lock.name.startswith("pylock.") and lock.suffix == ".toml":
            text = converted(lock)
        else:
            found.append(name)
            continue
        file = folder / f"{number}.txt"
        file.write_text(text)
        found.append(str(file))
    return found


def install(options: argparse.Namespace) -> int:
    """Lay out the source, make the environment, install the project's requirements."""
    tree: Path = options.tree
    if options.checkout:
        shutil.copytree(options.checkout, tree / "src", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    for archive in options.archive:
        unpack(archive, tree / "src")
    (tree / "src").mkdir(exist_ok=True)
    unreadable = [name for name in options.requirement if not os.access(tree / "src" / name, os.R_OK)]
    if unreadable:
        names = ", ".join(unreadable)
        sys.stderr.write(f"the source has no file {names} that the build can read (django_project_requirements)\n")
        return 1
    if reasons := other_python(options, tree / "src"):
        sys.stderr.write("\n".join(reasons) + "\n")
        return 1
    venv = tree / "venv"
    uv = [options.uv, "venv", "--quiet", "--no-project", "--python", options.python, str(venv)]
    if status := run(uv):
        return status
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = [f"--requirement={name}" for name in requirement_files(options, Path(folder))]
        except Refused as reason:
            sys.stderr.write(f"{reason}\n")
            return 1
        # Paths in a requirements file are relative to where it is read.
        uv = [
            options.uv,
            "pip",
            "install",
            "--quiet",
            f"--python={venv}/bin/python",
            *options.option,
            *files,
            *options.package,
        ]
        return install_packages(uv, tree / "src")


def own_command(command: list[str], tree: Path) -> int:
    """Run a command of the project's own in its source; the programs of its packages are found before the host's."""
    venv = tree / "venv"
    path = f"{venv}/bin:{os.environ.get('PATH', os.defpath)}"
    try:
        # Tools such as npm want a home, for what they fetch. The unit's own /tmp goes with it.
        return run(command, tree / "src", HOME="/tmp", PATH=path, VIRTUAL_ENV=str(venv))  # noqa: S108 (as above)  # nosec B108
    except FileNotFoundError:
        sys.stderr.write(
            f"django_project_build_commands: no program '{command[0]}' on this host, or among those of the project's packages. Name its "
            "Debian package in django_project_packages, or its Python package in the project's lock\n"
        )
    except OSError as error:
        sys.stderr.write(f"django_project_build_commands: '{command[0]}' can't be run: {error.strerror}\n")
    return 1


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
    one.add_argument("--checkout", type=Path, help="the project's clone")
    one.add_argument(
        "--archive", type=Path, action="append", default=[], help="the project, or files that take the place of its own"
    )
    one.add_argument("--tree", type=Path, required=True)
    one.add_argument("--uv", required=True)
    one.add_argument("--python", required=True)
    one.add_argument("--requirement", action="append", default=[])
    one.add_argument("--extra", action="append", default=[], help="of the project's own, to take from its uv.lock")
    one.add_argument("--package", action="append", default=[], help="to install besides")
    one.add_argument("--option", action="append", default=[])
    one = steps.add_parser("run", help="run a command with the index's environment")
    one.add_argument("command", nargs=argparse.REMAINDER)
    one = steps.add_parser("command", help="run a command of the project's own in its source")
    one.add_argument("--tree", type=Path, required=True)
    one.add_argument("command", nargs="*", help="behind --")
    one = steps.add_parser("compile")
    one.add_argument("--tree", type=Path, required=True)
    options = parser.parse_args()
    if options.step == "run":
        return run(options.command)
    if options.step == "command":
        return own_command(options.command, options.tree)
    return {"git": git, "install": install, "compile": compile_all}[options.step](options)


if __name__ == "__main__":
    sys.exit(main())
