"""What the role `stack` computes from its inputs, and what the role `preflight` refuses of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Role

Roles = Callable[..., Role]
EXTRA = "preflight_celery_settings_extra"


def test_the_runtime_gets_numbers(role: Roles) -> None:
    runtime = role("stack", stack_lease_seconds="60", stack_publish_timeout="1.5").evaluate("stack_runtime")
    assert (runtime["lease_seconds"], runtime["publish_timeout"], runtime["delivery_limit"]) == (60, 1.5, 5)
    assert "transport" in runtime["parts"]


def test_who_may_ask_workers_and_not_order_them_is_known_to_the_runtime(role: Roles) -> None:
    stack = role("stack", stack_broker_rights={"web": ["inspect", "read"], "beat": ["control"]})
    assert stack.evaluate("stack_runtime")["inspectors"] == ["web"]


def test_secrets_lie_with_the_inventory(role: Roles, tmp_path: Path) -> None:
    inventory = tmp_path / "team" / "inventory"
    inventory.mkdir(parents=True)
    assert role("stack", inventory_dir=str(inventory)).evaluate("stack_secrets_dir") == f"{inventory}/.secrets"


def test_secrets_of_an_earlier_version_are_found_where_they_are(role: Roles, tmp_path: Path) -> None:
    inventory, earlier = tmp_path / "inventories" / "production", tmp_path / ".secrets" / "production"
    inventory.mkdir(parents=True)
    earlier.mkdir(parents=True)
    assert Path(role("stack", inventory_dir=str(inventory)).evaluate("stack_secrets_dir")).resolve() == earlier


SERVICE_ACCOUNTS = "[stack_worker_user, stack_web_user, stack_process_user]"


def test_a_shared_account_is_that_of_all_but_beat_and_flower(role: Roles) -> None:
    stack = role("stack", stack_shared_account="shop")
    assert stack.evaluate(SERVICE_ACCOUNTS) == ["shop"] * 3
    assert stack.evaluate("[stack_beat_user, stack_flower_user]") == ["celery-beat", "celery-flower"]
    assert role("stack").evaluate(SERVICE_ACCOUNTS) == ["celery", "django-web", "django"]
    names = [account["name"] for account in stack.evaluate("stack_accounts")]
    assert names == ["shop", "celery-beat", "celery-flower"]
    assert len(role("stack").evaluate("stack_accounts")) == 4


@pytest.mark.parametrize(("rights", "has"), [({}, False), ({"flower": []}, False), ({"flower": ["read"]}, True)])
def test_flower_logs_in_to_the_cache_where_the_inventory_asks_for_it(
    role: Roles, rights: dict[str, Any], has: bool
) -> None:
    given = {"stack_broker_seed": "s" * 40, "stack_cache": True, "stack_cache_rights": rights}
    stack = role("stack", **given)
    assert ("cache_url" in stack.evaluate("stack_flower_unit.credentials")) is has
    assert ("flower" in stack.evaluate("stack_cache_user_passwords")) is has
    assert ("cache_url_flower" in stack.evaluate("stack_credentials")) is has
    far = role("stack", **given, stack_cache_host="192.0.2.13", stack_broker_host="192.0.2.11")
    assert far.evaluate("stack_flower_unit.egress") == ["192.0.2.11", *(["192.0.2.13"] if has else [])]
    # Nobody logs in where there is no cache.
    without = role("stack", **given | {"stack_cache": False})
    assert "cache_url" not in without.evaluate("stack_flower_unit.credentials")


MAIL = {"stack_mail_host": "192.0.2.25"}


@pytest.mark.parametrize(
    ("variables", "starttls", "tls"),
    [
        (MAIL, False, False),
        (MAIL | {"stack_mail_port": 2525}, False, False),
        (MAIL | {"stack_mail_port": 587}, True, False),
        (MAIL | {"stack_mail_port": "465"}, False, True),
        (MAIL | {"stack_mail_encryption": "starttls"}, True, False),
        (MAIL | {"stack_mail_port": 587, "stack_mail_encryption": "none"}, False, False),
        # What an inventory has said before there was a variable goes on, and Django takes one of them alone.
        (MAIL | {"stack_django_settings_extra": {"EMAIL_USE_TLS": True}}, True, False),
        (MAIL | {"stack_mail_port": 587, "stack_django_settings_extra": {"EMAIL_USE_SSL": True}}, False, True),
    ],
)
def test_how_the_mail_server_is_spoken_to_goes_with_the_mail_server(
    role: Roles, variables: dict[str, Any], starttls: bool, tls: bool
) -> None:
    found = role("stack", **variables).evaluate("stack_django_settings")
    assert (found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (starttls, tls)


def test_without_a_mail_server_of_the_deployment_s_mail_is_the_project_s(role: Roles) -> None:
    for variables in ({}, {"stack_mail_encryption": "tls"}):
        assert [name for name in role("stack", **variables).evaluate("stack_django_settings") if "EMAIL" in name] == []


@pytest.mark.parametrize("name", ["root", "celery-beat", "shop-build", "Shop"])
def test_an_account_that_others_have_is_shared_with_nobody(role: Roles, name: str) -> None:
    apart = {"preflight_app": "shop", "preflight_accounts_apart": ["celery-beat", "celery-flower", "www-data"]}
    (fault,) = role("preflight", preflight_shared_account=name, **apart).evaluate("__preflight_faults")
    assert f"stack_shared_account is '{name}'" in fault
    assert role("preflight", preflight_shared_account="shop", **apart).evaluate("__preflight_faults") == []


SECRETS = {"stack_secret_key": "k" * 50, "stack_broker_seed": "s" * 40, "stack_database_password": "d" * 20}


def test_a_service_gets_the_credentials_of_its_job(role: Roles) -> None:
    stack = role(
        "stack", **SECRETS, stack_credentials_extra={"sentry": "x", "vat": "y"}, stack_flower_credentials=["vat"]
    )
    units = {
        name: stack.evaluate(f"stack_{name}_unit")["credentials"]
        for name in stack.evaluate("stack_credential_services")
    }
    login = {"broker_url", "database_user", "database_password", "secret_key"}
    all_of_it = login | {"sentry", "vat"}
    assert set(units["web"]) == set(units["worker"]) == set(units["operator"]) == all_of_it
    assert set(units["beat"]) == login
    assert set(units["flower"]) == {"broker_url", "secret_key", "vat"}
    # Each logs in to the broker as itself, and only who checks signatures has Django's key.
    assert {Path(unit["broker_url"]).name for unit in units.values()} == {f"broker_url_{name}" for name in units}
    assert {name: Path(unit["secret_key"]).name for name, unit in units.items()} == {
        "web": "secret_key",
        "worker": "secret_key",
        "operator": "secret_key",
        "beat": "secret_key_beat",
        "flower": "secret_key_flower",
    }
    values = stack.evaluate("stack_credentials")
    assert len({values[name] for name in ("secret_key", "secret_key_beat", "secret_key_flower")}) == 3


CHOICES = {"result_backend", "beat_scheduler", "task_time_limit", "task_soft_time_limit", "accept_content"}


def test_what_a_project_may_choose_is_a_default_until_the_inventory_says_it(role: Roles) -> None:
    stack = role("stack")
    defaults, laid = stack.evaluate("stack_celery_defaults"), stack.evaluate("stack_celery_settings")
    assert set(defaults) >= CHOICES
    assert not CHOICES & set(laid)
    assert (defaults["result_backend"], defaults["task_time_limit"]) == ("django-db", 1800)
    stack = role("stack", stack_time_limit=600, stack_celery_settings_extra={"result_backend": "shop.results:Backend"})
    defaults, laid = stack.evaluate("stack_celery_defaults"), stack.evaluate("stack_celery_settings")
    assert (laid["task_time_limit"], laid["result_backend"]) == (600, "shop.results:Backend")
    assert set(defaults) & CHOICES == CHOICES - {"task_time_limit", "result_backend"}


@pytest.mark.parametrize("engine", ["django.db.backends.postgresql", "django.contrib.gis.db.backends.postgis"])
def test_a_database_that_is_gone_is_noticed(role: Roles, engine: str) -> None:
    stack = role(
        "stack", stack_database_engine=engine, stack_database_options={"sslmode": "require", "connect_timeout": 2}
    )
    assert stack.evaluate("stack_database_defaults")["OPTIONS"]["tcp_user_timeout"] == 10000
    # What the inventory says wins over those, and over the project's.
    assert stack.evaluate("stack_database")["OPTIONS"] == {"sslmode": "require", "connect_timeout": 2}


def test_of_the_database_the_deployment_says_where_it_is_and_the_inventory_what_it_wants(role: Roles) -> None:
    stack = role("stack", stack_database_settings_extra={"CONN_MAX_AGE": 5})
    assert set(stack.evaluate("stack_database")) == {
        "ENGINE",
        "HOST",
        "PORT",
        "NAME",
        "USER",
        "OPTIONS",
        "CONN_MAX_AGE",
    }
    stack = role("stack", stack_database_engine="")
    assert (stack.evaluate("stack_database"), stack.evaluate("stack_database_defaults")) == ({}, {})


def test_another_database_gets_its_own_options_alone(role: Roles) -> None:
    stack = role(
        "stack", stack_database_engine="django.db.backends.mysql", stack_database_options={"charset": "utf8mb4"}
    )
    assert stack.evaluate("stack_database")["OPTIONS"] == {"charset": "utf8mb4"}
    assert stack.evaluate("stack_database_defaults")["OPTIONS"] == {}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param(
            {"preflight_soft_time_limit": 1800}, ["stack_soft_time_limit", "stack_time_limit"], id="soft and hard"
        ),
        pytest.param(
            {"preflight_longest_delay": 5340},
            ["stack_visibility_timeout", "stack_longest_delay", "stack_time_limit"],
            id="visibility",
        ),
        pytest.param(
            {
                "preflight_runtime_parts": ["transport"],
                EXTRA: {"broker_transport_options": {"unacked_key": "mine", "ack_emulation": False}},
            },
            ["ack_emulation, unacked_key", "the part transport"],
            id="a record elsewhere",
        ),
        pytest.param({EXTRA: {"task_soft_time_limit": 1}}, ["task_soft_time_limit"], id="a time past its variable"),
        pytest.param(
            {EXTRA: {"broker_transport_options": {"visibility_timeout": 1}}}, ["visibility_timeout"], id="nested"
        ),
        pytest.param(
            {EXTRA: {"worker_consumer": "x"}, "preflight_runtime_parts": ["watchdog"]},
            ["worker_consumer", "(watchdog)"],
            id="part",
        ),
        pytest.param({EXTRA: {"result_backend": "rpc://"}}, ["result_backend to rpc://"], id="replies"),
        pytest.param({EXTRA: {"result_backend": "file:///srv"}}, ["result_backend to a folder"], id="files"),
        pytest.param({EXTRA: {"beat_schedule_filename": "/srv/x"}}, ["stack_beat_schedule_file"], id="schedule's file"),
        pytest.param(
            {EXTRA: {"worker_pool": "gevent"}},
            ["worker_pool to 'gevent'", "prefork", "celery_worker_pools"],
            id="greenlets",
        ),
        pytest.param(
            {"preflight_database_settings_extra": {"CONN_MAX_AGE": 5, "HOST": "elsewhere", "OPTIONS": {}}},
            ["stack_database_settings_extra sets HOST, OPTIONS:", "stack_database_host"],
            id="database",
        ),
        *(
            pytest.param({"preflight_queue_patterns": [pattern]}, ["stack_queue_patterns is", pattern], id=pattern)
            for pattern in ("*", "a*", "scan-*-[a]", "_kombu*", "scan *")
        ),
        pytest.param({"preflight_lease_seconds": 29}, ["stack_lease_seconds is 29"], id="lease"),
        pytest.param({"preflight_delivery_limit": -1}, ["stack_delivery_limit is -1"], id="limit"),
        pytest.param({"preflight_message_max_bytes": 1024}, ["stack_message_max_bytes is 1024"], id="bytes"),
        pytest.param(
            {"preflight_message_signing": True, "preflight_signing_is_complete": False},
            ["stack_message_signing is on", "stack_message_signing_key"],
            id="signing",
        ),
        pytest.param({"preflight_publish_timeout": 0.0}, ["stack_publish_timeout is 0.0"], id="publish"),
        pytest.param({"preflight_secrets": {"stack_broker_seed": "s" * 31}}, ["stack_broker_seed", "32"], id="seed"),
        pytest.param({"preflight_secrets": {"stack_broker_seed": ""}}, ["stack_broker_seed: not set"], id="no seed"),
    ],
)
def test_a_contradiction_is_named(role: Roles, variables: dict[str, Any], words: list[str]) -> None:
    faults = role("preflight", **({"preflight_app": "shop"} | variables)).evaluate("__preflight_faults")
    assert len(faults) == 1, faults
    assert [word for word in words if word not in faults[0]] == []


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"preflight_longest_delay": 5339},
        {EXTRA: {"result_backend": "rpc://"}, "preflight_broker_external": True},
        {EXTRA: {"result_backend": "shop.results:Backend", "beat_scheduler": "shop.schedules:Scheduler"}},
        {EXTRA: {"worker_pool": "prefork"}},
        {EXTRA: {"worker_consumer": "x", "result_backend": "x"}, "preflight_runtime_parts": ["memory"]},
        {
            EXTRA: {"worker_concurrency": 2, "broker_transport_options": {"socket_timeout": 9}},
            "preflight_runtime_parts": ["transport"],
        },
    ],
)
def test_what_can_work_is_not_refused(role: Roles, variables: dict[str, Any]) -> None:
    assert role("preflight", **({"preflight_app": "shop"} | variables)).evaluate("__preflight_faults") == []


CA = "/etc/sample/tls/ca.pem"
FAR = {"stack_broker_host": "192.0.2.11", "stack_database_host": "192.0.2.12", "stack_broker_seed": "s" * 32}


def test_what_crosses_the_network_is_encrypted_and_verified(role: Roles) -> None:
    stack = role("stack", **FAR)
    password = hashlib.sha256(("s" * 32 + ":web").encode()).hexdigest()
    assert stack.evaluate("stack_broker_urls")["web"] == (
        f"rediss://web:{password}@192.0.2.11:6379/0?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs={CA}"
    )
    # Flower looks at this alone.
    wanted = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": CA}
    assert stack.evaluate("stack_celery_settings")["broker_use_ssl"] == wanted
    options = stack.evaluate("stack_database")["OPTIONS"]
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", CA)
    assert stack.evaluate("stack_plain_variables") == []


def test_each_service_logs_in_as_itself_with_a_password_that_tells_no_other(role: Roles) -> None:
    urls = role("stack", stack_broker_seed="s" * 32).evaluate("stack_broker_urls")
    passwords = {url.split("@")[0].split(":")[-1] for url in urls.values()}
    assert (len(urls), len(passwords)) == (7, 7)
    assert all(url.startswith(f"redis+socket://{user}:") for user, url in urls.items())
    assert all(url.endswith("@/run/redis/redis-server.sock?virtual_host=0") for url in urls.values())


@pytest.mark.parametrize(
    ("variables", "broker", "core", "others"),
    [
        pytest.param({}, [], [], [], id="one host"),
        pytest.param({"stack_mail_host": "192.0.2.25"}, [], [], ["192.0.2.25"], id="one host, and mail"),
        pytest.param({"stack_database_host": "127.0.0.1"}, [], ["localhost"], ["localhost"], id="a port of its own"),
        pytest.param(
            {"stack_broker_host": "192.0.2.11", "stack_database_host": "192.0.2.12", "stack_mail_host": "localhost"},
            ["192.0.2.11"],
            ["192.0.2.11", "192.0.2.12"],
            ["192.0.2.11", "192.0.2.12", "localhost"],
            id="several hosts",
        ),
        pytest.param({"stack_egress": ["any"], "stack_mail_host": "192.0.2.25"}, *[["any"]] * 3, id="everything"),
        pytest.param(
            {"stack_egress": ["198.51.100.0/24"], "stack_broker_host": "192.0.2.11", "stack_mail_host": "192.0.2.25"},
            ["192.0.2.11", "198.51.100.0/24"],
            ["192.0.2.11", "198.51.100.0/24"],
            ["192.0.2.11", "192.0.2.25", "198.51.100.0/24"],
            id="more than the peers",
        ),
    ],
)
def test_services_talk_to_their_peers_alone(
    role: Roles, variables: dict[str, Any], broker: list[str], core: list[str], others: list[str]
) -> None:
    stack = role("stack", **variables)
    found = {name: stack.evaluate(f"stack_{name}_unit")["egress"] for name in ("beat", "flower", "worker", "web")}
    assert found == {"beat": core, "flower": broker, "worker": others, "web": others}
    assert stack.evaluate("stack_named_peers") == []


@pytest.mark.parametrize("variables", [{}, FAR | {"stack_tls": False}])
def test_plain_text_stays_on_the_host_or_is_asked_for(role: Roles, variables: dict[str, Any]) -> None:
    stack = role("stack", **variables)
    assert {url.split("://")[0] for url in stack.evaluate("stack_broker_urls").values()} <= {"redis", "redis+socket"}
    assert "broker_use_ssl" not in stack.evaluate("stack_celery_settings")
    assert "sslmode" not in stack.evaluate("stack_database")["OPTIONS"]
    assert stack.evaluate("stack_plain_variables") == []


@pytest.mark.parametrize(
    ("variables", "trust"),
    [
        ({}, "/etc/ssl/certs/ca-certificates.crt"),
        ({"stack_trusted_ca_certificates": ["-----BEGIN CERTIFICATE-----"]}, CA),
        (
            {"stack_broker_ca_file": "/etc/ssl/team.pem", "stack_database_ca_file": "/etc/ssl/team.pem"},
            "/etc/ssl/team.pem",
        ),
    ],
)
def test_a_managed_broker_and_database_are_verified_too(role: Roles, variables: dict[str, Any], trust: str) -> None:
    managed = {"stack_broker_url": "rediss://:x@redis.example.com:6380/0", "stack_database_external": True}
    stack = role("stack", stack_database_host="db.example.com", **managed, **variables)
    assert stack.evaluate("stack_celery_settings")["broker_use_ssl"]["ssl_ca_certs"] == trust
    assert stack.evaluate("stack_database")["OPTIONS"]["sslrootcert"] == trust
    assert set(stack.evaluate("stack_broker_urls").values()) == {managed["stack_broker_url"]}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"stack_broker_url": "redis://:x@redis.example.com/0"}, "stack_broker_url"),
        ({"stack_broker_url": "rediss://:x@redis.example.com/0?ssl_cert_reqs=CERT_NONE"}, "stack_broker_url"),
        ({"stack_broker_url": "rediss://:x@redis.example.com/0?ssl_check_hostname=False"}, "stack_broker_url"),
        (
            FAR | {"stack_celery_settings_extra": {"broker_use_ssl": {"ssl_cert_reqs": "none"}}},
            "stack_celery_settings_extra.broker_use_ssl",
        ),
        (FAR | {"stack_database_options": {"sslmode": "require"}}, "stack_database_options.sslmode"),
    ],
)
def test_an_unverified_peer_is_refused_unless_the_network_is_said_to_be_encrypted(
    role: Roles, variables: dict[str, Any], named: str
) -> None:
    assert role("stack", **variables).evaluate("stack_plain_variables") == [named]
    assert role("stack", stack_tls=False, **variables).evaluate("stack_plain_variables") == []
    faults = role("preflight", preflight_app="shop", preflight_plain_variables=[named]).evaluate("__preflight_faults")
    assert [fault for fault in faults if named in fault and "stack_tls: false" in fault] == faults
    assert faults


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "redis+socket:///run/redis.sock"])
def test_a_broker_on_the_host_may_be_plain(role: Roles, url: str) -> None:
    assert role("stack", stack_broker_url=url).evaluate("stack_plain_variables") == []


HTTPS = {
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_SSL_REDIRECT",
    "SESSION_COOKIE_SECURE",
    "CSRF_COOKIE_SECURE",
}


def test_any_project_is_told_of_https_behind_the_front(role: Roles) -> None:
    settings = role("stack", ansible_host="192.0.2.10").evaluate("stack_django_settings")
    assert settings.keys() >= HTTPS
    assert settings["SECURE_PROXY_SSL_HEADER"] == ["HTTP_X_FORWARDED_PROTO", "https"]


@pytest.mark.parametrize(("seconds", "said"), [(-1, None), (0, 0), (31536000, 31536000)])
def test_how_long_https_is_for_certain_is_the_projects_to_say_unless_the_inventory_does(
    role: Roles, seconds: int, said: int | None
) -> None:
    stack = role("stack", stack_hsts_seconds=seconds, ansible_host="192.0.2.10")
    assert stack.evaluate("stack_django_settings").get("SECURE_HSTS_SECONDS") == said


def test_without_the_front_nothing_is_said_of_https_and_ports_are_open(role: Roles) -> None:
    stack = role("stack", stack_front=False, ansible_host="192.0.2.10")
    assert not stack.evaluate("stack_django_settings").keys() & HTTPS
    assert (stack.evaluate("stack_web_listen"), stack.evaluate("stack_flower_socket")) == ("127.0.0.1:8000", "")


def test_the_inventory_wins_over_what_is_said_of_https(role: Roles) -> None:
    stack = role("stack", stack_django_settings_extra={"SECURE_SSL_REDIRECT": False}, ansible_host="192.0.2.10")
    assert stack.evaluate("stack_django_settings")["SECURE_SSL_REDIRECT"] is False


def test_each_service_has_a_login_to_the_database_of_its_own(role: Roles) -> None:
    stack = role("stack", stack_broker_seed="s" * 40, stack_database_password="p" * 16, inventory_hostname="one")
    folder = "/etc/sample/credentials"
    for service in ("web", "worker", "beat", "cleaner"):
        login = stack.evaluate(f"stack_{service}_unit.credentials")
        assert login["database_user"] == f"{folder}/database_user_{service}"
        assert login["database_password"] == f"{folder}/database_password_{service}"
    assert stack.evaluate("stack_operator_unit.credentials.database_password") == f"{folder}/database_password"
    assert [name for name in stack.evaluate("stack_flower_unit.credentials") if "database" in name] == []
    # All of them different, and none the broker's.
    credentials = stack.evaluate("stack_credentials")
    passwords = [value for name, value in credentials.items() if name.startswith("database_password")]
    assert len(set(passwords)) == 5
    assert set(passwords).isdisjoint(stack.evaluate("stack_broker_user_passwords").values())
    assert all(name in credentials for name in ("database_user", "database_user_web"))


@pytest.mark.parametrize(
    "variables",
    [{"stack_broker_seed": ""}, {"stack_database_external": True}, {"stack_database_services": []}],
)
def test_without_roles_of_their_own_services_share_the_one_that_is_given(
    role: Roles, variables: dict[str, Any]
) -> None:
    given = {
        "stack_broker_seed": "s" * 40,
        "stack_database_password": "p" * 16,
        "inventory_hostname": "one",
    } | variables
    stack = role("stack", **given)
    assert stack.evaluate("stack_database_roles") == []
    for service in ("web", "worker", "beat", "operator"):
        login = stack.evaluate(f"stack_{service}_unit.credentials")
        assert login["database_password"] == "/etc/sample/credentials/database_password"
        assert "database_user" not in login
    assert "DATABASE_USER" not in stack.evaluate("stack_credential_settings")


def test_extra_celery_settings_are_merged_into_dictionaries_and_replace_lists(role: Roles) -> None:
    before = role("stack").evaluate("stack_celery_settings")
    extra = {"broker_transport_options": {"socket_timeout": 3, "retry_on_timeout": True}, "accept_content": ["yaml"]}
    stack = role("stack", stack_celery_settings_extra=extra)
    settings = stack.evaluate("stack_celery_settings")
    assert (
        settings["broker_transport_options"] == before["broker_transport_options"] | extra["broker_transport_options"]
    )
    assert settings["accept_content"] == ["yaml"]
    assert "accept_content" not in stack.evaluate("stack_celery_defaults")
    assert settings.keys() == before.keys() | extra.keys()


def test_extra_django_settings_replace_what_they_name_as_a_whole(role: Roles) -> None:
    extra = {"SECURE_PROXY_SSL_HEADER": ["HTTP_X_SCHEME", "https"], "LOGGING": {"version": 1}}
    settings = role("stack", stack_django_settings_extra=extra).evaluate("stack_django_settings")
    assert {name: settings[name] for name in extra} == extra
    assert "ALLOWED_HOSTS" in settings


@pytest.mark.parametrize(
    ("namespace", "name"), [("CELERY", "CELERY_BROKER_URL"), ("JOBS", "JOBS_BROKER_URL"), ("", "BROKER_URL")]
)
def test_the_broker_s_address_has_the_name_that_the_project_reads(role: Roles, namespace: str, name: str) -> None:
    names = role("stack", stack_celery_namespace=namespace).evaluate("stack_credential_settings")
    assert [one for one in names if one.endswith("BROKER_URL")] == [name]
