"""Classic attacks on the admin: by strangers, by people without rights, and through what an administrator is made to open."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from web import FORM, Site, somebody

EVIL = "evil.example"
PEOPLE = Path(__file__).resolve().parent / "on_host/web_people.py"
PASSWORD = "web-only-for-tests"
USERS, RESULTS, PERIODIC = (
    "/admin/accounts/user/",
    "/admin/django_celery_results/taskresult/",
    "/admin/django_celery_beat/periodictask/",
)
PAGES = (
    "/admin/",
    USERS,
    f"{USERS}add/",
    f"{USERS}1/change/",
    f"{USERS}1/password/",
    f"{USERS}1/delete/",
    "/admin/accounts/welcomeemail/",
    RESULTS,
    PERIODIC,
    "/admin/password_change/",
    "/admin/jsi18n/",
    "/admin/autocomplete/?app_label=accounts&model_name=user&field_name=groups",
    "/admin/r/1/1/",
)


@pytest.fixture(scope="module")
def rows(hosts: dict[str, Any]) -> dict[str, int]:
    """Leave people and hostile rows on the host."""
    printed = hosts["site"].check_output(f"sample-manage shell -c {shlex.quote(PEOPLE.read_text())}")
    found: dict[str, int] = json.loads(printed.rpartition("answer:")[2])
    return found


@pytest.fixture(scope="module")
def site(site: Any, rows: dict[str, int]) -> Site:
    """Return the site itself, in place of its host, with the rows there."""
    return Site.of(site)


@pytest.fixture(scope="module")
def password(site: Site) -> str:
    """Return the administrator's password."""
    [path] = sorted((site.mail_folder.parent / "secrets").rglob("admin_password"))[:1]
    return path.read_text().split()[0]


@pytest.fixture(scope="module")
def admin(site: Site, password: str) -> Site:
    """Return the site for the administrator."""
    visitor = site.visitor()
    assert visitor.log_in("admin@example.com", password).status == 302
    assert visitor.get("/admin/").status == 200
    return visitor


@pytest.fixture(scope="module")
def ordinary(site: Site) -> Site:
    """Return the site for somebody who has a password and no more."""
    visitor = site.visitor()
    assert visitor.log_in("web-ordinary@example.com", PASSWORD).status == 200
    return visitor


@pytest.fixture(scope="module")
def staff(site: Site) -> Site:
    """Return the site for somebody who may enter the admin, and has no permission in it."""
    visitor = site.visitor()
    assert visitor.log_in("web-staff@example.com", PASSWORD).status == 302
    return visitor


# --- Who may enter ---


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_and_an_ordinary_user_see_the_login_only(site: Site, ordinary: Site, page: str) -> None:
    for visitor in (site.visitor(), ordinary):
        answer = visitor.get(page)
        assert answer.status == 302
        assert answer.get("location").startswith("/admin/login/?next=/admin/")
        assert visitor.post_form("/admin/login/", {"username": "x"}).status == 200


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith(("/admin/accounts", "/admin/django"))])
def test_staff_without_permission_sees_nothing(staff: Site, page: str) -> None:
    answer = staff.get(page)
    assert answer.status in {302, 403}
    assert "@example.com" not in answer.text.replace("web-staff@example.com", "")
    assert answer.status == 403 or answer.get("location") == "/admin/"


def test_staff_cannot_promote_itself(staff: Site, rows: dict[str, int]) -> None:
    for page in (f"{USERS}{rows['user']}/change/", f"{USERS}add/"):
        assert staff.post_form(page, {"email": "x@example.com", "is_superuser": "on"}).status == 403


@pytest.mark.parametrize(
    "sent",
    [
        {"username": "' OR 1=1 --", "password": "' OR '1'='1"},
        {"username": "admin@example.com' --", "password": "x"},
        {"username": "admin@example.com\0", "password": "x\0"},
        {"username": "admin@example.com", "password": "x" * 5_000},
        {"username": "x" * 100_000, "password": "x"},
        {"username": ["admin@example.com", "eve"], "password": ["a", "b"]},
        {"username": "\ufdfa" * 2_000, "password": "\ufdfa"},
        {"username[]": "admin@example.com", "password[$ne]": "x"},
        {"username": "admin@example.com", "password": "", "is_superuser": "1"},
        b"username=%ff%fe&password=%ed%a0%80",
    ],
)
def test_login_is_refused(site: Site, sent: Any) -> None:
    visitor = site.visitor()
    answer = visitor.post_form("/admin/login/", sent)
    assert answer.status == 200
    assert "sessionid" not in visitor.cookies
    assert 'class="errornote"' in answer.text


