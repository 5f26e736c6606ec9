"""The test bench's own logic, where it can be wrong without a host showing it."""

from __future__ import annotations

import io
import os
import shlex
import smtplib
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
import yaml
from molecule.interpolation import Interpolator, TemplateWithDefaults

from testbench import hosts, image, inventory, kernel, lint, podman, remote, runner, seed
from testbench.console import Problem, Steps, duration
from testbench.smtp_sink import Refusals


@pytest.mark.parametrize(
    ("v1_memory", "may_raise", "present", "absent"),
    [
        (True, False, ['runtime = "runc"', "default_ulimits"], []),
        (True, True, ['runtime = "runc"'], ["default_ulimits"]),
        (False, False, ["default_ulimits"], ["runtime"]),
    ],
)
def test_containers_conf_says_only_what_the_machine_needs(
    v1_memory: bool, may_raise: bool, present: list[str], absent: list[str]
) -> None:
    text = podman.containers_conf(v1_memory=v1_memory, may_raise_limits=may_raise)
    assert all(word in text for word in present)
    assert not any(word in text for word in absent)


def test_an_ordinary_machine_gets_no_containers_conf() -> None:
    assert podman.containers_conf(v1_memory=False, may_raise_limits=True) == ""


@pytest.mark.parametrize(("capabilities", "expected"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_the_capability_to_raise_limits_is_read_from_the_bounding_set(capabilities: str, expected: bool) -> None:
    assert podman.may_raise_limits(f"Name:\tx\nCapBnd:\t{capabilities}\n") is expected


def test_only_controllers_of_cgroup_v1_are_bound(tmp_path: Path) -> None:
    assert podman.v1_controllers(tmp_path) == []
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks").touch()
    # A group that somebody made in a v2 tree has the same name and no such file.
    (tmp_path / "cpu").mkdir()
    assert [path.name for path in podman.v1_controllers(tmp_path)] == ["memory", "pids"]


def listing(**hosts: dict[str, object]) -> dict[str, object]:
    return {"_meta": {"hostvars": hosts}}


def test_hosts_are_those_that_name_a_release() -> None:
    found = inventory.parse(
        listing(
            web={"testbench_release": "trixie", "testbench_memory": "1g"},
            real={"ansible_host": "192.0.2.1"},
            db_1={"testbench_release": "bookworm"},
        ),
        "two_sites",
    )
    assert [(host.name, host.release, host.memory) for host in found] == [
        ("db_1", "bookworm", ""),
        ("web", "trixie", "1g"),
    ]
    assert found[0].container == f"{podman.NAMED}-two-sites-db-1"


def test_clones_with_names_of_their_own_share_no_host() -> None:
    names = [
        subprocess.run(
            [sys.executable, "-c", "from testbench.hosts import network_of; print(network_of('default'))"],
            cwd=podman.ROOT,
            env={**os.environ, "TESTBENCH_NAME": name},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for name in ("", "left", "right")
    ]
    assert names == ["plainhost-default", "plainhost-left-default", "plainhost-right-default"]


def test_a_name_that_no_container_can_have_is_refused() -> None:
    with pytest.raises(Problem, match="small letters"):
        inventory.parse(listing(**{"web.example.com": {"testbench_release": "trixie"}}), "x")


def test_an_unknown_release_is_refused_before_anything_is_built() -> None:
    with pytest.raises(Problem, match="testbench_release is 'buster'"):
        image.ensure({"buster"})


def test_addresses_are_kept_and_never_given_twice() -> None:
    asked = [inventory.Host("s", name, "trixie") for name in ("a", "b", "c")]
    planned = hosts.plan_addresses(asked, {"b": "10.89.0.10"}, "10.89.0.0/24")
    assert planned == {"a": "10.89.0.11", "b": "10.89.0.10", "c": "10.89.0.12"}


def test_only_what_this_clone_made_in_this_scope_is_ever_removed() -> None:
    def row(name: str, **labels: str) -> dict[str, object]:
        return {"Name": name, "Labels": {f"plainhost.{key}": value for key, value in labels.items()}}

    listed = [
        row("mine", clone=str(podman.ROOT), scope="a"),
        row("of another scope", clone=str(podman.ROOT), scope="b"),
        row("of another clone", clone="/elsewhere", scope="a"),
        row("without a clone", scope="a"),
        {"Name": "a stranger's", "Labels": None},
    ]
    assert [found["Name"] for found in hosts.belonging(listed, "a")] == ["mine"]
    assert [found["Name"] for found in hosts.belonging(listed, None)] == ["mine", "of another scope"]


def test_the_generated_inventory_checks_host_keys_and_reads_back(tmp_path: Path) -> None:
    text = inventory.generated({"one": "10.0.0.2"}, "10.0.0.1", tmp_path)
    host = yaml.safe_load(text)["all"]["hosts"]["one"]
    assert (host["ansible_host"], host["testbench_gateway"]) == ("10.0.0.2", "10.0.0.1")
    assert "StrictHostKeyChecking=yes" in host["ansible_ssh_common_args"]
    assert f'UserKnownHostsFile="{tmp_path}/known_hosts"' in host["ansible_ssh_common_args"]


def test_testinfra_shares_the_connection_that_the_test_bench_closes(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(inventory.generated({"one": "10.0.0.2"}, "10.0.0.1", tmp_path))
    (host,) = testinfra.get_hosts(["ansible://one"], ansible_inventory=str(tmp_path / "hosts.yml"))
    ssh = host.backend.ansible_runner.get_host("one").backend
    command, arguments = ssh._build_ssh_command("true")
    assert f"ControlPath={inventory.control_path()}" in shlex.split(" ".join(command) % tuple(arguments))


def test_a_clone_in_a_folder_with_a_space_works(tmp_path: Path) -> None:
    folder = tmp_path / "my clone"
    text = inventory.generated({"one": "10.0.0.2"}, "10.0.0.1", folder)
    arguments = yaml.safe_load(text)["all"]["hosts"]["one"]["ansible_ssh_common_args"]
    # Ansible splits the words as a shell does; the quotes left are for ssh, which would see two files.
    assert f'UserKnownHostsFile="{folder}/known_hosts"' in shlex.split(arguments)


def test_writing_what_is_there_already_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "zz-testbench.yml"
    inventory.write(path, "a")
    before = path.stat()
    inventory.write(path, "a")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    inventory.write(path, "b")
    assert path.read_text() == "b"
    assert [entry.name for entry in tmp_path.iterdir()] == ["zz-testbench.yml"]


def test_everything_in_the_image_is_roots_and_sudoers_is_readable_by_root_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(image.overlay())) as archive:
        members = {member.name: member for member in archive.getmembers()}
    assert all((member.uid, member.gid) == (0, 0) for member in members.values())
    assert members["etc/sudoers.d/testbench"].mode == 0o440
    assert members["etc/systemd/system/getty@.service"].linkname == "/dev/null"


def test_another_recipe_is_another_image(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.name("trixie")
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "vim"))
    assert image.name("trixie") != before


@pytest.mark.parametrize(
    ("text", "expected"),
    [("always [madvise] never\n", "madvise"), ("0\n", "0"), ("[always] never", "always")],
)
def test_a_kernel_setting_is_read_as_what_one_would_write(text: str, expected: str) -> None:
    assert kernel.chosen(text) == expected


def test_kernel_settings_are_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting, untouched = tmp_path / "overcommit", tmp_path / "other"
    setting.write_text("0\n")
    untouched.write_text("5\n")
    monkeypatch.setattr(kernel, "SETTINGS", (setting, untouched, tmp_path / "not-in-this-kernel"))
    monkeypatch.setattr(kernel, "NOTE", tmp_path / "note" / "kernel.json")
    monkeypatch.setattr(kernel, "as_root", lambda command: command)
    kernel.note()
    setting.write_text("1\n")
    kernel.note()  # a second host must not take what the first one set for the original
    kernel.restore()
    assert setting.read_text() == "0"
    assert untouched.read_text() == "5\n"
    assert not kernel.NOTE.exists()


def test_a_run_that_was_killed_leaves_the_note_to_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one may be another clone's: it finds the setting changed and no host, and knows all the same what it was."""
    setting = tmp_path / "overcommit"
    setting.write_text("0\n")
    monkeypatch.setattr(kernel, "SETTINGS", (setting,))
    monkeypatch.setattr(kernel, "NOTE", tmp_path / "run" / "kernel.json")
    monkeypatch.setattr(kernel, "as_root", lambda command: command)
    kernel.note()
    setting.write_text("1\n")
    code = (
        "import sys; from pathlib import Path; from testbench import kernel; setting, note = map(Path, sys.argv[1:]);"
        "kernel.SETTINGS, kernel.NOTE, kernel.as_root = (setting,), note, lambda command: command;"
        "kernel.note(); kernel.restore()"
    )
    subprocess.run([sys.executable, "-c", code, str(setting), str(kernel.NOTE)], cwd=podman.ROOT, check=True)
    assert setting.read_text() == "0"


def test_the_note_is_the_machines() -> None:
    assert not kernel.NOTE.is_relative_to(podman.ROOT)


def test_hosts_of_a_clone_that_is_gone_are_known(tmp_path: Path) -> None:
    label = f"{podman.PREFIX}.clone"
    listed = [
        {"Names": ["here"], "Labels": {label: str(tmp_path)}},
        {"Names": ["gone"], "Labels": {label: str(tmp_path / "gone")}},
        {"Names": ["somebody-elses"], "Labels": None},
    ]
    assert hosts.orphans(listed) == ["gone"]


def test_a_note_from_before_a_reboot_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting, boot = tmp_path / "overcommit", tmp_path / "boot_id"
    setting.write_text("0\n")
    boot.write_text("first\n")
    monkeypatch.setattr(kernel, "SETTINGS", (setting,))
    monkeypatch.setattr(kernel, "BOOT_ID", boot)
    monkeypatch.setattr(kernel, "NOTE", tmp_path / "kernel.json")
    monkeypatch.setattr(kernel, "as_root", lambda command: command)
    kernel.note()
    boot.write_text("second\n")
    setting.write_text("2\n")
    kernel.restore()
    assert setting.read_text() == "2\n"


def test_proxies_and_indexes_of_this_machine_are_carried_over() -> None:
    lines = seed.environment(
        {
            "HTTPS_PROXY": "http://proxy.example:3128",
            "PIP_INDEX_URL": "https://index.example/simple",
            "PIP_EXTRA_INDEX_URL": "file:///opt/wheels",
            "HOME": "/home/ops",
        }
    )
    assert lines == ('https_proxy="http://proxy.example:3128"\nPIP_INDEX_URL="https://index.example/simple"\n')
    dump = 'Acquire "";\nAcquire::http::Proxy "http://proxy.example:3142";\nAcquire::https::Proxy "";\n'
    assert seed.apt_proxies(dump) == 'Acquire::http::Proxy "http://proxy.example:3142";\n'


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ada@example.com", None),
        ("tempfail@example.com", "451"),
        ("TempFail+1@example.com", "451"),
        ("permfail.x@example.com", "550"),
        ("ada@permfail.example", None),
    ],
)
def test_the_sink_refuses_whom_it_was_told_to(address: str, code: str | None) -> None:
    answer = Refusals().answer(address)
    assert (answer[:3] if answer else None) == code


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "mail"
    command = [sys.executable, "-m", "testbench.smtp_sink", "--port", str(port), "--folder", str(folder)]
    with subprocess.Popen(command, cwd=podman.ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port, folder
        process.terminate()
        assert process.wait(5) == 0


def test_the_sink_keeps_what_it_accepts_and_refuses_the_rest(sink: tuple[int, Path]) -> None:
    port, folder = sink
    with smtplib.SMTP("127.0.0.1", port, timeout=5) as client:
        client.sendmail("a@example.com", ["b@example.com"], "Subject: Hällo\r\n\r\nbody".encode())
        stored = list(folder.glob("*.eml"))
        assert len(stored) == 1
        assert "Subject: Hällo".encode() in stored[0].read_bytes()
        for recipient, code in (("tempfail@example.com", 451), ("permfail@example.com", 550)):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
                client.sendmail("a@example.com", [recipient], b"Subject: x\r\n\r\n")
            assert refused.value.recipients[recipient][0] == code
    assert len(list(folder.glob("*.eml"))) == 1


def test_units_are_read_with_state_memory_and_score() -> None:
    shown = (
        "Id=celery-worker@default.service\nActiveState=active\nSubState=running\n"
        "ActiveEnterTimestamp=Sun 2026-11-22 16:00:00 UTC\nMemoryCurrent=104857600\n\n"
        "Id=celery-beat.service\nActiveState=failed\nSubState=failed\n"
        "ActiveEnterTimestamp=\nMemoryCurrent=[not set]\n"
    )
    scores = (
        "UNIT                          EXPOSURE PREDICATE HAPPY\n"
        "celery-worker@default.service      0.9 SAFE      😀\n"
        "emergency.service                  9.5 UNSAFE    😨\n"
    )
    beat, worker = remote.parse_units(shown, scores)
    assert (worker.state, worker.since, worker.memory, worker.score) == (
        "active (running)",
        "2026-11-22 16:00:00",
        "100 MiB",
        "0.9",
    )
    assert (beat.state, beat.since, beat.memory, beat.score) == ("failed (failed)", "", "", "")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.04, "0.0 s"), (12.4, "12 s"), (59.6, "60 s"), (185, "3 min 05 s")]
)
def test_durations_read_well(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_failed_step_is_told_and_still_timed() -> None:
    steps = Steps()
    with pytest.raises(Problem), steps.step("first"):
        raise Problem("no")
    with steps.step("second"):
        pass
    assert [(title, well) for title, _, well in steps.rows] == [("first", False), ("second", True)]
    assert "FAILED" in steps.table()


def test_every_scenario_is_a_step_and_the_shared_folder_is_none(tmp_path: Path) -> None:
    scenarios = ("default", "any_project", "security")
    for name in (*scenarios, "shared"):
        (tmp_path / "molecule" / name).mkdir(parents=True)
    for name in scenarios:
        (tmp_path / "molecule" / name / "molecule.yml").touch()
    names = [step.name for step in runner.steps(tmp_path)]
    assert names[:3] == ["lint", "host-free tests", "sample project's tests"]
    assert names[3:5] == ["runtime's tests", "runtime's tests, oldest Celery"]
    # The longest first: what is left at the end is short then, and both rows end at about the same time.
    assert names[5:] == ["molecule default", "molecule security", "molecule any_project"]


# Molecule hands each to pytest as a text, and at a number it ends after the hosts were made, before the first test.
@pytest.mark.parametrize(
    "path",
    [podman.ROOT / ".config/molecule/config.yml", *sorted(podman.ROOT.glob("molecule/*/molecule.yml"))],
    ids=lambda path: path.parent.name,
)
def test_the_options_of_a_scenarios_tests_are_texts(path: Path) -> None:
    config = yaml.safe_load(Interpolator(TemplateWithDefaults, {"TEST_SEED": "1"}).interpolate(path.read_text()))
    options = config.get("verifier", {}).get("options", {})
    assert {name: value for name, value in options.items() if not isinstance(value, str | bool)} == {}


# As Molecule prints what pytest says: behind a border, in colours, with its own lines after it.
BORDERED = r"""
printf '  \033[2m│\033[0m ____ test_of_mine[trixie] ____\n'
printf '  \033[2m│\033[0m \033[31mE   \033[0m  assert 1 == 2\n'
printf '  \033[2m│\033[0m \033[31mFAILED\033[0m tests/test_it.py::\033[1mtest_of_mine[trixie]\033[0m - assert 1 == 2\n'
printf '\033[31mERROR   \033[0m Verifier tests failed\n'
"""


@pytest.mark.parametrize(
    ("says", "wanted"),
    [
        ("seq 2000 2200", ["2200"]),
        (
            BORDERED + "seq 2000 2200",
            ["E     assert 1 == 2", "FAILED tests/test_it.py::test_of_mine[trixie] - assert 1 == 2"],
        ),
        ("echo 'fatal: [one]: FAILED! => no'; seq 2000 2200", ["fatal: [one]: FAILED! => no"]),
    ],
    ids=["the last lines, where none names a failure", "a test behind a border", "a task"],
)
def test_what_failed_in_a_step_stands_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], says: str, wanted: list[str]
) -> None:
    """Who reads a log of an hour begins at its end, and so does what shows the end only."""
    long = ("bash", "-c", f"seq 1 500; {says}; exit 1")
    planned = [runner.Step("first", long), runner.Step("second", ("seq", "1000", "1500"))]
    monkeypatch.setattr(runner, "steps", lambda _root: planned)
    assert runner.main([]) == 1
    end = [line.strip() for line in capfdbinary.readouterr().out.decode().partition("\nSteps\n")[2].splitlines()]
    assert set(wanted) <= set(end)
    assert not {"500", "1000", "1500", "ERROR    Verifier tests failed"} & set(end)


