"""No secret where anybody but its service can see it, and no code that a service could change."""

import pytest
import stack

SERVICES = sorted(set(stack.ACCOUNTS.values()))
EVERYBODY = [*SERVICES, "nobody", "ops"]


def look_around(host):
    return stack.script(host, "find_secrets.py", *SERVICES)


def own_credentials(account):
    """Return the folders in which systemd hands an account its credentials."""
    return tuple(f"/run/credentials/{unit}/" for unit, owner in stack.ACCOUNTS.items() if owner == account)


# What each service has for its job. A project that asks for more names it; settings that want a key find one that opens nothing.
WORK = {"broker_url", "cache_url", "cache_celery_url", "database_user", "database_password", "secret_key"}
CREDENTIALS = {
    "celery-worker@high.service": WORK,
    "celery-worker@main.service": WORK,
    "django-web.service": WORK,
    "celery-beat.service": WORK,
    "celery-flower.service": {"broker_url", "flower_conf", "secret_key"},
}


@pytest.mark.parametrize("unit", stack.UNITS)
def test_a_service_has_the_credentials_of_its_job_alone(host, unit):
    assert set(host.check_output(f"ls /run/credentials/{unit}").split()) == CREDENTIALS[unit]


@pytest.mark.parametrize("unit", stack.UNITS)
def test_djangos_key_is_with_who_checks_signatures(host, unit):
    own, real = f"/run/credentials/{unit}/secret_key", "/etc/sample/credentials/secret_key"
    assert host.run(f"cmp {own} {real}").rc == (1 if unit in ("celery-beat.service", "celery-flower.service") else 0)
    assert int(host.check_output(f"wc --bytes < {own}")) >= 40


def test_the_search_knows_every_secret(once):
    known = {
        "admin_password",
        "database_password",
        "secret_key",
        "flower.conf",
        "access.conf",
        "access.conf of the cache",
    }
    known |= {f"secret_key_{service}" for service in ("beat", "flower", "process")}
    known |= {f"database_password_{service}" for service in ("web", "worker", "beat", "cleaner", "process")}
    known |= {
        f"{name}_{service}"
        for name in ("cache_url", "cache_celery_url")
        for service in ("web", "worker", "beat", "operator", "process")
    }
    known |= {f"broker_url_{service}" for service in ("web", "worker", "beat", "flower", "operator", "process")}
    assert set(once(look_around)["secrets"]) == known


@pytest.mark.parametrize("account", EVERYBODY)
def test_no_file_shows_an_account_a_secret_but_its_own_credentials(once, account):
    hits = once(look_around)["accounts"][account]["files"]
    foreign = [hit for hit in hits if not hit.startswith(own_credentials(account) or ("none",))]
    assert foreign == []
    # The search does find what can be found.
    assert bool(hits) == (account in SERVICES)


@pytest.mark.parametrize("account", EVERYBODY)
@pytest.mark.parametrize("kind", ["cmdline", "environ"])
def test_no_process_shows_an_account_a_secret(once, account, kind):
    assert once(look_around)["accounts"][account][kind] == []


def test_no_process_has_a_secret_in_its_environment(once):
    assert once(look_around)["environ"] == []


def test_no_process_has_a_secret_in_its_arguments(once):
    busy = once(look_around)["busy"]
    assert busy["hits"] == []
    # Commands did run while it looked, and it looked often.
    assert busy["statuses"] == [0, 0]
    assert busy["looks"] > 20


def test_the_journal_holds_no_secret(once):
    assert once(look_around)["journal"] == []


def test_systemd_tells_no_secret(once):
    assert once(look_around)["units"] == []


@pytest.mark.parametrize("account", EVERYBODY)
def test_an_account_can_change_no_code(once, account):
    assert once(look_around)["accounts"][account]["writable"] == []


def test_only_root_reads_the_credentials(host):
    folder = host.file("/etc/sample/credentials")
    assert (folder.user, folder.group, folder.mode) == ("root", "root", 0o700)
    for path in folder.listdir():
        file = host.file(f"/etc/sample/credentials/{path}")
        assert (file.user, file.group, file.mode) == ("root", "root", 0o600), path