def test_login_tells_an_unknown_name_no_other_way_than_a_wrong_password(site: Site) -> None:
    said = []
    for name in ("admin@example.com", "nobody@example.com", "web-ordinary@example.com"):
        visitor = site.visitor()
        page = visitor.log_in(name, "wrong").text
        said.append(page.replace(name, "").partition('class="errornote"')[2].partition("</p>")[0])
    assert len(set(said)) == 1
    assert said[0]


# --- The session ---


def test_a_session_of_the_attackers_choice_is_not_taken_over(site: Site, password: str) -> None:
    visitor = site.visitor()
    fixed = "a" * 32
    visitor.cookies["sessionid"] = fixed
    assert visitor.log_in("admin@example.com", password).status == 302
    first = visitor.cookies["sessionid"]
    assert first != fixed
    stranger = site.visitor()
    stranger.cookies["sessionid"] = fixed
    assert stranger.get("/admin/").status == 302
    # Out means out, also for who copied the cookie; and no image on another page logs anybody out.
    assert visitor.get("/admin/logout/").status == 405
    assert visitor.get("/admin/").status == 200
    copied = site.visitor()
    copied.cookies["sessionid"] = first
    assert copied.get("/admin/").status == 200
    assert visitor.post_form("/admin/logout/", {}).status == 200
    assert copied.get("/admin/").status == 302


@pytest.mark.parametrize(
    "session", ["../../etc/passwd", "' OR 1=1 --", "%00", "a" * 5_000, "\xff\xfe", '"; sessionid=b']
)
def test_a_session_cookie_of_garbage_is_nobody(site: Site, session: str) -> None:
    assert site.visitor().get("/admin/", Cookie=f"sessionid={session}").status in {302, 400}


def test_cookies_are_kept_from_scripts_other_sites_and_plain_text(site: Site, password: str) -> None:
    visitor = site.visitor()
    cookies = visitor.get("/admin/login/").all("set-cookie") + visitor.log_in("admin@example.com", password).all(
        "set-cookie"
    )
    assert {cookie.partition("=")[0] for cookie in cookies} == {"csrftoken", "sessionid"}
    for cookie in cookies:
        flags = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert "samesite=lax" in flags
        assert "httponly" in flags or cookie.startswith("csrftoken")
        assert "secure" in flags


@pytest.mark.parametrize("page", ["/admin/login/", "/admin/", USERS, RESULTS])
def test_pages_of_the_admin_are_neither_kept_nor_framed(admin: Site, page: str) -> None:
    answer = admin.get(page)
    assert answer.status in {200, 302}
    assert {"no-store", "private"} <= {part.strip() for part in answer.get("cache-control").split(",")}
    assert answer.get("x-frame-options") == "DENY"
    assert answer.get("x-content-type-options") == "nosniff"
    assert answer.get("referrer-policy") in {"same-origin", "strict-origin-when-cross-origin"}
    assert answer.get("cross-origin-opener-policy") == "same-origin"


# --- Where one is sent after the login ---


@pytest.mark.parametrize(
    "target",
    [
        f"https://{EVIL}/",
        f"//{EVIL}/",
        f"///{EVIL}/",
        f"https:{EVIL}",
        f"https:///{EVIL}",
        f"/\\{EVIL}",
        f"\\\\{EVIL}",
        f"/\t/{EVIL}",
        f"\x01//{EVIL}",
        f" //{EVIL}",
        f"https://{{host}}@{EVIL}/",
        f"https://{EVIL}\\@{{host}}/",
        f"//{EVIL}%2f..",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        f"/admin/\r\nLocation: https://{EVIL}",
        f"ftp://{EVIL}",
    ],
)
def test_login_sends_nobody_to_another_site(site: Site, target: str) -> None:
    visitor = site.visitor()
    to = target.format(host=site.host)
    path = f"/admin/login/?next={quote(to)}"
    answer = visitor.post_form(path, {"username": "web-staff@example.com", "password": PASSWORD, "next": to})
    assert answer.status == 302
    assert "".join(answer.all("location")).startswith("/admin/")
    assert not answer.get("location").startswith("//")


