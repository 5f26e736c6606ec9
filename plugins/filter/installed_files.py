"""Lists of files for `managed_files` that come of what is only known in a run: credentials, certificates.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What a shell and systemd alike would read as more than a character between double quotes: systemd.exec(5), EnvironmentFile=.
ESCAPED = str.maketrans({character: f"\\{character}" for character in '\\"$`'})


def environment_line(value: Any, name: str) -> str:
    """Return a line of a file that systemd reads as EnvironmentFile=; the value may hold anything, and comes whole."""
    return f'{name}="{str(value).translate(ESCAPED)}"'


def secret_files(credentials: Mapping[str, str], environment: Mapping[str, Any], folder: str) -> list[dict[str, Any]]:
    """Return the files; see the documentation of the filter."""
    lines = "".join(f"{environment_line(value, name)}\n" for name, value in _sorted(environment))
    contents = {f"{folder}/credentials/{name}": value for name, value in _sorted(credentials)}
    contents[f"{folder}/environment.secret"] = lines
    return [{"dest": dest, "content": content, "mode": "0600"} for dest, content in contents.items()]


def _sorted(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the items as Jinja's dictsort orders them: without regard of case."""
    return sorted(values.items(), key=lambda item: item[0].lower())


def certificate_files(
    signed: Iterable[Mapping[str, Any]], given: Iterable[str], own: Mapping[str, Any], bundle: str, folder: str
) -> dict[str, list[dict[str, Any]]]:
    """Return what is to trust, what was signed in this run, and what the team gave, as `files` and `sensitive_files` of a host.

    Args:
        signed: results of the task that signs: the name (`item.item`) and the certificate (PEM) of each.
        given: names of the certificates that the team brings.
        own: `certificate` and `key` (PEM) of each of those.
        bundle: certificates of the authorities that clients trust (PEM); empty for none.
        folder: where the files are to lie.
    """
    files: list[dict[str, Any]] = [{"dest": f"{folder}/ca.pem", "content": f"{bundle}\n"}] if bundle else []
    files += [
        {"dest": f"{folder}/{one['item']['item']}.pem", "content": f"{one['certificate'].strip()}\n"} for one in signed
    ]
    files += [{"dest": f"{folder}/{name}.pem", "content": f"{own[name]['certificate'].strip()}\n"} for name in given]
    keys = [
        {"dest": f"{folder}/{name}.key", "content": f"{own[name]['key'].strip()}\n", "mode": "0600"} for name in given
    ]
    return {"files": files, "sensitive_files": keys}


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (environment_line, secret_files, certificate_files)}
