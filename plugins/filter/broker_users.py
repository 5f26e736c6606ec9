"""The users of the broker: what each kind of service may do in Redis, and nothing beyond it.

Pure functions of the queues and of kombu's options, so that what is granted can be read, printed and tested without a host. That
it is enough, and no more than that, is for real servers to say: celery_runtime/tests/test_acl.py and molecule/security.
"""

from __future__ import annotations

from typing import Any

DOCUMENTATION = r"""
name: broker_users
short_description: Rules of Redis's access control list for each kind of service
description:
  - Returns the users of a broker with the rules that the role C(redis) installs, computed from the queues and from kombu's options.
  - A rule that an older Redis doesn't know names the version that brought it, as in C(+client|setinfo@7.2).
options:
  _input: {description: The queues., type: list, elements: str, required: true}
  passwords: {description: Password of each user; only users that stand here are returned., type: dict, required: true}
  options:
    description: "kombu's options: C(global_keyprefix), C(priority_steps), C(sep)."
    type: dict
    default: {}
  database: {description: Number of the Redis database., type: int, default: 0}
  rights:
    description:
      - What services may do beside their work, by service, each a list.
      - C(inspect) asks workers on the channel on which no order is obeyed. C(control) gives orders to them, and has all of an operator's rights.
        C(read) reads messages in the queues.
    type: dict
    default: {}
  patterns: {description: "Patterns of queues that are made at run time, such as C(scan-*).", type: list, elements: str, default: []}
positional: passwords, options, database, rights, patterns
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
users: "{{ ['default'] | plainhost.stack.broker_users({'web': web_password, 'worker': worker_password}) }}"
"""

RETURN = r"""
_value:
  description: "For each user C(name), C(password) and C(rules), in the order in which Redis is to apply them."
  type: list
  elements: dict
"""

# Between a queue's name and a priority, in the names of kombu's lists, unless its option `sep` says otherwise.
SEPARATOR = "\x06\x16"
CONNECTION = ["hello", "auth", "ping", "client|setname", "client|setinfo@7.2"]
TRANSACTION = ["multi", "exec", "discard", "watch", "unwatch"]
# A message goes to the lists that the exchange's table names.
PUBLISH = ["smembers", "sadd", "lpush", "llen", "publish"]
# What the scripts of celery_runtime/lua call, kombu's for the visibility timeout, and the clearing up of a temporary queue.
CONSUME = [
    "client|tracking",
    "client|caching",
    "evalsha",
    "script|load",
    "script|exists",
    "brpop",
    "lmpop",
    "rpop",
    "rpush",
    "exists",
    "del",
    "hget",
    "hgetall",
    "hset",
    "hsetnx",
    "hdel",
    "hincrby",
    "type",
    "rename",
    "zadd",
    "zrem",
    "zrange",
    "zscore",
    "zrangebyscore",
    # The visibility timeout as kombu before 5.7 looks after it.
    "zrevrangebyscore",
    "srem",
    "set",
    "get",
    "pexpire",
    "time",
]
RIGHTS = ("inspect", "control", "read")
LISTEN = ["psubscribe", "punsubscribe"]
# Flower's questions to the workers and their answers (see celery_runtime/questions.py).
QUESTIONS = "flower.celery.pidbox"
ANSWERS = "reply.flower.celery.pidbox/*"
LOOK = ["info", "llen", "hlen", "zcard", "zcount", "scard", "dbsize", "latency|latest", "slowlog|len", "memory|usage"]
SAVE = ["info", "bgsave", "bgrewriteaof", "lastsave"]


def _commands(*groups: list[str]) -> list[str]:
    return [f"+{command}" for command in dict.fromkeys(command for group in groups for command in group)]


