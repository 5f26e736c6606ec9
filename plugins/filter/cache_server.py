"""The cache, a Redis of its own for what may be lost: its users, its memory, and what is wrong with the inputs.

Pure functions of the inputs, so that what is granted and refused can be read, printed and tested without a host. That the users can do their
work, and no more, is for real servers to say: celery_runtime/tests/test_cache.py and molecule/default. Each filter is documented in a file
of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Whatever data are made of, and channels: a cache's keys have the names that the project gives them.
GRANTED = ("+@read", "+@write", "+@connection", "+@transaction", "+@pubsub")
# Redis' own groups: what changes or shows the server, and what can stop it, such as KEYS, SORT and FLUSHALL. A library that is left on the
# server outlives whoever loaded it.
WITHHELD = ("-@admin", "-@dangerous", "-function")
# What channels_redis and django-redis load and run; who may not end or remove the scripts of others.
SCRIPTS = ("+eval", "+evalsha", "+eval_ro", "+evalsha_ro", "+script|load", "+script|exists")
# Django's `cache.clear()`. Who may remove each key may as well remove all.
CLEAR = ("+flushdb",)
ANYWHERE = ("~*", "&*")
# Of a service that asks for this right alone: no key is changed, and no script is run, which would be another's work.
READ = "read"
READING = ("+@read", "+@connection")
READ_ANYWHERE = ("%R~*",)
COMMAND = re.compile(r"[a-z]+([|.][a-z-]+)*")
ADDRESS = re.compile(r"-?(?=.*[.:])[0-9A-Fa-f.:]+")
NETWORK = re.compile(r"(?=.*[.:])[0-9A-Fa-f.:]+(/[0-9]{1,3})?")
# Less than this (MiB) holds no more than Redis itself; a larger share leaves none to the rest of the host.
LEAST_MIB = 16
LARGEST_SHARE = 0.75
LEAST_CLIENTS = 16
# Entries of the cache that have variables of their own.
OWNED = ("BACKEND", "LOCATION")


def cache_users(
    passwords: Mapping[str, str], commands: Iterable[str] = (), rights: Mapping[str, Iterable[str]] | None = None
) -> list[dict[str, Any]]:
    """Return the cache's users with their rules, as the role `redis` installs them.

    Args:
        passwords: password of each service. What they share in a cache, each may read and write.
        commands: what they may do besides.
        rights: what those services may do that log in only where they are asked to.
    """
    besides = [f"+{command}" for command in commands]
    whole = [*GRANTED, *WITHHELD, *SCRIPTS, *CLEAR, *besides, *ANYWHERE]
    # What is granted besides may be a command that writes; the keys don't let it.
    reading = [*READING, *WITHHELD, *besides, *READ_ANYWHERE]
    narrow = {name for name, asked in (rights or {}).items() if set(asked) == {READ}}
    return [
        {"name": name, "password": password, "rules": reading if name in narrow else whole}
        for name, password in passwords.items()
    ]


def cache_memory_mib(memory_mib: int, share: float, host_mib: int) -> int:
    """Return the memory (MiB) that the data in the cache may take.

    Args:
        memory_mib: what the inventory says; 0 for a share.
        share: share of the host's memory, as a fraction.
        host_mib: the host's memory (MiB).
    """
    return int(memory_mib) or int(int(host_mib) * float(share))


def cache_faults(
    options: Mapping[str, Any], hosts: Sequence[str], application: Sequence[str], host_mib: int
) -> list[str]:
    """Return what is wrong with the cache's inputs, each with the variable and the mend.

    Args:
        options: the inputs of the role `stack` by their names without `stack_cache_`; `django_settings_extra`; `on_host`: whether services
            find the cache on their own host; `broker_port`: the port of a broker on the cache's host, or 0.
        hosts: those that run the cache.
        application: those of the group app.
        host_mib: the memory (MiB) of a host that is to run it; 0 where it isn't known.
    """
    host, is_near = options["host"], options["on_host"]
    strangers = sorted(set(application) - set(hosts))
    if not hosts:
        return ["stack_cache is on, and no host is to run it: put one into the group cache"]
    rules = [
        (
            is_near and strangers,
            f"stack_cache_host is '{host}', and {', '.join(strangers)} of the group app would run no cache: set it to the address of the "
            "host of the group cache",
        ),
        (
            not is_near and not options["bind"],
            f"stack_cache_bind is empty, and services look for the cache at {host} (stack_cache_host): list the addresses that it is to "
            f"listen on, such as [127.0.0.1, {host}]",
        ),
        (
            options["bind"] and not options["client_networks"],
            "stack_cache_client_networks is empty, and stack_cache_bind isn't: list the networks from which clients come, such as 10.0.0.0/24",
        ),
        (
            not 1024 <= int(options["port"]) <= 65535,
            f"stack_cache_port is {options['port']}: set a port from 1024 to 65535",
        ),
        (
            options["bind"] and int(options["port"]) == int(options["broker_port"]),
            f"stack_cache_port is {options['port']}, which is the broker's (stack_broker_port) on the same host: set another",
        ),
        (
            int(options["maxclients"]) < LEAST_CLIENTS,
            f"stack_cache_maxclients is {options['maxclients']}: set at least {LEAST_CLIENTS}",
        ),
        (
            not 0 < float(options["memory_share"]) <= LARGEST_SHARE,
            f"stack_cache_memory_share is {options['memory_share']}: set a fraction above 0 and at most {LARGEST_SHARE}",
        ),
    ]
    faults = [fault for is_wrong, fault in rules if is_wrong]
    faults += _list_faults(options)
    return faults + (_memory_faults(options, int(host_mib)) if host_mib and not faults else [])


def _list_faults(options: Mapping[str, Any]) -> list[str]:
    checks = (
        ("bind", ADDRESS, "list IP addresses"),
        ("client_networks", NETWORK, "list networks such as 10.0.0.0/24"),
        ("commands", COMMAND, "name commands of Redis in lower-case letters, such as keys"),
    )
    faults = []
    for name, shape, mend in checks:
        if wrong := [str(value) for value in options[name] if not shape.fullmatch(str(value))]:
            faults.append(f"stack_cache_{name} has {', '.join(wrong)}: {mend}")
    if owned := [name for name in OWNED if name in options["settings_extra"]]:
        faults.append(
            f"stack_cache_settings_extra sets {', '.join(owned)}, which the deployment says itself: set stack_cache_backend, or leave all of "
            'CACHES to the project with stack_cache_backend: ""'
        )
    if options["backend"] and "CACHES" in options["django_settings_extra"]:
        faults.append(
            "stack_django_settings_extra sets CACHES, whose default stack_cache is laid over: set stack_cache_settings_extra for its other "
            'entries, or stack_cache_backend: "" for a CACHES of your own'
        )
    return faults


def _memory_faults(options: Mapping[str, Any], host_mib: int) -> list[str]:
    planned = cache_memory_mib(options["memory_mib"], options["memory_share"], host_mib)
    if LEAST_MIB <= planned <= host_mib * LARGEST_SHARE:
        return []
    return [
        f"the cache comes to {planned} MiB on a host with {host_mib} MiB: set stack_cache_memory_mib (or stack_cache_memory_share) to at least "
        f"{LEAST_MIB} MiB and at most {int(host_mib * LARGEST_SHARE)} MiB"
    ]


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (cache_users, cache_memory_mib, cache_faults)}
