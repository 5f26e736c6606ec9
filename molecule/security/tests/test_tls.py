"""What crosses the network is encrypted, by servers that prove who they are, with keys that nobody else has."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

SERVERS = ("redis", "postgresql")
CLIENTS = ("worker", "web", "flower", "redis-py", "django")
KEYS = {
    "vault": [
        "/etc/redis/tls.key", "/etc/sample/tls/redis.key", "/etc/sample/tls/postgresql.key", "/etc/postgresql/15/main/tls.key",
    ],
    "site": ["/etc/sample/tls/front.key"],
}  # fmt: skip
READERS = {"/etc/redis/tls.key": "redis", "/etc/postgresql/15/main/tls.key": "postgres"}
OURS = ["nobody", "celery", "celery-beat", "celery-flower", "django-web", "sample-build", "celery_attacks"]
ACCOUNTS = {"vault": [*OURS, "redis", "postgres", "celery_main"], "site": [*OURS, "celery_high"]}
# Says to the sender of tasks that the renewal is over.
RENEWED = "/run/plainhost-test-renewed"


@pytest.fixture(scope="module")
def strangers(site, addresses, script):
    return script(site, "strangers.py", addresses["vault"])


@pytest.fixture(scope="module")
def clients(site, deployed):
    return deployed(site, "clients.py")


def test_plain_text_gets_no_answer_from_redis(strangers):
    assert strangers["redis"]["plain"] == ""


def test_plain_text_is_refused_by_postgresql(strangers):
    assert "no encryption" in strangers["postgresql"]["plain"]
    assert strangers["postgresql"]["plain"].startswith("E")


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("version", ["TLSv1", "TLSv1.1"])
def test_an_old_tls_is_refused_by_the_server(strangers, server, version):
    assert strangers[server][version] == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_today_s_tls_is_spoken(strangers, server, version):
    assert strangers[server][version] == version


@pytest.mark.parametrize("client", CLIENTS)
def test_the_right_server_is_accepted(clients, client):
    assert clients["schemes"] == ["rediss", "verify-full"]
    assert clients["right"][client] == "well"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_right_server_by_a_wrong_name_is_refused(clients, client):
    refusal = clients["wrong name"][client]
    assert "Hostname mismatch" in refusal or "does not match host name" in refusal, refusal


@pytest.mark.parametrize("client", CLIENTS)
def test_a_server_that_the_authority_does_not_vouch_for_is_refused(clients, client):
    assert "certificate verify failed" in clients["wrong authority"][client]


@pytest.mark.parametrize("client", ["worker", "web", "flower"])
def test_the_setting_alone_is_enough_for_celery(clients, client):
    # An address of one's own may say no more than rediss://, which kombu by itself speaks to unverified.
    assert clients["right, by the setting"][client] == "well"
    assert "certificate verify failed" in clients["wrong authority, by the setting"][client]


def test_services_are_connected_over_tls(vault):
    used = vault.check_output(
        'runuser -u postgres -- psql -tAc "select count(*) filter (where not s.ssl), count(*) from pg_stat_ssl s'
        " join pg_stat_activity a using (pid) where a.usename like 'sample%' and a.client_addr is not null\""
    )
    plain, all_of_them = (int(word) for word in used.strip().split("|"))
    assert plain == 0
    assert all_of_them > 0


@pytest.mark.parametrize("name", KEYS)
def test_a_key_is_read_by_its_server_alone(hosts, name):
    # One question for all: which account can read which key.
    script = "".join(
        f"id -u {account} >/dev/null || exit 1; runuser -u {account} -- cat {key} >/dev/null 2>&1 && echo {key} {account}; "
        for key in KEYS[name]
        for account in ACCOUNTS[name]
    )
    readers = hosts[name].check_output(f"{script} true").split("\n")
    assert sorted(filter(None, readers)) == sorted(f"{key} {READERS[key]}" for key in KEYS[name] if key in READERS)
    assert all(hosts[name].file(key).exists for key in KEYS[name])


def test_the_authority_s_key_is_on_no_host(hosts, secrets):
    key = secrets / "ca" / "ca.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    line = key.read_text().splitlines()[1]
    for host in hosts.values():
        found = host.run(f"grep -rslF -- {line} /etc /opt /var/lib /var/tmp /tmp /root /home /run/user")
        assert (found.rc, found.stdout) == (1, "")
        # It would have been found: the certificate is there.
        shown = (secrets / "ca" / "ca.pem").read_text().splitlines()[1]
        assert "/etc/sample/tls/ca.pem" in host.check_output(f"grep -rslF -- {shown} /etc/sample")


def test_a_key_is_not_sent_to_the_controller(vault, secrets):
    line = vault.file("/etc/sample/tls/redis.key").content_string.splitlines()[1]
    assert [path for path in secrets.rglob("*") if path.is_file() and line in path.read_text()] == []


def serials(script, site, addresses):
    return script(site, "served.py", addresses["vault"])


def pids(vault):
    units = "redis-server.service postgresql@15-main.service celery-worker@main.service"
    return vault.check_output(f"systemctl show --property=MainPID {units}")


@pytest.fixture(scope="module")
def renewal(vault, site, addresses, script, deployed, play):
    """Renew every certificate while tasks are sent and done, each through a connection of its own."""
    seen = {"before": (pids(vault), serials(script, site, addresses))}

    site.check_output(f"rm -f {RENEWED}")
    with ThreadPoolExecutor() as pool:
        stream = pool.submit(deployed, site, "stream.py", RENEWED)
        seen["run"] = play("certificates", "redis", "database", certificates_renew=True)
        site.check_output(f"touch {RENEWED}")
        seen["stream"] = stream.result()
    seen["after"] = (pids(vault), serials(script, site, addresses))
    return seen


def test_a_renewal_loses_no_task(renewal):
    stream = renewal["stream"]
    assert stream["refusals"] == 0, stream["refused"]
    assert stream["done"] == stream["sent"]
    # They were under way all the time.
    assert stream["sent"] > renewal["run"].seconds


def test_a_renewal_shows_new_certificates_without_a_restart(renewal):
    assert renewal["run"].status == 0, renewal["run"].output
    (processes, served), (processes_after, served_after) = renewal["before"], renewal["after"]
    assert processes_after == processes
    assert [server for server in SERVERS if served[server] == served_after[server]] == []


def test_what_was_renewed_is_left_alone_by_the_next_run(renewal, play):
    again = play("certificates", "redis", "database")
    assert again.status == 0, again.output
    assert set(re.findall(r"changed=(\d+)", again.output)) == {"0"}, again.output
