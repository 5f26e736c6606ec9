"""The broker lets in who has the password, from the host itself, and keeps what it accepted."""

import socket

import pytest
import stack


def test_nothing_without_the_password(host):
    assert "NOAUTH" in host.run(f"redis-cli -s {stack.REDIS_SOCKET} ping").stdout


def test_a_wrong_password_is_refused(host):
    answer = host.run(f"REDISCLI_AUTH=not-the-password-at-all redis-cli -s {stack.REDIS_SOCKET} ping")
    assert "WRONGPASS" in answer.stdout + answer.stderr
    assert "PONG" not in answer.stdout


def test_the_right_password_lets_in(host):
    assert stack.redis(host, "ping").splitlines()[-1] == "PONG"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("protected-mode", "yes"),
    ],
)
def test_the_running_server_has_its_settings(host, setting, value):
    assert stack.redis(host, f"config get {setting}").split() == [setting, value]


def test_memory_is_limited_to_a_quarter_of_what_is_the_application_s(host, variables):
    limit = int(stack.redis(host, "config get maxmemory").split()[1])
    assert limit == int(stack.memory_mib(host, variables) * 2**20 * 0.25)


def test_an_account_of_another_application_does_not_get_as_far_as_the_socket(host):
    answer = host.run(f"runuser -u nobody -- redis-cli -s {stack.REDIS_SOCKET} ping")
    assert "Permission denied" in answer.stdout + answer.stderr


@pytest.mark.parametrize("port", [6379, 5432])
def test_broker_and_database_listen_on_no_port(host, port):
    assert host.check_output(f"ss --listening --no-header --tcp 'sport = :{port}'") == ""


@pytest.mark.parametrize("port", [6379, 5432])
def test_nobody_outside_reaches_broker_or_database(address, port):
    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((address, port), timeout=3).close()


def test_messages_survive_a_restart(host):
    stack.redis(host, "rpush test-survives one two three")
    host.check_output("systemctl restart redis-server.service")
    stack.wait_for(lambda: stack.active(host, ["redis-server.service"]), "Redis")
    assert stack.redis(host, "lrange test-survives 0 -1").split() == ["one", "two", "three"]
    stack.redis(host, "del test-survives")
