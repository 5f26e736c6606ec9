"""The templates of the application's roles, rendered without a host; anything undefined is an error."""

from __future__ import annotations

import shlex

import pytest

SERVICE = {
    "name": "celery-worker@one.service",
    "description": "A worker",
    "user": "celery",
    "group": "shop",
    "exec_start": "/opt/shop/live/venv/bin/python -m celery",
    "release": "/opt/shop/current",
    "live": "/opt/shop/live",
    "working_directory": "/opt/shop/live/src",
    "environment_files": ["/opt/shop/current/config/environment"],
    "credentials": {"broker_url": "/etc/shop/credentials/broker_url"},
    "egress": ["localhost", "192.0.2.1"],
    "directives": {"Type": "notify", "ListenStream": ["a", "b"], "Persistent": True},
}


UNITS = (
    "lookup('plainhost.stack.rendered_files', 'unit.j2', systemd_unit_units | map('plainhost.stack.unit_file') | list)"
)
COMMANDS = (
    "lookup('plainhost.stack.rendered_files', 'operator_command.sh.j2', "
    "systemd_unit_commands | map('plainhost.stack.command_file', systemd_unit_command_unit) | list)"
)


def test_a_service_gets_the_sandbox_and_its_credentials(role):
    (file,) = role("systemd_unit", systemd_unit_units=[SERVICE]).evaluate(UNITS)
    lines = file["content"].splitlines()
    assert file["dest"] == "/etc/systemd/system/celery-worker@one.service"
    for line in (
        "LoadCredential=broker_url:/etc/shop/credentials/broker_url",
        "BindReadOnlyPaths=/opt/shop/current:/opt/shop/live",
        "NoNewPrivileges=yes",
        "IPAddressDeny=any",
        "IPAddressAllow=192.0.2.1",
        "ListenStream=b",
        "Persistent=true",
        "UMask=0077",
    ):
        assert line in lines


def closed(words):
    """Return the paths that a unit is kept from."""
    lines = [word.removeprefix("--property=") for word in words]
    return {path for line in lines if line.startswith("InaccessiblePaths=") for path in line.partition("=")[2].split()}


def test_the_sockets_of_journal_and_bus_are_closed_to_all_code_of_the_project(role):
    wanted = {"-/run/dbus", "-/run/systemd/journal"}
    (file,) = role("systemd_unit", systemd_unit_units=[SERVICE]).evaluate(UNITS)
    assert closed(file["content"].splitlines()) == wanted
    commands = [{"path": "/usr/local/sbin/shop-manage", "exec": "python -m django"}]
    rendered = role("systemd_unit", systemd_unit_commands=commands, systemd_unit_command_unit=SERVICE)
    (file,) = rendered.evaluate(COMMANDS)
    assert closed(shlex.split(file["content"], comments=True)) == wanted
    for name in ("install", "check", "git"):
        assert closed(step(role, name)) >= wanted


def test_only_a_unit_that_says_so_keeps_the_sockets_of_the_journal(role):
    (file,) = role("systemd_unit", systemd_unit_units=[SERVICE | {"syslog": True}]).evaluate(UNITS)
    assert closed(file["content"].splitlines()) == {"-/run/dbus"}


def test_a_target_has_no_section_of_a_service(role):
    unit = {"name": "shop.target", "description": "All", "wanted_by": ["multi-user.target"]}
    (file,) = role("systemd_unit", systemd_unit_units=[unit]).evaluate(UNITS)
    assert "[Service]" not in file["content"]
    assert "WantedBy=multi-user.target" in file["content"]


def test_an_operator_s_command_runs_like_the_services(role):
    commands = [{"path": "/usr/local/sbin/shop-manage", "exec": "python -m django"}]
    rendered = role("systemd_unit", systemd_unit_commands=commands, systemd_unit_command_unit=SERVICE)
    (file,) = rendered.evaluate(COMMANDS)
    words = shlex.split(file["content"], comments=True)
    assert "--uid=celery" in words
    assert "--property=NoNewPrivileges=yes" in words
    assert "--property=EnvironmentFile=$release/config/environment" in words


def test_each_pool_of_the_plan_is_a_unit(role):
    facts = {"processor_nproc": 4, "memtotal_mb": 65536}
    high, main = role("celery_worker", facts=facts, celery_worker_app="shop").evaluate("__celery_worker_units")
    assert (high["name"], main["name"]) == ("celery-worker@high.service", "celery-worker@main.service")
    assert "--concurrency=3" in main["exec_start"].split()
    assert main["directives"]["TimeoutStopSec"] > 1800


