"""Tells in a line what went wrong while a project was loaded: the variable that leads there, the error, and the project's own line of code."""

from __future__ import annotations

import errno
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from . import programs
from .configuration import ConfigurationError
from .masking import masked, own_secrets

SETTINGS = "DJANGO_SETTINGS_MODULE"
SETTINGS_MODULE = "celery_runtime.settings"
HERE = Path(__file__).resolve().parent
# How django-environ and python-decouple say that a variable of the environment is missing.
MISSING_VARIABLE = re.compile(r"^Set the (\w+) environment variable|^(\w+) not found\. Declare it as envvar")
# A library of the system's; the second is psycopg's way to say so.
MISSING_LIBRARY = re.compile(r"cannot open shared object file|no pq wrapper available")
# How Python's logging says which handler of LOGGING it couldn't make.
NO_HANDLER = re.compile(r"^Unable to configure handler ('.*')$")
# How Django says that it doesn't know the app of a model.
NO_APP = re.compile(r"^Model class ([\w.]+)\.models\.\w+ doesn't declare an explicit app_label")
FOLDER = "a folder of stack_writable_folders, which the environment variable STACK_FOLDER_<NAME> names"
# A project may end its process, too.
FAILURES = (Exception, SystemExit)


def explained(error: BaseException, what: str) -> str:
    """Return a line that says what failed and where, without secrets.

    Args:
        error: what was raised.
        what: the variable and what was done with it, such as `stack_wsgi_app: 'shop.wsgi' can't be loaded`.
    """
    text = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {_words(error)}"
    where, fix = place(_frames(error)), advice(error)
    line = f"{what}: {text}{f' ({where})' if where else ''}{f'. {fix}' if fix else ''}"
    return str(masked(line, own_secrets()))


def whole(error: BaseException) -> str:
    """Return the traceback as Python writes it, without secrets."""
    return str(masked("".join(traceback.format_exception(error)), own_secrets()))


def _words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return str(error.msg)
    return " ".join(str(error).split())


def _frames(error: BaseException) -> list[tuple[str, int, str]]:
    """Return file, line and code of each frame; a file that can't be parsed counts as the last."""
    found = [
        (frame.filename, frame.lineno or 0, frame.line or "") for frame in traceback.extract_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        found.append((error.filename, error.lineno or 0, (error.text or "").strip()))
    return found


def place(frames: Iterable[tuple[str, int, str]]) -> str:
    """Return the last line of the project's own among these, or the last of all where none is its own; nothing without a file."""
    named = [(_own_name(file), file, number, code) for file, number, code in frames if not file.startswith("<")]
    if not named:
        return ""
    own, file, number, code = next((frame for frame in reversed(named) if frame[0]), named[-1])
    return f"{own or file}, line {number}{f': {code}' if code else ''}"


def _own_name(file: str) -> str:
    """Return the path of a file of the project's, as the project has it; nothing for one of a package's."""
    path = Path(file)
    if "site-packages" in path.parts or path.is_relative_to(HERE):
        return ""
    for root in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return ""


def advice(error: BaseException) -> str:
    """Return which variable mends an error of a kind that is known; nothing for another."""
    missing = MISSING_VARIABLE.search(str(error))
    if missing or _asked_environment(error):
        name = (missing[1] or missing[2]) if missing else error.args[0]
        return f"Set {name} in stack_environment, or in stack_secret_environment"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"Name the package that brings {error.name.partition('.')[0]} in a file of django_project_requirements; "
            "a module of the project's own must lie in a folder of stack_python_path"
        )
    if unknown := NO_APP.search(str(error)):
        return f"Django must know the app {unknown[1]}: name it in INSTALLED_APPS of the project, or in django_project_installed_apps"
    if isinstance(error, ImportError) and MISSING_LIBRARY.search(str(error)):
        return "Name the Debian package that has the library in django_project_packages"
    refused = programs.hint(error)
    return refused[:1].upper() + refused[1:] or _not_written(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an error and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _not_written(error: BaseException) -> str:
    """Return what to do about a file that can't be written, or a folder that can't be made; nothing for another error."""
    chain = list(_chain(error))
    handler = next((found[1] for one in chain if (found := NO_HANDLER.search(str(one)))), "")
    path = next((str(one.filename) for one in chain if isinstance(one, OSError) and _is_closed(one, handler != "")), "")
    if not path:
        return ""
    if handler:
        return (
            f"The handler {handler} of LOGGING can't write to {path}. Let it be a logging.StreamHandler: what goes to stderr, the journal "
            f"keeps. Or let it write to {FOLDER}"
        )
    return f"Services may not write to {path}: let the project write to {FOLDER}"


def _is_closed(error: OSError, is_log: bool) -> bool:
    """Tell whether an error comes of a place that may not be written to. What may not be read is another matter."""
    if not isinstance(error.filename, (str, os.PathLike)):
        return False
    path = Path(error.filename)
    if error.errno == errno.EROFS or (is_log and error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT)):
        return True
    if error.errno not in (errno.EACCES, errno.EPERM):
        return False
    if os.path.lexists(path):
        return os.access(path, os.R_OK) and not os.access(path, os.W_OK)
    return path.parent.is_dir() and not os.access(path.parent, os.W_OK)


def _asked_environment(error: BaseException) -> bool:
    """Tell whether the error comes from `os.environ[…]`."""
    last: TracebackType | None = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return (
        isinstance(error, KeyError)
        and last is not None
        and last.tb_frame.f_code is type(os.environ).__getitem__.__code__
    )


class Watch:
    """Notes where code of the project's replaces the settings module of this process. It stays for as long as the process lives."""

    def __init__(self) -> None:
        self.place = ""
        environment = type(os.environ)
        watch = self

        class Watched(environment):  # type: ignore[valid-type,misc]
            def __setitem__(self, name: str, value: str) -> None:
                if name == SETTINGS and value != SETTINGS_MODULE:
                    watch.place = place([(one.filename, one.lineno or 0, "") for one in traceback.extract_stack()])
                super().__setitem__(name, value)

        os.environ.__class__ = Watched

    def complaint(self, what: str) -> str:
        """Return what is wrong where the settings aren't the deployment's any more; nothing where they are."""
        chosen = os.environ.get(SETTINGS)
        if chosen == SETTINGS_MODULE:
            return ""
        return (
            f"{what}: {self.place or 'the project'} replaced {SETTINGS} with {chosen}, and would run without the deployment's settings. "
            f'Fix: write os.environ.setdefault("{SETTINGS}", "{chosen}") there'
        )
