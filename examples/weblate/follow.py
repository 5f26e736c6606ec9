"""What `make example E=weblate` does on the site: it logs in, and gives Weblate the texts of a program to translate."""

from __future__ import annotations

import io
import time
import zipfile

from testbench.browser import Browser
from testbench.console import Problem, say

# Weblate does this after a component was made: it reads the files into the database and checks each text.
TASK = "weblate.trans.tasks.component_after_save"
CATALOGUE = """msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

msgid "Good morning"
msgstr "{translated}"

msgid "Good night"
msgstr ""
"""


def archive() -> bytes:
    """Return a ZIP file with two gettext catalogues."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for language, translated in (("cs", "Dobré ráno"), ("de", "Guten Morgen")):
            zipped.writestr(f"po/{language}.po", CATALOGUE.format(language=language, translated=translated))
    return buffer.getvalue()


def follow(browser: Browser, user: str, password: str) -> tuple[str, str]:
    """Log in, make a project with a component; return the task that reads it, and what its arguments hold."""
    page = browser.submit("/accounts/login/", {"username": user, "password": password})
    say(f"  logged in as {user}: {page.status} {page.url}")
    if page.status != 200 or "/login/" in page.url:
        raise Problem(f"Weblate didn't let {user} in.")
    slug = f"greetings-{int(time.time())}"
    token = browser.get("/accounts/profile/").token
    project = browser.post("/api/projects/", token, {"name": slug, "slug": slug, "web": "https://example.com/"})
    say(f"  POST /api/projects/ {project.status}")
    if project.status != 201:
        raise Problem(f"Weblate made no project: {project.text[:500]}")
    component = browser.post(
        f"/api/projects/{slug}/components/",
        token,
        {"name": "Program", "slug": "program", "file_format": "po", "filemask": "po/*.po", "new_lang": "none"},
        {"zipfile": ("program.zip", archive())},
    )
    say(f"  POST /api/projects/{slug}/components/ {component.status}")
    if component.status != 201:
        raise Problem(f"Weblate made no component: {component.text[:500]}")
    return TASK, f"({component.json()['id']},)"