@pytest.mark.parametrize(
    ("own", "users", "accounts"),
    [(True, ["shop_high", "shop_main"], ["shop_high", "shop_main"]), (False, ["shop", "shop"], ["shop"])],
)
def test_a_pool_has_an_account_of_its_own_unless_one_is_shared(role, own, users, accounts):
    facts = {"processor_nproc": 4, "memtotal_mb": 65536}
    worker = role("celery_worker", facts=facts, celery_worker_user="shop", celery_worker_account_per_pool=own)
    assert [unit["user"] for unit in worker.evaluate("__celery_worker_units")] == users
    assert worker.evaluate("__celery_worker_accounts") == accounts


def worker(role, **variables):
    facts = {"processor_nproc": 4, "memtotal_mb": 65536}
    return role("celery_worker", facts=facts, celery_worker_app="shop", **variables).evaluate("__celery_worker_units")[
        0
    ]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("notify", 60)),
        ({"celery_worker_watchdog": 90}, ("notify", 90)),
        ({"celery_worker_watchdog": 0}, ("notify", 0)),
        ({"celery_worker_notify": False}, ("exec", 0)),
    ],
)
def test_a_worker_is_watched_if_it_gives_signs_of_life(role, variables, expected):
    unit = worker(role, **variables)
    assert (unit["directives"]["Type"], unit["watchdog"]) == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, ("notify", 60)), ({"celery_beat_watchdog": 0}, ("notify", 0)), ({"celery_beat_notify": False}, ("exec", 0))],
)
def test_the_scheduler_is_watched_if_it_gives_signs_of_life(role, variables, expected):
    unit = role("celery_beat", **variables).evaluate("__celery_beat_units")[0]
    assert (unit["directives"]["Type"], unit["watchdog"]) == expected


def test_a_watched_unit_isn_t_waited_for_when_it_is_frozen(role):
    for seconds, lines in (
        (60, {"WatchdogSec=60", "TimeoutAbortSec=2", "Environment=PYTHONFAULTHANDLER=1"}),
        (0, set()),
    ):
        units = role("systemd_unit", systemd_unit_units=[SERVICE | {"watchdog": seconds}]).evaluate(UNITS)
        written = set(units[0]["content"].splitlines())
        assert {line for line in written if line.startswith(("Watchdog", "TimeoutAbort", "Environment="))} == lines


@pytest.mark.parametrize(
    ("variables", "graces"),
    [
        pytest.param({}, ["1820", "300", "20"], id="as long as the longest task"),
        pytest.param({"celery_worker_stop_grace": 30}, ["30", "300", "20"], id="30 s"),
        pytest.param(
            {"celery_worker_stop_grace": 5000, "celery_worker_time_limit": 1000},
            ["1020", "300", "20"],
            id="no longer than that",
        ),
    ],
)
def test_a_stop_is_over_before_systemd_kills(role, variables, graces):
    directives = worker(role, **variables)["directives"]
    [stop] = [line for line in directives["ExecStop"] if "celery-worker-stop" in line]
    assert stop.split()[1:] == graces
    assert directives["TimeoutStopSec"] > int(graces[0]) + int(graces[2])


def test_flower_s_login_survives_commas_and_quotes(role):
    password = 'a,b"c\\d'
    text = role("flower", flower_password=password).render("etc/flower.conf.j2")
    values: dict[str, object] = {}
    exec(text, values)  # noqa: S102 (as Flower reads it)
    assert values["basic_auth"] == [f"flower:{password}"]
    assert values["read_only"] is True


def test_awkward_values_reach_the_environment_whole(role):
    project = role(
        "django_project",
        django_project_app="shop",
        django_project_environment={"GREETING": 'say "hi" $HOME \\ `x`'},
        django_project_secret_environment={"KEY": "a$b"},
        django_project_credentials={"broker_url": "redis://x"},
    )
    assert 'GREETING="say \\"hi\\" \\$HOME \\\\ \\`x\\`"' in project.render("config/environment.j2").splitlines()
    files = {file["dest"]: file for file in project.evaluate("__django_project_secret_files")}
    assert files["/etc/shop/credentials/broker_url"]["content"] == "redis://x"
    assert files["/etc/shop/environment.secret"]["content"].strip() == 'KEY="a\\$b"'
    assert {file["mode"] for file in files.values()} == {"0600"}
    # The same for a release that isn't current yet, and its commands look there.
    staged = {file["dest"] for file in project.evaluate("__django_project_staged_files")}
    assert staged == {name.replace("/etc/shop/", "/etc/shop/staged/") for name in files}


