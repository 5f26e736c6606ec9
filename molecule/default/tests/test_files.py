"""Files: the front serves static ones and uploads, and nothing beside them; services write to their folders and start their programs."""

import json
import re
import shlex
import time

import pytest
import stack
from testinfra import get_host

BOOKWORM, TRIXIE = "bookworm", "trixie"
WORKER, WEB = "celery-worker@main.service", "django-web.service"
MEDIA = "/var/lib/sample/media"
EXPORTS = "/var/lib/sample/exports"
# What an attacker would have others' browsers run.
SCRIPT = "<script>alert(document.domain)</script>"
IMMUTABLE = "public, max-age=31536000, immutable"


def ask(front, path, **headers):
    connection = front.connect(60)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()


@pytest.fixture
def stylesheet(http):
    """Return where a page says that its style lies."""
    _, page, _ = http("GET", "/register/")
    return re.search(r'rel="stylesheet" href="([^"]+)"', page)[1]


@pytest.fixture
def upload(host):
    """Store files as the project does, and remove them in the end."""
    made = []

    def store(name, text=SCRIPT):
        code = (
            "from django.core.files.base import ContentFile; from django.core.files.storage import default_storage;"
            f"print('stored', default_storage.save({name!r}, ContentFile({text!r})))"
        )
        printed = host.check_output(f"sample-manage shell -c {shlex.quote(code)}")
        made.append(re.search(r"^stored (.*)$", printed, re.MULTILINE)[1])
        return made[-1]

    yield store
    for name in made:
        host.check_output(f"rm {MEDIA}/{shlex.quote(name)}")


def seen_by(host, unit, path):
    """Return a path as a unit's processes see it. For root it's the mount alone that decides who may write there."""
    return f"/proc/{stack.main_pid(host, unit)}/root{path}"


# --- Static files ---


def test_a_file_with_a_hash_in_its_name_is_kept_for_ever(host, front, stylesheet):
    host.check_output("systemctl stop django-web.socket django-web.service")
    try:
        answer = ask(front, stylesheet)
    finally:
        host.check_output("systemctl start django-web.socket django-web.service")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, IMMUTABLE)
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # The project's own compression.
    assert host.run(f"test -e /opt/sample/current{stylesheet}.gz").rc == 0
    packed = ask(front, stylesheet, Accept_Encoding="gzip")
    assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")


def test_a_file_that_lies_there_packed_by_brotli_is_sent_so(host, front, stylesheet):
    file = f"/opt/sample/current{stylesheet}.br"
    host.check_output(f"echo packed > {file}")
    try:
        answer = ask(front, stylesheet, Accept_Encoding="gzip, br")
    finally:
        host.check_output(f"rm {file}")
    assert (answer.headers["Content-Encoding"], answer.body) == ("br", b"packed\n")


def test_a_file_without_one_is_kept_for_a_minute(front, stylesheet):
    plain = re.sub(r"[.][0-9a-f]{12}[.]", ".", stylesheet)
    assert plain != stylesheet
    answer = ask(front, plain)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=60")


@pytest.fixture
def before(host):
    """Return the static files of a release before this one, in place of what there is of it."""
    link, folder = "/opt/sample/previous", "/opt/sample/before"
    was = host.run(f"readlink {link}").stdout.strip()
    host.check_output(f"mkdir -p {folder}/static && ln -sfn {folder} {link}")
    yield f"{folder}/static"
    host.check_output(f"rm -r {folder} {link} && " + (f"ln -s {was} {link}" if was else "true"))


def test_a_file_of_the_release_before_is_still_there(host, front, before):
    name = f"gone{time.time_ns()}.0123456789ab.js"
    host.check_output(f"echo old | tee {before}/{name} > {before}/plain.js")
    answer = ask(front, f"/static/{name}")
    assert (answer.status, answer.body, answer.headers["Cache-Control"]) == (200, b"old\n", IMMUTABLE)
    # Others come from the release that runs.
    assert ask(front, "/static/plain.js").status == 404


def test_the_front_reads_static_files_and_no_code(host):
    as_front = "runuser -u www-data --"
    assert host.run(f"{as_front} test -r /opt/sample/current/static/staticfiles.json").rc == 0
    for name in ("src/manage.py", "venv/pyvenv.cfg", "config/settings.json", "runtime"):
        assert host.run(f"test -e /opt/sample/current/{name}").rc == 0
        assert host.run(f"{as_front} test -r /opt/sample/current/{name}").rc != 0, name
        assert host.run(f"runuser -u celery -- test -r /opt/sample/current/{name}").rc == 0, name


