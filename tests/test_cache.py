"""The cache: what its users may do on a real redis-server, its addresses, its share of memory, and what is refused of its inputs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import cache_server
import connections
import processes
import pytest
import yaml
from conftest import ROOT, Role

Roles = Callable[..., Role]
SOCKET = "/run/redis-cache/redis-server.sock"
GOOD: dict[str, Any] = {
    "host": "localhost",
    "on_host": True,
    "port": 6380,
    "broker_port": 0,
    "bind": [],
    "client_networks": [],
    "maxclients": 4000,
    "memory_mib": 0,
    "memory_share": 0.1,
    "commands": [],
    "backend": "django.core.cache.backends.redis.RedisCache",
    "settings_extra": {},
    "django_settings_extra": {},
}
FAR = {"host": "192.0.2.1", "on_host": False, "bind": ["192.0.2.1"], "client_networks": ["192.0.2.0/24"]}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Return a way to ask a server that has the cache's users, as one of them or as the administrator."""
    folder = tmp_path_factory.mktemp("cache")
    socket = folder / "redis.sock"
    lines = ["port 0", f"unixsocket {socket}", f"dir {folder}", 'save ""', "maxmemory 64mb"]
    users = cache_server.cache_users({"web": "w" * 16}) + cache_server.cache_users({"more": "m" * 16}, ["keys"])
    asked = {"flower": ["read"], "guest": ["read", "write"]}
    users += cache_server.cache_users({"flower": "f" * 16, "guest": "g" * 16}, ["append", "keys"], asked)
    for user in users:
        lines.append(f"user {user['name']} on >{user['password']} {' '.join(user['rules'])}")
    (folder / "redis.conf").write_text("\n".join(lines) + "\n")
    server = subprocess.Popen(
        ["redis-server", folder / "redis.conf"], executable="/usr/bin/redis-check-rdb", stdout=subprocess.DEVNULL
    )

    def said(*words: str, user: str = "", stdin: str | None = None) -> str:
        login = ["--user", user, "--pass", user[0] * 16, "--no-auth-warning"] if user else []
        done = subprocess.run(
            ["redis-cli", "-s", socket, *login, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            input=stdin,
        )
        return (done.stdout + done.stderr).strip()

    for _ in range(100):
        if said("ping") == "PONG":
            break
        time.sleep(0.05)
    yield said
    server.kill()
    server.wait()


@pytest.mark.parametrize(
    "words",
    [
        # Django's cache and sessions.
        "set k v ex 60", "setex k 60 v", "get k", "mget k l", "mset k v l w", "exists k", "expire k 60", "persist k", "incrby n 1", "del k",
        "flushdb", "select 1",
        # django-redis: patterns, locks, counters.
        "scan 0 match * count 10", "pttl k", "unlink k", "set k v nx px 100", "evalsha 0 0", "touch k", "hset h f v",
        # channels_redis, by lists that are waited for, and by channels.
        "zadd z 1 a", "bzpopmin z 0.01", "zremrangebyscore z 0 1", "zrange z 0 -1", "zcount z 0 1", "multi", "publish c m",
        # Celery's results.
        "rpush r a", "lrange r 0 -1", "subscribe c",
        # Hooks of clients.
        "hello", "client setname x", "client id", "ping", "script exists 0",
    ],
)  # fmt: skip
def test_what_caches_sessions_channels_and_results_need_is_granted(ask: Callable[..., str], words: str) -> None:
    if words.startswith("subscribe"):
        # It would wait for messages for ever.
        assert ask("acl", "dryrun", "web", *words.split()) == "OK"
        return
    assert "NOPERM" not in ask(*words.split(), user="web")
    assert ask("ping", user="web") == "PONG"


def test_a_script_may_do_what_its_service_may(ask: Callable[..., str]) -> None:
    assert ask("eval", "return redis.call('set', KEYS[1], 'v')", "1", "k", user="web") == "OK"
    refused = ask("eval", "return redis.call('config', 'get', 'maxmemory')", "0", user="web")
    assert "ERR" in refused or "NOPERM" in refused
    assert "67108864" not in refused


@pytest.mark.parametrize(
    "words",
    [
        "config get maxmemory", "config set maxmemory 0", "config rewrite", "acl list", "acl whoami", "acl setuser web +@all",
        "flushall", "keys *", "sort k", "info", "monitor", "client list", "client kill type normal", "client pause 1", "shutdown",
        "save", "bgsave", "bgrewriteaof", "replicaof 192.0.2.1 6379", "module list", "slowlog get", "latency latest", "swapdb 0 1",
        "migrate h 1 k 0 1", "restore k 0 v", "script flush", "script kill", "function list", "function flush", "fcall f 0",
        "cluster info", "failover", "psync ? -1",
    ],
)  # fmt: skip
def test_what_shows_or_changes_the_server_is_refused(ask: Callable[..., str], words: str) -> None:
    assert "NOPERM" in ask(*words.split(), user="web"), words


def test_none_of_what_redis_itself_calls_administration_is_granted(ask: Callable[..., str]) -> None:
    # A name alone is a group's, such as `config`; DEBUG is switched off by Redis itself.
    named = {
        name for kind in ("admin", "dangerous") for name in ask("command", "list", "filterby", "aclcat", kind).split()
    }
    groups = {name.partition("|")[0] for name in named if "|" in name}
    commands = sorted(named - groups - {"debug", "flushdb"})
    assert len(commands) > 40
    # Rights are asked for only where the number of arguments is right, which differs.
    tries = [(name, ["x"] * count) for name in commands for count in range(9)]
    answers = ask(stdin="".join(f"acl dryrun web {' '.join([*name.split('|'), *words])}\n" for name, words in tries))
    refused = {}
    for (name, _), answer in zip(tries, filter(None, answers.splitlines()), strict=True):
        refused[name] = refused.get(name, False) or "has no permissions" in answer
        assert answer != "OK", name
    assert [name for name, seen in refused.items() if not seen] == []


def test_a_command_may_be_granted_besides(ask: Callable[..., str]) -> None:
    assert "NOPERM" not in ask("keys", "*", user="more")
    assert "NOPERM" in ask("info", user="more")


@pytest.mark.parametrize(
    "words", ["get k", "mget k l", "exists k", "ttl k", "select 1", "scan 0 count 10", "keys *", "ping"]
)
def test_who_asks_to_read_alone_reads(ask: Callable[..., str], words: str) -> None:
    assert "NOPERM" not in ask(*words.split(), user="flower")
    assert "NOPERM" not in ask(*words.split(), user="guest")


@pytest.mark.parametrize(
    "words",
    [
        "set k v", "setex k 60 v", "getset k v", "getdel k", "expire k 60", "del k", "incr n", "append k v", "sort k store l", "flushdb",
        "publish c m", "subscribe c", "lpush r a", "evalsha 0 0", "script load x",
    ],
)  # fmt: skip
def test_who_asks_to_read_alone_changes_nothing_and_runs_no_script(ask: Callable[..., str], words: str) -> None:
    # Django's cache writes pickles, so whoever writes runs code in whoever reads.
    assert ask("set", "k", "v", user="web") == "OK"
    assert "no permissions" in ask("acl", "dryrun", "flower", *words.split())
    assert ask("get", "k", user="web") == "v"


def test_who_asks_to_write_may_what_the_other_services_may() -> None:
    [web] = cache_server.cache_users({"web": "w"}, ["keys"])
    [flower] = cache_server.cache_users({"flower": "f"}, ["keys"], {"flower": ["write"]})
    assert flower["rules"] == web["rules"]


def test_without_a_login_nothing_is_answered_to_a_service_that_has_none(ask: Callable[..., str]) -> None:
    assert "WRONGPASS" in ask("ping", user="beat")


URL = {"host": "192.0.2.1", "port": 6380, "socket": SOCKET, "ca_file": "/etc/shop/tls/ca.pem"}


@pytest.mark.parametrize(
    ("place", "for_celery", "url"),
    [
        ((True, False), False, f"unix://web:w@{SOCKET}?db=0"),
        ((True, False), True, f"redis+socket://web:w@{SOCKET}?virtual_host=0"),
        ((False, False), False, "redis://web:w@192.0.2.1:6380/0"),
        (
            (False, True),
            False,
            "rediss://web:w@192.0.2.1:6380/0?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs=/etc/shop/tls/ca.pem",
        ),
    ],
)
def test_addresses(place: tuple[bool, bool], for_celery: bool, url: str) -> None:
    on_host, encrypted = place
    found = connections.cache_urls({"web": "w"}, on_host=on_host, encrypted=encrypted, for_celery=for_celery, **URL)
    assert found == {"web": url}


def test_networks_of_hosts() -> None:
    addresses = {"a": "192.0.2.1", "b": "2001:db8::1", "c": "192.0.2.1", "d": "d.example.com"}
    variables = {"web1": {}} | {name: {"ansible_host": address} for name, address in addresses.items()}
    assert connections.host_networks(variables, variables) == [
        "127.0.0.0/8",
        "web1",
        "192.0.2.1/32",
        "2001:db8::1/128",
        "d.example.com",
    ]


@pytest.mark.parametrize(("given", "share", "host", "planned"), [(0, 0.1, 2048, 204), (64, 0.1, 2048, 64)])
def test_memory(given: int, share: float, host: int, planned: int) -> None:
    assert cache_server.cache_memory_mib(given, share, host) == planned


def faults(changes: dict[str, Any], hosts: list[str] | None = None, host_mib: int = 2048) -> list[str]:
    return cache_server.cache_faults(GOOD | changes, ["one"] if hosts is None else hosts, ["one"], host_mib)


@pytest.mark.parametrize(
    ("changes", "hosts", "memory"),
    [
        ({}, ["one"], 2048),
        (FAR, ["two"], 0),
        (FAR | {"bind": ["127.0.0.1", "-::1"]}, ["one"], 2048),
        ({"commands": ["keys", "client|list"], "memory_mib": 1536}, ["one"], 2048),
        ({"backend": "", "django_settings_extra": {"CACHES": {}}}, ["one"], 2048),
        ({"settings_extra": {"TIMEOUT": 5}}, ["one"], 2048),
        ({"port": 6379, "broker_port": 6379}, ["one"], 2048),
    ],
)
def test_good_inputs_are_not_refused(changes: dict[str, Any], hosts: list[str], memory: int) -> None:
    assert faults(changes, hosts, memory) == []


@pytest.mark.parametrize(
    ("changes", "hosts", "message"),
    [
        ({}, [], "no host is to run it: put one into the group cache"),
        ({}, ["two"], "stack_cache_host is 'localhost', and one of the group app would run no cache"),
        (FAR | {"bind": []}, ["two"], "stack_cache_bind is empty, and services look for the cache at 192.0.2.1"),
        (FAR | {"client_networks": []}, ["two"], "stack_cache_client_networks is empty"),
        (FAR | {"bind": ["db1"]}, ["two"], "stack_cache_bind has db1: list IP addresses"),
        (FAR | {"client_networks": ["any"]}, ["two"], "stack_cache_client_networks has any: list networks"),
        (FAR | {"port": 6379, "broker_port": 6379}, ["two"], "stack_cache_port is 6379, which is the broker's"),
        ({"port": 80}, ["one"], "stack_cache_port is 80: set a port from 1024"),
        ({"maxclients": 15}, ["one"], "stack_cache_maxclients is 15: set at least 16"),
        ({"memory_share": 0.8}, ["one"], "stack_cache_memory_share is 0.8: set a fraction"),
        ({"memory_mib": 15}, ["one"], "the cache comes to 15 MiB on a host with 2048 MiB"),
        ({"memory_mib": 1537}, ["one"], "the cache comes to 1537 MiB on a host with 2048 MiB"),
        ({"commands": ["+@all"]}, ["one"], "stack_cache_commands has +@all: name commands"),
        ({"settings_extra": {"LOCATION": "x"}}, ["one"], "stack_cache_settings_extra sets LOCATION"),
        ({"django_settings_extra": {"CACHES": {}}}, ["one"], "stack_django_settings_extra sets CACHES"),
    ],
)
def test_each_fault_is_refused_with_the_variable_and_the_mend(
    changes: dict[str, Any], hosts: list[str], message: str
) -> None:
    (fault,) = faults(changes, hosts)
    assert message in fault


# --- What the role `stack` makes of its inputs ---

STACK: dict[str, Any] = {"stack_cache": True, "stack_broker_seed": "s" * 40, "inventory_hostname": "one"}
ONE_HOST = {"groups": {name: ["one"] for name in ("redis", "app", "workers")}}
ADDRESSES = {"one": {"ansible_host": "192.0.2.1"}, "two": {"ansible_host": "192.0.2.2"}}
TWO_HOSTS = {
    "groups": {"cache": ["two"], "redis": ["one"], "app": ["one"], "workers": ["one"]},
    "hostvars": ADDRESSES,
    "stack_cache_host": "192.0.2.2",
}


def test_each_service_that_may_use_it_finds_its_own_login_under_the_same_names(role: Roles) -> None:
    stack = role("stack", **STACK, stack_processes=[{"name": "bot", "manage": "x"}], **ONE_HOST)
    folder = "/etc/sample/credentials"
    for service in ("web", "worker", "beat", "process", "operator"):
        login = stack.evaluate(f"stack_{service}_unit.credentials")
        assert login["cache_url"] == f"{folder}/cache_url_{service}"
        assert login["cache_celery_url"] == f"{folder}/cache_celery_url_{service}"
    assert stack.evaluate("stack_cleaner_unit.credentials.cache_url") == f"{folder}/cache_url_beat"
    assert [name for name in stack.evaluate("stack_flower_unit.credentials") if "cache" in name] == []
    credentials = stack.evaluate("stack_credentials")
    assert credentials["cache_url_web"].startswith("unix://web:")
    assert credentials["cache_celery_url_web"].startswith("redis+socket://web:")
    # No password opens anything else, and none is the administrator's.
    passwords = {*stack.evaluate("stack_cache_user_passwords").values(), stack.evaluate("stack_cache_password")}
    assert len(passwords) == 6
    assert passwords.isdisjoint(stack.evaluate("stack_broker_user_passwords").values())
    assert stack.evaluate("stack_credential_settings")["CACHE_URL"] == "cache_url"
    assert "redis-cache.service" in stack.evaluate("stack_service_unit.after")


def test_without_a_cache_nothing_is_said_of_one(role: Roles) -> None:
    stack = role("stack", **(STACK | {"stack_cache": False}), **ONE_HOST)
    assert [name for name in stack.evaluate("stack_credentials") if "cache" in name] == []
    assert stack.evaluate("stack_cache_entry") == {}
    assert "CACHE_URL" not in stack.evaluate("stack_credential_settings")
    assert (stack.evaluate("stack_cache_planned_mib"), stack.evaluate("stack_cache_faults")) == (0, [])


def test_caches_stay_the_project_s_where_the_inventory_says_so(role: Roles) -> None:
    stack = role("stack", **STACK, stack_cache_backend="", **ONE_HOST)
    assert stack.evaluate("stack_cache_entry") == {}
    assert "CACHE_URL" not in stack.evaluate("stack_credential_settings")
    assert "cache_url" in stack.evaluate("stack_web_unit.credentials")
    entry = role("stack", **STACK, stack_cache_settings_extra={"TIMEOUT": 5}, **ONE_HOST).evaluate("stack_cache_entry")
    assert entry == {"BACKEND": "django.core.cache.backends.redis.RedisCache", "TIMEOUT": 5}


def test_it_is_where_the_broker_is_unless_a_group_says_otherwise(role: Roles) -> None:
    near, far = role("stack", **STACK, **ONE_HOST), role("stack", **STACK, **TWO_HOSTS)
    assert (near.evaluate("stack_cache_here"), far.evaluate("stack_cache_here")) == (True, False)
    assert (near.evaluate("stack_cache_bind"), near.evaluate("stack_cache_client_networks")) == ([], [])
    assert far.evaluate("stack_cache_bind") == ["127.0.0.1", "192.0.2.2"]
    assert far.evaluate("stack_cache_client_networks") == ["127.0.0.0/8", "192.0.2.1/32"]
    assert far.evaluate("stack_cache_urls").keys() == {"web", "worker", "beat", "operator"}
    assert far.evaluate("stack_cache_urls.web").startswith("rediss://web:")
    assert "ssl_ca_certs=/etc/sample/tls/ca.pem" in far.evaluate("stack_cache_urls.web")
    # Whoever may talk to the broker and the database may talk to it, and where it is on the host nobody needs a network.
    assert "192.0.2.2" in far.evaluate("stack_core_peers")
    assert near.evaluate("stack_core_peers") == []
    assert (near.evaluate("stack_cache_faults"), far.evaluate("stack_cache_faults")) == ([], [])


def test_a_host_of_too_little_memory_and_names_are_refused(role: Roles) -> None:
    (fault,) = role("stack", **STACK, **ONE_HOST, stack_cache_memory_mib=4096).evaluate("stack_cache_faults")
    assert "the cache comes to 4096 MiB on a host with 2048 MiB" in fault
    named = TWO_HOSTS | {"hostvars": ADDRESSES | {"one": {"ansible_host": "one.example.com"}}}
    (fault,) = role("stack", **STACK, **named).evaluate("stack_cache_faults")
    assert "stack_cache_client_networks has one.example.com" in fault


def wired(file: str, **variables: Any) -> Callable[[str], Any]:
    """Return a way to the inputs that a playbook sets for a host that carries everything."""
    stack = Role("stack", **STACK, **ONE_HOST, **variables)
    stack.variables |= stack.loader.load_from_file(str(ROOT / f"playbooks/wiring/{file}.yml"), trusted_as_template=True)
    return stack.evaluate


def test_the_plan_of_the_workers_leaves_its_memory_alone() -> None:
    reserved = wired("worker", stack_processes=[{"name": "bot", "manage": "x", "memory_mib": 100}])
    assert reserved("celery_worker_reserved_mib") == 304
    assert wired("worker", stack_cache_memory_mib=64)("celery_worker_reserved_mib") == 64


def test_its_server_takes_no_input_of_the_broker_s() -> None:
    said = set(yaml.safe_load((ROOT / "playbooks/wiring/cache.yml").read_text()))
    specs = yaml.safe_load((ROOT / "roles/redis/meta/argument_specs.yml").read_text())["argument_specs"]
    assert said == set(specs["main"]["options"])


def test_its_server_keeps_nothing_and_evicts_within_its_memory() -> None:
    redis = Role(
        "redis",
        **{name: wired("cache")(name) for name in yaml.safe_load((ROOT / "playbooks/wiring/cache.yml").read_text())},
    )
    text = redis.render("etc/redis/redis.conf.j2")
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert (lines["maxmemory"], lines["maxmemory-policy"]) == (str(204 * 2**20), "allkeys-lru")
    assert (lines["save"], lines["appendonly"], lines["port"]) == ('""', "no", "0")
    assert redis.evaluate("__redis_faults") == []


def test_what_is_wrong_with_it_is_refused_before_a_host_is_asked(role: Roles) -> None:
    faults = role("preflight", preflight_app="shop", preflight_cache_faults=["stack_cache_port is 80"]).evaluate(
        "__preflight_faults"
    )
    assert faults == ["stack_cache_port is 80"]
    secrets = wired("preflight", stack_broker_url="rediss://x@192.0.2.9/0")("preflight_secrets")
    assert secrets["stack_broker_seed"] == "s" * 40


def test_a_process_may_do_without_it() -> None:
    unit = {"credentials": {"cache_url": "/c/cache_url_process", "cache_celery_url": "/c/cache_celery_url_process"}}
    options = {
        "account_per_entry": True,
        "prefix": "",
        "python": "p",
        "programs_dir": "d",
        "user": "u",
        "state_dir": "s",
        "restart_on": [],
        "peers": [],
        "target": "t",
    }
    groups = {"workers": ["one"]}
    entries = [{"name": "a", "manage": "x"}, {"name": "b", "manage": "x", "cache": False}]
    filled = processes.processes_of_host(entries, "one", groups, alone=True)
    assert [set(one["credentials"]) for one in processes.process_units(filled, unit, options)] == [
        set(unit["credentials"]),
        set(),
    ]