def test_no_secret_environment_is_an_empty_file(role):
    project = role("django_project", django_project_app="shop")
    files = {file["dest"]: file for file in project.evaluate("__django_project_secret_files")}
    assert files["/etc/shop/environment.secret"]["content"] == ""


def test_an_index_with_a_login_is_quoted_for_the_shell(role):
    project = role("django_project", django_project_index_url="https://user:p'w@index.example.com/simple")
    text = project.render("tools/index.env.j2")
    assert "https://user:p'w@index.example.com/simple" in [
        word.partition("=")[2] for word in shlex.split(text, comments=True)
    ]


def test_the_commands_of_a_deployment_get_what_is_staged(role):
    unit = SERVICE | {"environment_files": ["/opt/shop/current/config/environment", "/etc/shop/environment.secret"]}
    project = role("django_project", django_project_app="shop", django_project_service_unit=unit)
    staged = project.evaluate("__django_project_staged_unit")
    assert staged["environment_files"] == [
        "/opt/shop/current/config/environment",
        "/etc/shop/staged/environment.secret",
    ]
    assert staged["credentials"] == {"broker_url": "/etc/shop/staged/credentials/broker_url"}


def step(role, name, **variables):
    """Return the words of a build step's command."""
    unit = role("django_project", django_project_app="shop", **variables).evaluate(f"__django_project_{name}_unit")
    commands = [{"path": f"/opt/shop/tools/step-{name}", "exec": "", "unit": unit}]
    (file,) = role("systemd_unit", systemd_unit_commands=commands).evaluate(COMMANDS)
    return shlex.split(file["content"].replace("IFS='", "").replace("\n'\n", "\n"), comments=True)


def test_a_step_of_a_build_has_the_sandbox_and_no_credential(role):
    words = step(role, "install")
    assert "--uid=shop-build" in words
    for line in (
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "IPAddressDeny=any",
        "RestrictAddressFamilies=~AF_UNIX",
        "BindPaths=/opt/shop/build/tree:/opt/shop/live",
        "MemoryMax=75%",
        "RuntimeMaxSec=1800",
    ):
        assert f"--property={line}" in words
    assert not any(
        "LoadCredential" in word or "IPAddressAllow" in word or "BindReadOnlyPaths" in word for word in words
    )


def test_a_step_without_need_of_a_network_has_none(role):
    assert "--property=PrivateNetwork=yes" in step(role, "check")
    assert "--property=PrivateNetwork=yes" in step(role, "install", django_project_wheels="/srv/wheels")
    assert "--property=PrivateNetwork=yes" not in step(role, "install")


def test_only_a_build_from_source_may_run_any_program(role):
    def paths(words, kind):
        return next(word for word in words if word.startswith(f"--property={kind}=")).partition(f"{kind}=")[2].split()

    assert "/" not in paths(step(role, "install"), "ExecPaths")
    for asked in ({"django_project_build_from_source": True}, {"django_project_build": ["promise"]}):
        words = step(role, "install", **asked)
        assert "/" in paths(words, "ExecPaths")
        assert set(paths(words, "NoExecPaths")) == {"/run", "-/run/lock"}
        assert "/" not in paths(step(role, "check", **asked), "ExecPaths")


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        ({}, ["--only-binary=:all:"]),
        (
            {"django_project_build": ["promise", "jsmin"]},
            ["--only-binary=:all:", "--no-binary=promise", "--no-binary=jsmin"],
        ),
        ({"django_project_build_from_source": True}, []),
        ({"django_project_build_from_source": True, "django_project_build": ["promise"]}, ["--no-binary=promise"]),
    ],
)
def test_only_packages_that_are_named_are_built_from_source(role, variables, options):
    project = role("django_project", django_project_require_hashes=False, **variables)
    assert project.evaluate("__django_project_install_options") == [f"--option={option}" for option in options]


def test_another_way_to_build_is_another_release(role):
    def code(**variables):
        digests = {"celery_runtime_source": {"digest": "r"}, "__django_project_folder": {"digest": "s"}}
        return role("django_project", **digests, **variables).evaluate("__django_project_code_id")

    ways = (
        {},
        {"django_project_build": ["a"]},
        {"django_project_build_packages": ["gcc"]},
        {"django_project_build_from_source": True},
    )
    assert len({code(**way) for way in ways}) == len(ways)


def test_the_plan_says_what_runs(role):
    text = role("celery_worker", facts={"processor_nproc": 4, "memtotal_mb": 65536}).render("plan.txt.j2")
    assert "celery-worker@main: 3 processes for default, low" in text