class Rules:
    """Rules for one broker.

    Args:
        queues: names of the queues, and patterns of names.
        options: kombu's `broker_transport_options`.
        database: number of the Redis database.
    """

    def __init__(self, queues: list[str], options: dict[str, Any], database: int) -> None:
        self.prefix = options.get("global_keyprefix", "")
        steps = [step for step in options.get("priority_steps", [0, 3, 6, 9]) if step]
        # kombu asks for every priority of every queue, whether one is used or not.
        self.suffixes = ["", *(f"{options.get('sep', SEPARATOR)}{step}" for step in steps)]
        self.lists = [f"{self.prefix}{queue}{suffix}" for queue in queues for suffix in self.suffixes]
        # Channels are the server's, not a database's; kombu puts the number into their names.
        self.channels = f"{self.prefix}/{database}."
        self.database = ["select"] if database else []

    def _keys(self, *patterns: str, access: str = "") -> list[str]:
        mark = f"%{access}~" if access else "~"
        return [f"{mark}{self.prefix}{pattern}" for pattern in patterns]

    def _lists(self, access: str = "") -> list[str]:
        return [f"%{access}~{name}" if access else f"~{name}" for name in self.lists]

    @property
    def _mailboxes(self) -> list[str]:
        """Return the keys of control commands and of the answers to them."""
        return self._keys(*(f"*.celery.pidbox{suffix}" for suffix in self.suffixes))

    @property
    def _events(self) -> str:
        return f"&{self.channels}celeryev/*"

    def _listening(self, *channels: str, by_name: bool = False) -> str:
        """Return a selector that allows to listen to channels that the user may not publish to, by pattern or by name."""
        commands = _commands(["subscribe", "unsubscribe"] if by_name else LISTEN)
        return f"({' '.join(['-@all', *commands, *(f'&{self.channels}{channel}' for channel in channels)])})"

    @property
    def _record(self) -> list[str]:
        """Return the keys of what was fetched and isn't settled yet."""
        return self._keys("unacked", "unacked_index", "unacked_mutex", "celery_runtime:*")

    def right(self, name: str) -> list[str]:
        """Return the rules of a right that a service may have beside its work.

        Raises:
            ValueError: there is no such right.
        """
        if name == "inspect":
            return [f"&{self.channels}{QUESTIONS}", self._listening(ANSWERS, by_name=True)]
        if name == "control":
            return self.operator()
        if name == "read":
            return [*_commands(["llen", "lrange", "lindex"]), *self._lists("R")]
        raise ValueError(f"no right is called {name}; there are {', '.join(RIGHTS)}")

    def sender(self) -> list[str]:
        """Return what a service needs that only sends tasks."""
        return [
            *_commands(CONNECTION, self.database, TRANSACTION, PUBLISH),
            *self._lists("W"),
            *self._keys("_kombu.binding*"),
            self._events,
        ]

    def worker(self) -> list[str]:
        """Return what a worker needs: it obeys control commands and answers questions, and can send neither."""
        return [
            *_commands(CONNECTION, self.database, TRANSACTION, PUBLISH, CONSUME),
            *self._lists(),
            *self._record,
            *self._mailboxes,
            *self._keys("_kombu.binding*"),
            self._events,
            f"&{self.channels}{ANSWERS}",
            self._listening("celery.pidbox", QUESTIONS),
        ]

    def flower(self) -> list[str]:
        """Return what Flower needs: events, questions to the workers and their answers, and lengths of queues. It can write to no key."""
        return [
            *_commands(CONNECTION, self.database, ["multi", "exec", "discard", "llen", "publish"]),
            *self._lists("R"),
            f"&{self.channels}{QUESTIONS}",
            self._listening("celeryev/*"),
            self._listening(ANSWERS, by_name=True),
        ]

    def operator(self) -> list[str]:
        """Return what the operators' commands need: all of a worker's, and control commands and events."""
        return [
            *self.worker()[:-1],
            *_commands(LISTEN),
            *self._keys("celeryev.*"),
            f"&{self.channels}celery.pidbox",
        ]

    def monitoring(self) -> list[str]:
        """Return what a monitor needs: counts, and no content."""
        return [*_commands(CONNECTION, self.database, LOOK), *self._lists("R"), *(f"%R{rule}" for rule in self._record)]

    def backup(self) -> list[str]:
        """Return what a backup needs: the order to write to disk, no key."""
        return _commands(CONNECTION, SAVE)


def broker_users(
    queues: list[str],
    passwords: dict[str, str],
    options: dict[str, Any] | None = None,
    database: int = 0,
    rights: dict[str, list[str]] | None = None,
    patterns: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the broker's users with their rules; see the documentation of the filter."""
    rules = Rules([*queues, *(patterns or [])], options or {}, int(database))
    granted = {
        "web": rules.sender,
        "beat": rules.sender,
        "worker": rules.worker,
        # A process of the project's own, or a command by the clock.
        "process": rules.sender,
        "flower": rules.flower,
        "operator": rules.operator,
        "monitoring": rules.monitoring,
        "backup": rules.backup,
    }
    return [
        {"name": name, "password": passwords[name], "rules": _with(rule(), rules, (rights or {}).get(name, []))}
        for name, rule in granted.items()
        if name in passwords
    ]


def _with(own: list[str], rules: Rules, rights: list[str]) -> list[str]:
    """Return a service's own rules and those of its further rights: each once, and selectors, which stand for themselves, last."""
    every = list(dict.fromkeys([*own, *(rule for right in rights for rule in rules.right(right))]))
    return sorted(every, key=lambda rule: rule.startswith("("))


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"broker_users": broker_users}
