"""Wrong inventories are refused with the variable and the fix, and the host is left as it was."""

from pathlib import Path

import pytest
import yaml

CASES = yaml.safe_load((Path(__file__).parent / "cases.yml").read_text())
UBUNTU = next(case["system"] for case in CASES if "Ubuntu" in case.get("system", {}).values())
# One case runs all of site.yml. Its first playbook is this one (tests/test_dry_run.py), and to read the others takes longer than to refuse.
SITE, FIRST = "site.yml", "playbooks/preflight.yml"
UNTOUCHED = ["redis-server", "postgresql", "python3-venv"]


def changes(before, after):
    return sorted(set(before) ^ set(after))


@pytest.mark.parametrize(
    ("case", "system"),
    [pytest.param(case, case.get("system"), id=case["name"]) for case in CASES],
    indirect=["system"],
)
def test_it_is_refused_and_nothing_changes(case, system, play, fingerprint):
    before = fingerprint()
    run = play(SITE if case is CASES[0] else FIRST, case.get("vars"), case.get("inventory", ""))
    print(f"\n{case['name']}: refused after {run.seconds:.0f} s")
    assert run.status == 2, run.output
    for words in case["says"]:
        assert words in run.words, f"not said: {words}\n{run.output}"
    assert changes(before, fingerprint()) == []


def test_the_good_inventory_is_not_refused(play, fingerprint):
    before = fingerprint()
    run = play(FIRST)
    assert run.status == 0, run.output
    assert "celery-worker@main" in run.output
    assert changes(before, fingerprint()) == []


@pytest.mark.parametrize("system", [UBUNTU], indirect=True)
def test_an_untested_relative_of_debian_can_be_allowed(system, play):
    # Its PostgreSQL isn't known here either.
    run = play(FIRST, {"preflight_allow_untested": True, "postgresql_version": "16"})
    assert run.status == 0, run.output


@pytest.mark.parametrize("package", UNTOUCHED)
def test_nothing_was_installed(host, package):
    assert not host.package(package).is_installed


def test_no_secret_was_printed(play, host):
    secrets = Path(host.ansible.get_variables()["testbench_mail_folder"]).parent / "secrets" / "refused"
    values = [path.read_text().split()[0] for path in secrets.iterdir() if path.is_file()]
    assert len(values) >= 5
    output = play(SITE, {"redis_maxmemory": "512mbb"}).output
    assert [value for value in values if value in output] == []


def test_the_fingerprint_sees_a_change(host, fingerprint):
    before = fingerprint()
    host.check_output("touch /etc/one-file-more")
    try:
        seen = changes(before, fingerprint())
    finally:
        host.check_output("rm /etc/one-file-more")
    assert any("/etc/one-file-more" in line for line in seen)