def test_what_needs_no_host_runs_beside_the_scenarios_and_speaks_in_one_piece(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """Each waits for a file that the other makes, so one after the other they would not end well."""
    wait = "for i in $(seq 300); do [ -e {there} ] && exit $(nice) || sleep 0.1; done; exit 99"
    here, there = tmp_path / "here", tmp_path / "there"
    planned = [
        runner.Step("tests", ("bash", "-c", f"echo begins; touch {here}; {wait.format(there=there)}")),
        runner.Step("scenario", ("bash", "-c", f"touch {there}; {wait.format(there=here)}"), hosts=True),
    ]
    monkeypatch.setattr(runner, "steps", lambda _root: planned)
    assert runner.main([]) == 1
    output = capfdbinary.readouterr().out.decode()
    own = int(subprocess.run(["nice"], capture_output=True, text=True, check=True).stdout)
    assert f"exited {min(own + runner.NICENESS, 19)}" in output
    assert "exited 99" not in output
    assert "beside the others for" in output.partition("begins")[0]


def test_the_second_row_helps_with_the_scenarios_and_none_runs_twice(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    """The first scenario ends when the second has run: the other row must take that one."""
    there = tmp_path / "there"
    wait = f"for i in $(seq 300); do [ -e {there} ] && exit 0 || sleep 0.1; done; exit 99"
    planned = [
        runner.Step("tests", ("true",)),
        runner.Step("long scenario", ("bash", "-c", wait), hosts=True),
        runner.Step("short scenario", ("bash", "-c", f"nice; mkdir {there}"), hosts=True),
        runner.Step("last scenario", ("mkdir", str(tmp_path / "last")), hosts=True),
    ]
    monkeypatch.setattr(runner, "steps", lambda _root: planned)
    # A step that ran twice would fail at its folder.
    assert runner.main([]) == 0
    output = capfdbinary.readouterr().out.decode()
    own = subprocess.run(["nice"], capture_output=True, text=True, check=True).stdout
    assert f"\n{own}" in output.partition("short scenario, which ran beside the others")[2]
    assert (tmp_path / "last").is_dir()


def test_a_step_beside_the_scenarios_that_cannot_be_started_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It ends in a thread, whose error would end nobody else."""
    planned = [
        # No program may have such a name.
        runner.Step("tests", ("with\0zero",)),
        runner.Step("more tests", ("echo", "still here")),
        runner.Step("scenario", ("true",), hosts=True),
    ]
    monkeypatch.setattr(runner, "steps", lambda _root: planned)
    assert runner.main([]) == 1
    output = capfd.readouterr().out
    assert "FAILED: tests: " in output
    assert "still here" in output


@pytest.mark.parametrize(("status", "expected"), [("true", 0), ("false", 1)])
def test_the_runner_goes_on_after_a_failure_and_then_fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], status: str, expected: int
) -> None:
    planned = [runner.Step("first", (status,)), runner.Step("second", ("echo", "still here"))]
    monkeypatch.setattr(runner, "steps", lambda _root: planned)
    assert runner.main([]) == expected
    assert "still here" in capfd.readouterr().out


def test_only_the_collections_of_the_lock_are_needed() -> None:
    tool = Path(sys.executable).parent / "ansible-galaxy"
    result = subprocess.run(
        [tool, "collection", "install", "--offline", *lint.dependencies()],
        cwd=podman.ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert result.returncode == 0, result.stderr
    assert "Nothing to do" in result.stdout