@pytest.mark.parametrize(
    "path",
    [f"//{EVIL}/admin", f"//{EVIL}/%2f..", f"/\\{EVIL}/admin/x", f"///{EVIL}/register", f"/admin//{EVIL}/%2e%2e"],
)
def test_a_missing_slash_leads_nobody_to_another_site(site: Site, admin: Site, path: str) -> None:
    for visitor in (site.visitor(), admin):
        answer = visitor.get(path)
        assert answer.status in {301, 302, 400, 404}
        for location in answer.all("location"):
            assert urlsplit(location).netloc in {"", site.host, site.address}
            assert not location.startswith(("//", "/\\"))


# --- What an administrator is made to open ---

QUERIES = [
    f"{USERS}?q=' OR 1=1 --",
    f"{USERS}?q=%00",
    f"{USERS}?q=\"'); SELECT pg_sleep(20); --",
    f"{USERS}?q=" + "a " * 400,
    f"{USERS}?o=1;DROP TABLE accounts_user",
    f"{USERS}?o=99999999999999999999999.-1.0",
    f"{USERS}?o=-",
    f"{USERS}?p=99999999999999999999",
    f"{USERS}?p=-1",
    f"{USERS}?p=x",
    f"{USERS}?all=",
    f"{USERS}?e=1",
    f"{USERS}?email__startswith=a",
    f"{USERS}?password__startswith=pbkdf2",
    f"{USERS}?password__regex=(a%2B)%2B$",
    f"{USERS}?welcome_email__user__password__startswith=p",
    f"{USERS}?id__in=1,2,x",
    f"{USERS}?id__exact=99999999999999999999999",
    f"{USERS}?is_active__exact=%00",
    f"{USERS}?is_active__isnull=7",
    f"{USERS}?email__regex=[",
    f"{USERS}?email=%00",
    f"{USERS}?_to_field=password&_popup=1",
    f"{USERS}?_facets=x",
    f"{USERS}?groups__id__exact=1%20UNION%20SELECT%201",
    f"{USERS}?date_joined__gte=yesterday",
    f"{USERS}?{'&'.join(f'a{n}=1' for n in range(2_000))}",
    f"{USERS}%00/change/",
    f"{USERS}99999999999999999999999/change/",
    f"{USERS}1 OR 1=1/change/",
    f"{USERS}..%2f..%2fetc%2fpasswd/change/",
    f"{USERS}_5C_00/change/",
    f"{USERS}1/history/?p=x",
    f"{RESULTS}?status__exact='",
    f"{RESULTS}?date_done__gte=x&date_done__lt=%00",
    f"{RESULTS}?q=%ED%A0%80",
    f"{PERIODIC}?enabled__exact=zzz",
    f"{PERIODIC}add/?interval=x&crontab='&args=[[[",
    "/admin/digests/digestemail/?week=garbage",
    "/admin/digests/digestemail/?week=%00",
    "/admin/accounts/welcomeemail/?status__exact=%00",
    "/admin/r/99999999999999999999999/1/",
    "/admin/r/x/1/",
    "/admin/r/{kind}/1/",
    "/admin/r/{kind}/99999999999999999999999/",
    "/admin/autocomplete/?app_label=auth&model_name=x&field_name=password",
    "/admin/autocomplete/?app_label=%00&model_name=%00&field_name=%00",
    "/admin/jsi18n/?language=../../etc",
    "/admin/nothing/of/the/kind",
]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_garbage_does_not_make_the_admin_fail(admin: Site, rows: dict[str, int], query: str) -> None:
    answer = admin.get(quote(query.replace("{kind}", str(rows["kind"])), safe="/?&=%,+"))
    assert answer.status in {200, 302, 400, 403, 404, 414}
    if "password" in query:
        assert answer.status in {400, 403}
    assert "pbkdf2" not in answer.text


ACTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "an action that isn't there": (USERS, {"action": "__class__", "_selected_action": ["1"]}),
    "identifiers that are none": (USERS, {"action": "delete_selected", "_selected_action": ["x"]}),
    "SQL as identifier": (USERS, {"action": "delete_selected", "_selected_action": ["1) OR (1=1"]}),
    "NUL as identifier": (USERS, {"action": "delete_selected", "_selected_action": ["\0"]}),
    "huge identifier": (USERS, {"action": "delete_selected", "_selected_action": ["9" * 40]}),
    "resend what isn't there": (
        "/admin/accounts/welcomeemail/",
        {"action": "send_again", "_selected_action": ["x", "0", "-1"]},
    ),
    "index of no action": (USERS, {"action": "", "index": "x", "_selected_action": ["1"]}),
    "index beyond": (USERS, {"action": ["delete_selected"], "index": "9" * 30, "_selected_action": ["1"]}),
    "periodic task, broken": (
        f"{PERIODIC}add/",
        {"name": "x", "task": "x", "args": "[[[", "kwargs": "nothing", "expire_seconds": "9" * 40},
    ),
    "periodic task, run what isn't there": (PERIODIC, {"action": "run_tasks", "_selected_action": ["x"]}),
    "interval, huge": ("/admin/django_celery_beat/intervalschedule/add/", {"every": "9" * 40, "period": "days"}),
    "interval, below zero": ("/admin/django_celery_beat/intervalschedule/add/", {"every": "-1", "period": "x"}),
    "crontab, SQL": (
        "/admin/django_celery_beat/crontabschedule/add/",
        {"minute": "';--", "hour": "*/0", "day_of_month": "99", "timezone": "../../etc/passwd"},
    ),
    "sun, nowhere": (
        "/admin/django_celery_beat/solarschedule/add/",
        {"event": "x", "latitude": "NaN", "longitude": "1e999"},
    ),
    "user, NUL": (f"{USERS}add/", {"email": "a\0@example.com", "name": "\0", "usable_password": "\0"}),
    "user, many passwords": (
        f"{USERS}add/",
        {"email": "a@example.com", "name": "a", "password1": ["a", "b"], "password2": "\ud800"},
    ),
    "groups that are none": (
        f"{USERS}{{user}}/change/",
        {"email": "a", "name": "a", "groups": ["x"], "user_permissions": ["9" * 40]},
    ),
}


@pytest.mark.parametrize("attack", ACTIONS)
def test_a_form_of_garbage_does_not_make_the_admin_fail(admin: Site, rows: dict[str, int], attack: str) -> None:
    path, fields = ACTIONS[attack]
    body = urlencode(fields, doseq=True, errors="replace").encode()
    answer = admin.post_form(path.format(**rows), body)
    assert answer.status in {200, 302, 400, 403, 404}
    assert admin.get(f"{USERS}{rows['user']}/change/").status == 200


def test_another_site_cannot_use_an_administrators_browser(admin: Site, rows: dict[str, int]) -> None:
    path = f"{USERS}{rows['user']}/delete/"
    for headers, body in (
        ({"Content-Type": FORM, "Origin": f"https://{EVIL}"}, f"post=yes&csrfmiddlewaretoken={admin.token('/admin/')}"),
        ({"Content-Type": FORM, "Origin": admin.origin}, "post=yes"),
        ({"Content-Type": "text/plain", "Origin": "null"}, "post=yes"),
    ):
        assert admin.ask("POST", path, body.encode(), headers).status == 403
    assert admin.get(f"{USERS}{rows['user']}/change/").status == 200


@pytest.mark.parametrize(
    "page",
    [
        "/admin/",
        f"{USERS}?q=web-",
        f"{USERS}{{user}}/change/",
        f"{USERS}{{user}}/delete/",
        f"{RESULTS}?q=dead-beef",
        f"{RESULTS}{{result}}/change/",
        PERIODIC,
        f"{PERIODIC}{{periodic}}/change/",
        f"{PERIODIC}{{periodic}}/delete/",
        f"{USERS}?q=%3Cscript%3Ealert('stored')%3C/script%3E",
        f"{USERS}?q=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
    ],
)
def test_what_users_and_tasks_stored_is_no_markup(admin: Site, rows: dict[str, int], page: str) -> None:
    answer = admin.get(page.format(**rows))
    assert answer.status == 200
    assert "<script>alert" not in answer.text
    assert "<img src=x" not in answer.text
    if page not in {"/admin/", f"{USERS}{{user}}/delete/"}:
        # It is there, harmless; those two show no names.
        assert "&lt;script&gt;alert" in answer.text or "&lt;img src=x" in answer.text


def test_a_name_that_was_registered_is_no_markup_in_the_admin(admin: Site) -> None:
    address = somebody()
    assert admin.visitor().post_json({"email": address, "name": "<b>{{7*7}}</b>"}).status == 201
    page = admin.get(f"{USERS}?q={address}").text
    assert "&lt;b&gt;{{7*7}}&lt;/b&gt;" in page
