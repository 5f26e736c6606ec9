"""Every process runs as its own account, which nobody can log in to and which can change no code."""

import pytest
import stack


@pytest.mark.parametrize(("unit", "account"), stack.ACCOUNTS.items())
def test_the_processes_of_a_unit_run_as_its_account(host, unit, account):
    listed = host.check_output("ps -eo user:32=,group:32=,cgroup:999=").splitlines()
    owners = [tuple(line.split()[:2]) for line in listed if f"/{unit}" in line.split()[2]]
    assert owners
    assert set(owners) == {(account, "sample")}


@pytest.mark.parametrize("account", sorted(set(stack.ACCOUNTS.values())))
def test_nobody_can_log_in_to_an_account(host, account):
    assert host.user(account).shell == "/usr/sbin/nologin"
    # No hash that some password would match.
    assert host.user(account).password[0] in "!*"
    answer = host.run(f"su --login {account} --command id")
    assert answer.rc != 0
    assert "uid=" not in answer.stdout


@pytest.mark.parametrize("account", sorted(set(stack.ACCOUNTS.values())))
def test_an_account_has_no_rights_besides_its_group(host, account):
    assert host.check_output(f"id --groups --name {account}").split() == ["sample"]
    answer = host.run(f"runuser -u {account} -- sudo --non-interactive id")
    assert answer.rc != 0


@pytest.mark.parametrize("command", ["sample-manage check", "sample-celery status"])
def test_operators_commands_refuse_who_isnt_root(host, command):
    answer = host.run(f"runuser -u ops -- /usr/local/sbin/{command}")
    assert answer.rc != 0
    assert "sudo" in answer.stderr


def test_the_management_command_works(host):
    assert "no issues" in host.check_output("sample-manage check")


def test_celerys_command_reaches_both_workers(host):
    answers = stack.inspect(host, "ping")
    assert [answer["ok"] for answer in answers.values()] == ["pong", "pong"]


def test_no_two_services_share_an_account():
    assert len(set(stack.ACCOUNTS.values())) == len(stack.ACCOUNTS)
    assert "celery" not in stack.ACCOUNTS.values(), "that of the operators' commands"


def test_the_management_command_runs_as_an_account_of_its_own(host):
    code = "import os, pwd; print(pwd.getpwuid(os.getuid()).pw_name)"
    assert host.check_output(f'sample-manage shell -c "{code}"').splitlines()[-1] == "celery"
