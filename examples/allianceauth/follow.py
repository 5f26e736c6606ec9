"""What `make example E=allianceauth` does on the site, in the admin: a group, a member of it, and an entry of the schedule."""

from __future__ import annotations

import re
import time

from testbench.browser import Browser, Page
from testbench.console import Problem, say

# A member's groups changed: all services that Alliance Auth looks after are told.
TASK = "allianceauth.services.tasks.update_groups_for_user"
# One of the tasks that its own schedule has every four hours.
SCHEDULED = "allianceauth.authentication.tasks.check_all_character_ownership"
BEAT = "/admin/django_celery_beat"


def saved(browser: Browser, path: str, form: str, changes: dict[str, str | list[str]]) -> Page:
    """Send a form of the admin; it leads to the list if all was well."""
    page = browser.fill(path, form, {**changes, "_save": "Save"})
    say(f"  {path}: {page.status} {page.url}")
    if page.status != 200 or 'class="errornote"' in page.text:
        errors = re.findall(r'<ul class="errorlist[^>]*>.*?</ul>', page.text, re.DOTALL)
        raise Problem(f"{path} answered {page.status}: {errors or page.text[:500]}")
    return page


def newest(page: Page, model: str) -> str:
    """Return the highest key of the objects in a list of the admin's."""
    keys = [int(key) for key in re.findall(rf"/{model}/(\d+)/change/", page.text)]
    if not keys:
        raise Problem(f"{page.url} lists no {model}.")
    return str(max(keys))


def follow(browser: Browser, user: str, password: str) -> tuple[str, str]:
    """Log in, make somebody a member of a group; return the task of it, and what its arguments hold."""
    page = browser.submit("/admin/login/", {"username": user, "password": password, "next": "/admin/"})
    say(f"  logged in as {user}: {page.status} {page.url}")
    if page.status != 200 or "/login/" in page.url:
        raise Problem(f"Alliance Auth didn't let {user} in.")
    word = str(int(time.time()))
    group = newest(
        saved(browser, "/admin/groupmanagement/group/add/", "group_form", {"name": f"Pilots {word}"}), "group"
    )
    member = newest(browser.get("/admin/authentication/user/"), "user")
    saved(browser, f"/admin/authentication/user/{member}/change/", "user_form", {"groups": [group]})
    interval = saved(
        browser, f"{BEAT}/intervalschedule/add/", "intervalschedule_form", {"every": "5", "period": "seconds"}
    )
    entry: dict[str, str | list[str]] = {
        "name": f"once {word}",
        "regtask": SCHEDULED,
        "enabled": "on",
        "interval": newest(interval, "intervalschedule"),
        "one_off": "on",
    }
    saved(browser, f"{BEAT}/periodictask/add/", "periodictask_form", entry)
    return TASK, f"({member},)"
