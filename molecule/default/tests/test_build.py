"""How a release is built: what the project and its dependencies bring runs as an account without rights, and root takes over files alone."""

import json
import re
import shlex
import subprocess

import hostile_project
import pytest
import stack
from testinfra import get_host

from testbench.podman import ROOT

NAMES = ("bookworm", "trixie")
CREDENTIALS = "/etc/sample/credentials"
ACCOUNT = "sample-build"
# Of another length than the generated one, so nobody can mistake them.
NEW_KEY = "a-secret-key-that-comes-with-a-release-that-is-refused-" + "k" * 20


def reach(name):
    """Return a host with nothing remembered from before."""
    return get_host(f"ansible://{name}?ansible_inventory={stack.INVENTORY}&sudo=true")


def state(host):
    """Return what a release that is refused must leave alone."""
    return {
        "current": host.check_output("readlink /opt/sample/current"),
        "credentials": host.check_output(f"cd {CREDENTIALS} && sha256sum * ../environment.secret"),
        "commands": host.check_output("sha256sum /usr/local/sbin/sample-*"),
    }


def releases(host):
    """Return the numbers of the releases on a host."""
    return set(host.check_output("ls /opt/sample/releases").split())


@pytest.fixture(scope="module")
def refused(play, tmp_path_factory):
    """Both hosts after the hostile project was built there, and refused: what it left, and what was there before."""
    hosts = {name: reach(name) for name in NAMES}
    gateway = str(hosts["trixie"].ansible.get_variables()["testbench_gateway"])
    source = hostile_project.hostile(
        tmp_path_factory.mktemp("hostile") / "project", [(gateway, 2525), ("127.0.0.1", 22)]
    )
    before = {name: (state(host), releases(host)) for name, host in hosts.items()}
    run = play(
        "project",
        django_project_source=str(source),
        django_project_requirements=["requirements.lock", "hostile.txt"],
        django_project_require_hashes=False,
        # Anything else is fixed by the source; an editable folder has no hash.
        stack_secret_key=NEW_KEY,
    )
    found = {}
    for name, host in hosts.items():
        (new,) = releases(host) - before[name][1] or {""}
        lines = host.check_output(
            f"find /opt/sample/releases/{new} -name 'witness-*.json' -exec cat {{}} +"
        ).splitlines()
        found[name] = [json.loads(line) for line in lines]
    yield {"run": run, "before": before, "found": found, "hosts": hosts}
    for name, host in hosts.items():
        for number in releases(host) - before[name][1]:
            host.check_output(f"rm -rf /opt/sample/releases/{number}")
        host.check_output("rm -rf /etc/sample/staged")


@pytest.mark.parametrize("name", NAMES)
def test_a_dependency_s_code_runs_as_an_account_without_rights(refused, name):
    found = refused["found"][name]
    # The editable folder's backend must run, or nothing could be built of it; the others need not.
    assert "editable" in {seen["kind"] for seen in found}, refused["run"].output
    uid = refused["hosts"][name].user(ACCOUNT).uid
    for seen in found:
        assert seen["uid"] == uid != 0
        assert seen["capabilities"] == 0
        assert (seen["no_new_privileges"], seen["system_calls_filtered"]) == ("1", "2")


@pytest.mark.parametrize("name", NAMES)
def test_a_dependency_s_code_reads_no_secret_and_changes_nothing_of_the_host(refused, name):
    for seen in refused["found"][name]:
        assert seen["read"] == []
        assert seen["written"] == []
        assert seen["sockets"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_dependency_s_code_reaches_no_host_but_the_index(refused, name):
    for seen in refused["found"][name]:
        assert seen["reached"] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_s_code_runs_without_the_index_s_login(refused, name):
    for seen in refused["found"][name]:
        if seen["kind"] != "editable":
            assert (seen["credentials"], seen["index"]) == ([], [])


@pytest.mark.parametrize("name", NAMES)
def test_a_release_that_is_refused_leaves_the_running_one_its_credentials(refused, name):
    assert refused["run"].status != 0
    assert "accept_content" in refused["run"].words
    host = refused["hosts"][name]
    assert state(host) == refused["before"][name][0]
    # What starts now starts with what belongs to the release that runs.
    host.check_output("systemctl restart django-web.service")
    key = host.check_output(f"sha256sum {CREDENTIALS}/secret_key").split()[0]
    assert host.check_output("sha256sum /run/credentials/django-web.service/secret_key").split()[0] == key


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_release_belongs_to_anybody_but_root(refused, name):
    host = refused["hosts"][name]
    assert host.check_output("find /opt/sample/releases ! -user root") == ""
    assert host.check_output("find /opt/sample/releases ! -type l -perm /7022") == ""
    assert host.check_output("find /opt/sample/releases -type f -links +1") == ""
    assert host.check_output(f"pgrep -c -u {ACCOUNT} || true") == "0"


@pytest.fixture(scope="module")
def linked(play, tmp_path_factory):
    """Deploy a repository whose requirements are a link to a secret of the host."""
    host = reach("trixie")
    folder = tmp_path_factory.mktemp("linked")
    source = hostile_project.copied(folder / "project")
    (source / "more.txt").symlink_to(f"{CREDENTIALS}/secret_key")
    as_author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        [*as_author, "commit", "-qm", "all"],
        ["bundle", "create", "-q", "../project.bundle", "HEAD"],
    ):
        subprocess.run(["git", *command], cwd=source, check=True)
    host.ansible("copy", f"src={folder}/project.bundle dest=/srv/project.bundle mode=0644", check=False, become=True)
    before = state(host)
    run = play(
        "project",
        limit="trixie",
        django_project_source="",
        django_project_git_repository="/srv/project.bundle",
        django_project_git_ref="HEAD",
        django_project_requirements=["requirements.lock", "more.txt"],
    )
    yield run, before
    host.check_output("rm -f /srv/project.bundle")


def test_a_link_to_a_secret_is_refused_and_none_of_it_shown(linked, secret_key):
    run, before = linked
    assert run.status != 0
    assert secret_key not in run.output
    assert secret_key[:12] not in run.output
    assert "more.txt" in run.words
    assert state(reach("trixie")) == before


@pytest.fixture
def secret_key():
    """Return the key that Django has on the host."""
    return reach("trixie").check_output(f"cat {shlex.quote(CREDENTIALS)}/secret_key").strip()


def test_a_package_that_is_named_is_built_from_source_and_no_other():
    host = reach("bookworm")
    # The account's cache has the source distributions that were built.
    wheels = host.check_output("find /opt/sample/build/cache -path '*sdists*' -name '*.whl' -printf '%f\n'")
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "sample_project/requirements.lock").read_text(), re.MULTILINE)
    assert {wheel.partition("-")[0] for wheel in wheels.split()} & {name.replace("-", "_") for name in pinned} == {
        "sqlparse"
    }
    assert "sqlparse" in host.check_output("ls /opt/sample/current/venv/lib/python3.11/site-packages")


def test_what_a_build_needs_is_gone_after_it():
    host = reach("bookworm")
    assert host.run("command -v m4").rc != 0
    log = host.check_output("cat /var/log/dpkg.log")
    assert " install m4:" in log
    assert not host.file("/opt/sample/tools/compilers.json").exists


def test_a_release_has_the_python_that_is_asked_for():
    host = reach("trixie")
    assert host.check_output("readlink /opt/sample/current/venv/bin/python") == "/usr/bin/python3.13"
    worker = host.check_output("systemctl show --property MainPID --value celery-worker@main.service")
    assert host.check_output(f"readlink /proc/{worker}/exe") == "/usr/bin/python3.13"