@pytest.mark.parametrize(
    "path",
    [
        "/static/../src/manage.py",
        "/static/%2e%2e/src/manage.py",
        "/static/..%2fsrc/manage.py",
        "/static//../../src/manage.py",
        "/media/..%2f..%2f..%2fetc/passwd",
        "/static/",
        "/media/",
    ],
)
def test_no_path_leads_elsewhere(front, path):
    answer = ask(front, path)
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body
    assert b"django" not in answer.body.lower() or answer.status == 404


# --- Uploads ---


VIEW = """
from urllib.parse import unquote


def application(environ, start_response):
    target, _, kind = unquote(environ["QUERY_STRING"]).partition("&")
    headers = [("X-Accel-Redirect", target)] + ([("Content-Type", kind)] if kind else [])
    start_response("200 OK", headers)
    return [b"the view's own"]
"""


@pytest.fixture
def view(host):
    """Let a view in place of the site answer with the header, for what its query names."""
    folder, unit = "/etc/systemd/system/django-web.service.d", "/etc/systemd/system/django-web.service"
    command = host.check_output(f"sed -n 's/^ExecStart=//p' {unit}")
    shown = command.replace("sample.wsgi:application", "leading:application")
    shown = shown.replace("--workers", "--pythonpath=/run/leading --workers")
    text = f"[Service]\nExecStart=\nExecStart={shown}\n"
    host.check_output(
        f"mkdir -p {folder} /run/leading && printf '%s' {shlex.quote(VIEW)} > /run/leading/leading.py"
        f" && printf '%s' {shlex.quote(text)} > {folder}/view.conf && systemctl daemon-reload && systemctl restart {WEB}"
    )
    yield
    host.check_output(f"rm -r {folder} /run/leading && systemctl daemon-reload && systemctl restart {WEB}")


def is_harmless(answer):
    """Tell whether no script in what was answered could run in the site's name."""
    said = answer.headers
    return (
        "sandbox" in said["Content-Security-Policy"]
        and "default-src 'none'" in said["Content-Security-Policy"]
        and said["X-Content-Type-Options"] == "nosniff"
        and said["Content-Disposition"] == "attachment"
    )


def test_a_public_upload_is_met_by_its_address(host, front, upload):
    if host.backend.host != BOOKWORM:
        pytest.skip("the other host has uploads that views hand out")
    answer = ask(front, f"/media/{upload('tests/page.html')}")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (
        200,
        SCRIPT.encode(),
        "application/octet-stream",
    )
    assert is_harmless(answer)
    shown = ask(front, f"/media/{upload('tests/face.png')}")
    assert (shown.headers["Content-Type"], shown.headers["Content-Disposition"]) == ("image/png", None)
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    assert ask(front, "/_media/tests/page.html").status == 404


def test_an_upload_that_a_view_leads_to_comes_from_the_front(host, front, upload, request):
    if host.backend.host != TRIXIE:
        pytest.skip("the other host has public uploads")
    page, face = upload("tests/page.html"), upload("tests/a face?.png")
    assert ask(front, f"/_media/{page}").status == 404
    assert ask(front, f"/media/{page}").status == 404
    request.getfixturevalue("view")
    # The view's own type, and yet no script.
    answer = ask(front, f"/?/_media/{page}&text/html")
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, SCRIPT.encode(), "text/html")
    assert is_harmless(answer)
    name = face.replace(" ", "%2520").replace("?", "%253F")
    shown = ask(front, f"/?/_media/{name}&")
    assert (shown.status, shown.headers["Content-Type"]) == (200, "image/png")
    assert shown.headers["Cache-Control"] == "private, no-cache"
    for path in ("/_media/../exports/x", "/_media/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd"):
        assert ask(front, f"/?{path}&").body.find(b"root:") == -1


