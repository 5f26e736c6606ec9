"""The cache: services share what they put there, it evicts when it is full, keeps nothing, and lets in nobody else."""

import pytest
import stack

UNIT = "redis-cache.service"
WEB = "django-web.service"
SOCKET = "/run/redis-cache/redis-server.sock"


def use(host, action, unit=WEB):
    return stack.script(host, "cache.py", unit, action)


def cache(host, command):
    return host.check_output(stack.redis_command(command, server="redis-cache"))


def test_it_evicts_when_it_is_full_and_services_share_what_is_there(host):
    said = use(host, "fill")
    assert said["said"] == {"to": "ada"}
    assert said["newest"] is True
    assert 20 < said["kept"] < 64
    assert use(host, "look", "celery-worker@high.service") == {"to": "ada"}
    assert use(host, "look", "celery-beat.service") == {"to": "ada"}
    stats = dict(line.split(":", 1) for line in cache(host, "info").split() if ":" in line)
    assert int(stats["evicted_keys"]) > 60
    assert (stats["maxmemory"], stats["maxmemory_policy"]) == (str(64 * 2**20), "allkeys-lru")


def test_a_service_may_not_change_or_see_the_server(host):
    said = use(host, "try")
    assert said.pop("PING") == "True"
    # DEBUG is refused by Redis itself, to everybody.
    assert said.pop("DEBUG SLEEP 0") == "ResponseError"
    assert set(said.values()) == {"NoPermissionError"}, said
    assert len(said) == 8


def test_after_a_restart_it_is_empty_and_is_used_again(host):
    use(host, "fill")
    assert int(cache(host, "-n 1 dbsize")) > 0
    host.check_output(f"systemctl restart {UNIT}")
    stack.wait_for(lambda: stack.active(host, [UNIT]), "the cache")
    assert int(cache(host, "-n 1 dbsize")) == 0
    assert host.check_output("ls -A /var/lib/redis-cache") == ""
    assert use(host, "look") is None
    assert use(host, "fill")["said"] == {"to": "ada"}


@pytest.mark.parametrize("account", ["nobody", "redis"])
def test_another_account_does_not_get_as_far_as_the_socket(host, account):
    answer = host.run(f"runuser -u {account} -- redis-cli -s {SOCKET} ping")
    assert "Permission denied" in answer.stdout + answer.stderr


def test_nothing_without_the_password(host):
    assert "NOAUTH" in host.run(f"redis-cli -s {SOCKET} ping").stdout


def test_broker_and_cache_know_nothing_of_each_other(host):
    for account, other in (("redis", "redis-cache"), ("redis-cache", "redis")):
        assert (
            stack.show(host, f"{'redis-server' if account == 'redis' else account}.service", "User")["User"] == account
        )
        refused = host.run(f"runuser -u {account} -- cat /etc/{other}/access.conf")
        assert "Permission denied" in refused.stderr


def test_it_listens_on_no_port(host):
    assert host.check_output("ss --listening --no-header --tcp 'sport = :6380'") == ""