def test_a_link_among_the_uploads_leads_nowhere(host, front, upload):
    if host.backend.host != BOOKWORM:
        pytest.skip("the other host has uploads that views hand out")
    page = upload("tests/page.html")
    # Whoever takes over a service may make one; the front may read its own key.
    links = {"key": "/run/credentials/nginx.service/front.key", "names": "/etc/passwd", "page": f"{MEDIA}/{page}"}
    for name, target in links.items():
        host.check_output(f"ln -s {target} {MEDIA}/{name}.txt")
    host.check_output(f"ln -s /etc {MEDIA}/folder")
    try:
        paths = [*(f"/media/{name}.txt" for name in links), "/media/folder/passwd"]
        assert [ask(front, path).status for path in paths] == [404] * 4
    finally:
        host.check_output(f"rm {MEDIA}/key.txt {MEDIA}/names.txt {MEDIA}/page.txt {MEDIA}/folder")


def test_others_on_the_host_read_no_upload(host, upload):
    page = upload("tests/page.html")
    assert host.run(f"runuser -u celery -- test -r {MEDIA}/{page}").rc == 0
    for account in ("nobody", "ops", "www-data"):
        assert host.run(f"runuser -u {account} -- test -r {MEDIA}/{page}").rc != 0


def test_the_front_writes_no_upload(host):
    refused = host.run(f"touch {seen_by(host, 'nginx.service', '/var/lib/plainhost-front/media/x')}")
    assert refused.rc != 0
    assert "Read-only file system" in refused.stderr


# --- Folders and programs ---


def test_a_folder_is_written_by_workers_and_read_by_the_site(host):
    assert host.check_output(f"stat --format='%a %U %G' {EXPORTS}") == "2770 root sample"
    try:
        host.check_output(f"touch {seen_by(host, WORKER, EXPORTS)}/x")
        # By its rights, too: each account of the application's is in the group.
        host.check_output(f"runuser -u celery_main -- sh -c 'umask 007; echo made > {EXPORTS}/y'")
        assert host.check_output(f"runuser -u django-web -- cat {EXPORTS}/y") == "made"
        assert host.run(f"runuser -u nobody -- cat {EXPORTS}/y").rc != 0
        for unit in (WEB, "celery-beat.service", "celery-flower.service"):
            refused = host.run(f"touch {seen_by(host, unit, EXPORTS)}/z")
            assert refused.rc != 0
            assert "Read-only file system" in refused.stderr
    finally:
        host.run(f"rm -f {EXPORTS}/x {EXPORTS}/y {EXPORTS}/z")


def test_the_project_is_told_where_its_folder_is(host):
    code = "import os, json; print('said', json.dumps([os.environ.get(n) for n in ('STACK_FOLDER_EXPORTS', 'STACK_MEDIA_ACCEL')]))"
    said = re.search(r"^said (.*)$", host.check_output(f"sample-manage shell -c {shlex.quote(code)}"), re.MULTILINE)[1]
    assert json.loads(said) == [EXPORTS, "/_media/" if host.backend.host == TRIXIE else None]


def test_a_program_runs_for_those_that_are_named_and_for_no_other(host):
    def git(unit):
        return host.run(f"nsenter --target {stack.main_pid(host, unit)} --mount -- /usr/bin/git --version")

    assert git(WORKER).stdout.startswith("git version")
    for unit in (WEB, "celery-beat.service", "celery-flower.service"):
        refused = git(unit)
        assert (refused.rc, refused.stdout) == (126, ""), refused
        assert "Permission denied" in refused.stderr


def test_a_refusal_names_the_variable(host):
    code = """
import subprocess
from celery_runtime import programs
try:
    subprocess.run(["git", "--version"])
except OSError as error:
    print("said", programs.hint(error))
print("said", programs.hint(ImportError("Bad git executable")))
"""
    said = re.findall(r"^said (.*)$", host.check_output(f"sample-manage shell -c {shlex.quote(code)}"), re.MULTILINE)
    assert len(said) == 2
    assert all("refuses to start /usr/bin/git" in line and "stack_programs" in line for line in said)


def test_a_program_that_the_host_has_not_is_named_before_anything_runs(play):
    run = play("project", limit=BOOKWORM, stack_programs={"web": ["/usr/bin/no-such-program"]})
    assert run.status != 0
    assert "stack_programs has /usr/bin/no-such-program, which this host has not" in run.output
    assert stack.active(get_host(f"ansible://{BOOKWORM}?ansible_inventory={stack.INVENTORY}&sudo=true"))
