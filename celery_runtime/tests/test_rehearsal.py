"""A release is loaded as its services will load it, and asked as the front will ask it, before it becomes current."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import SOURCES

SETTINGS = """
import os
from pathlib import Path
SECRET_KEY = "made up"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
ROOT_URLCONF = "shop.urls"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).parent.parent / "db.sqlite3"}}
USE_TZ = True
CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
"""
CELERY = """
import os
from celery import Celery
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
WSGI = """
import os
from django.core.wsgi import get_wsgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
application = get_wsgi_application()
"""
STUBBORN = 'os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"'
URLS = """
from django.contrib.auth.models import User
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

def broken(request):
    raise ValueError("no price for postgres://shop:hidden-word@db/shop")

def loop(request):
    return HttpResponseRedirect("https://www.example.com/loop")

urlpatterns = [
    path("healthz", lambda request: HttpResponse(request.META["REMOTE_ADDR"] + str(request.is_secure()))),
    path("count", lambda request: HttpResponse(str(User.objects.count()))),
    path("broken", broken),
    path("loop", loop),
]
"""
ASKS_TABLES = """
from django.core.checks import Error, register

@register()
def users(app_configs, **kwargs):
    from django.contrib.auth.models import User
    return [] if User.objects.count() == 0 else [Error("users", id="shop.E001")]
"""
DEPLOYMENT: dict[str, Any] = {
    "project_settings": "shop.settings",
    "celery_app": "shop.celery",
    "django": {
        "ALLOWED_HOSTS": ["www.example.com"],
        "SECURE_PROXY_SSL_HEADER": ["HTTP_X_FORWARDED_PROTO", "https"],
        "SECURE_SSL_REDIRECT": True,
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
    },
    "queues": ["celery"],
}
FRONT = ("--host=www.example.com", "--secure", "--status=200,302,404")


@dataclass
class Shop:
    """A project in a folder, and a deployment of it."""

    folder: Path
    deployment: dict[str, Any] = field(default_factory=lambda: dict(DEPLOYMENT))
    extra: dict[str, str] = field(default_factory=dict)
    wrapper: list[str] = field(default_factory=list)
    traceback: str = ""

    def write(self, name: str, text: str) -> None:
        """Write a module of the project's."""
        (self.folder / "shop" / name).write_text(text)

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module with the deployment's settings, as the operators' commands do."""
        (self.folder / "settings.json").write_text(json.dumps(self.deployment))
        environment = os.environ | {
            "PYTHONPATH": f"{SOURCES}:{self.folder}",
            "PYTHONSAFEPATH": "1",
            "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
            "CELERY_RUNTIME_CONFIG": str(self.folder / "settings.json"),
            **self.extra,
        }
        return subprocess.run(
            [*self.wrapper, sys.executable, "-m", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def probe(self, *arguments: str) -> dict[str, Any]:
        """Run the probe, which must be content, and return what it says."""
        done = self.python("celery_runtime.probe", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def refused(self, *arguments: str) -> str:
        """Run the probe, which must refuse, and return what it says; the traceback is somewhere else."""
        done = self.python("celery_runtime.probe", *arguments)
        assert done.returncode == 1, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        self.traceback = done.stdout
        return done.stderr

    def migrate(self) -> None:
        """Make the tables."""
        done = self.python("django", "migrate", "--verbosity=0", "--skip-checks")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "shop").mkdir()
    one = Shop(tmp_path)
    for name, text in (
        ("__init__.py", ""),
        ("settings.py", SETTINGS),
        ("celery.py", CELERY),
        ("wsgi.py", WSGI),
        ("asgi.py", WSGI.replace("wsgi", "asgi")),
        ("urls.py", URLS),
    ):
        one.write(name, text)
    return one


WEB = {"wsgi": "--wsgi=shop.wsgi:application", "asgi": "--asgi=shop.asgi:application"}


@pytest.mark.parametrize("web", WEB.values(), ids=WEB)
def test_a_good_project_is_taken_before_its_tables_are_there_and_after(shop: Shop, web: str) -> None:
    answer = shop.probe("--beat", "--checks", web)
    assert (answer["app"], answer["deferred"]) == ("shop", False)
    shop.migrate()
    assert shop.probe("--migrated", "--checks", web, "--path=/healthz?x=1", *FRONT) == {"status": 200}


@pytest.mark.parametrize(
    ("name", "text", "web"),
    [("wsgi.py", WSGI, "wsgi"), ("asgi.py", WSGI.replace("wsgi", "asgi"), "asgi"), ("celery.py", CELERY, "wsgi")],
)
def test_one_that_chooses_its_settings_itself_is_refused_with_the_file_and_the_fix(
    shop: Shop, name: str, text: str, web: str
) -> None:
    line = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")'
    shop.write(name, text.replace(line, STUBBORN))
    # Its settings alone wouldn't do; that isn't what is to be said.
    shop.write("settings.py", SETTINGS + "if os.environ['DJANGO_SETTINGS_MODULE'] == 'shop.settings': 1 / 0\n")
    said = shop.refused(WEB[web])
    number = text.splitlines().index(line) + 1
    assert f"shop/{name}, line {number}" in said
    assert 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")' in said
    assert {"wsgi": "stack_wsgi_app", "asgi": "stack_asgi_app"}[web] in said or name == "celery.py"
    assert "ZeroDivisionError" not in said


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("wsgi.py", "import shopp.pages\n", ["stack_wsgi_app", "shop/wsgi.py, line 1: import shopp.pages"]),
        ("wsgi.py", "application = \n", ["stack_wsgi_app", "SyntaxError", "shop/wsgi.py, line 1"]),
        ("wsgi.py", WSGI.replace("application =", "app ="), ["stack_wsgi_app", "has no attribute 'application'"]),
        ("settings.py", f"{SETTINGS}import nowhere\n", ["stack_settings_module", "nowhere", "django_project_requirements"]),
        ("settings.py", f"{SETTINGS}X = os.environ['SHOP_KEY']\n", ["stack_settings_module", "shop/settings.py, line 11",
                                                                  "SHOP_KEY in stack_environment"]),
        ("settings.py", f"{SETTINGS}raise SystemExit('no licence')\n", ["stack_settings_module", "no licence"]),
        ("tasks.py", "from . import nothing\n", ["stack_celery_app", "shop/tasks.py, line 1", "nothing"]),
        ("urls.py", "import nowhere\n", ["django_project_check", "shop/urls.py, line 1: import nowhere"]),
        ("models.py", ASKS_TABLES.replace("User.objects.count() == 0", "False"), ["django_project_check",
                                                                                             "shop.E001"]),
    ],
)  # fmt: skip
def test_what_can_not_be_loaded_is_told_with_variable_file_and_line(
    shop: Shop, name: str, text: str, words: list[str]
) -> None:
    shop.write(name, text)
    said = shop.refused("--checks", WEB["wsgi"])
    assert [word for word in words if word not in said] == [], said
    if "E001" not in text and "attribute" not in str(words):
        assert "Traceback" in shop.traceback


LOGGING = """
LOGGING = {{
    "version": 1,
    "handlers": {{"diary": {{"class": "logging.FileHandler", "filename": Path(__file__).parent / "{}"}}}},
    "root": {{"handlers": ["diary"]}},
}}
"""


@pytest.fixture
def closed(shop: Shop) -> Shop:
    """Return a project with a folder beside its code in which it may not write, as in a release."""
    (shop.folder / "shop/logs").mkdir()
    (shop.folder / "shop/logs/old.log").touch(0o400)
    (shop.folder / "shop/logs").chmod(0o500)
    if os.geteuid() == 0:
        shop.wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    return shop


@pytest.mark.parametrize("path", ["logs/diary.log", "logs/old.log", "nowhere/diary.log"])
def test_a_log_that_can_not_be_written_is_told_with_the_setting_and_the_way_out(closed: Shop, path: str) -> None:
    closed.write("settings.py", SETTINGS + LOGGING.format(path))
    said = closed.refused("--checks", WEB["wsgi"])
    file = closed.folder / "shop" / path
    words = [
        "stack_celery_app",
        "LOGGING",
        "'diary'",
        str(file),
        "StreamHandler",
        "stack_writable_folders",
        "STACK_FOLDER_",
    ]
    assert [word for word in words if word not in said] == [], said


def test_where_the_project_writes_elsewhere_than_it_may_the_variable_is_told(closed: Shop) -> None:
    closed.write("settings.py", SETTINGS + 'MADE = (Path(__file__).parent / "logs/spool").mkdir()\n')
    said = closed.refused()
    assert "stack_settings_module" in said
    assert f"{closed.folder}/shop/logs/spool" in said
    assert "stack_writable_folders" in said
    assert "LOGGING" not in said


def test_what_may_not_be_read_is_nothing_to_write(closed: Shop) -> None:
    (closed.folder / "secret").touch(0o000)
    closed.write("settings.py", SETTINGS + f'READ = open("{closed.folder}/secret").read()\n')
    said = closed.refused()
    assert "PermissionError" in said
    assert "stack_writable_folders" not in said


# What of the project's choices needs an app of Django's, and how that may stand in the settings.
NEEDS = {
    "results": ("django_celery_results", "CeleryResultConfig", {"result_backend": "django-db"}),
    "beat": ("django_celery_beat", "BeatConfig", {"beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler"}),
}


@pytest.mark.parametrize("part", NEEDS)
def test_what_needs_an_app_that_django_does_not_know_is_refused_with_app_and_variable(shop: Shop, part: str) -> None:
    app, named, chosen = NEEDS[part]
    shop.deployment |= {"runtime": {"parts": [part]}, "installed_apps": ["celery_runtime"], "celery": chosen}
    said = shop.refused("--beat")
    words = (next(iter(chosen)), f"the app {app}", "INSTALLED_APPS", "django_project_installed_apps")
    assert [word for word in words if word not in said] == [], said
    for apps, settings in (
        (["celery_runtime", app], ""),
        (["celery_runtime"], f'INSTALLED_APPS += ["{app}.apps.{named}"]\n'),
    ):
        shop.deployment["installed_apps"] = apps
        shop.write("settings.py", SETTINGS + settings)
        assert shop.probe("--beat")["app"] == "shop"


@pytest.mark.parametrize("part", NEEDS)
def test_a_part_runs_without_the_app_where_nothing_of_the_project_needs_it(shop: Shop, part: str) -> None:
    chosen = {"result_backend": "disabled", "beat_scheduler": "celery.beat:PersistentScheduler"}
    shop.deployment |= {"runtime": {"parts": [part]}, "installed_apps": ["celery_runtime"], "celery": chosen}
    assert shop.probe("--beat")["app"] == "shop"
    shop.write("start.py", "import django\ndjango.setup()\nfrom celery_runtime import chords\nchords.install()\n")
    done = shop.python("shop.start")
    assert done.returncode == 0, done.stderr


def test_an_error_that_celery_swallows_is_told(shop: Shop) -> None:
    shop.deployment["celery_app"] = "shop"
    shop.write("celery.py", f"import nowhere\n{CELERY}")
    said = shop.refused()
    assert "stack_celery_app: 'shop'" in said
    assert "shop/celery.py, line 1: import nowhere" in said


def test_a_scheduler_that_is_not_there_is_refused_where_beat_is_to_run(shop: Shop) -> None:
    shop.deployment["celery"] = {"beat_scheduler": "shop.schedules:Scheduler"}
    said = shop.refused("--beat")
    assert "beat_scheduler: 'shop.schedules:Scheduler'" in said
    assert "stack_celery_settings_extra" in said
    assert shop.probe()["app"] == "shop"


def test_secrets_are_not_told(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/api_key").write_text("hidden word\n")
    shop.extra = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    code = "open(os.environ['CREDENTIALS_DIRECTORY'] + '/api_key').read() + ' at https://shop:of-the-shop@example.com'"
    shop.write("wsgi.py", f"import os\nraise ValueError({code})\n")
    said = shop.refused(WEB["wsgi"])
    assert "ValueError: ******** at" in said
    for text in (said, shop.traceback):
        assert "hidden word" not in text
        assert "of-the-shop" not in text


def test_checks_that_need_tables_wait_for_the_migration(shop: Shop) -> None:
    shop.write("models.py", ASKS_TABLES)
    assert shop.probe("--checks", WEB["wsgi"])["deferred"] is True
    # After the migration there is nothing left to wait for.
    assert "django_project_check" in shop.refused("--migrated", "--checks")
    shop.migrate()
    shop.probe("--migrated", "--checks")
    assert shop.probe("--checks", WEB["wsgi"])["deferred"] is False


def test_checks_of_the_database_run_after_the_migration(shop: Shop) -> None:
    code = ASKS_TABLES.replace("register()", "register('database')")
    answer = "not kwargs['databases'] or User.objects.count() == 1"
    shop.write("models.py", code.replace("User.objects.count() == 0", answer))
    assert shop.probe("--checks")["deferred"] is False
    shop.migrate()
    assert "shop.E001" in shop.refused("--migrated", "--checks")
    shop.probe("--migrated")


@pytest.mark.parametrize("web", WEB.values(), ids=WEB)
def test_a_page_that_asks_the_database_is_told_from_one_that_can_not(shop: Shop, web: str) -> None:
    said = shop.refused("--migrated", web, "--path=/count", *FRONT)
    assert "stack_health_path" in said
    assert "no such table" in said
    assert "shop/urls.py, line" in said
    shop.migrate()
    assert shop.probe("--migrated", web, "--path=/count", *FRONT) == {"status": 200}


@pytest.mark.parametrize("web", WEB.values(), ids=WEB)
def test_a_page_that_does_not_answer_as_it_should_is_refused(shop: Shop, web: str) -> None:
    said = shop.refused("--migrated", web, "--path=/broken", *FRONT)
    assert "answers 500" in said
    assert "ValueError: no price for" in said
    assert "hidden" not in said
    assert "shop/urls.py, line 7" in said
    assert "Traceback" in shop.traceback
    said = shop.refused("--migrated", web, "--path=/healthz", "--host=shop.example.com", *FRONT[1:])
    assert "answers 400" in said
    assert "stack_web_hosts" in said
    assert "shop.example.com" in said
    assert "to itself" in shop.refused("--migrated", web, "--path=/loop", *FRONT)


def test_the_client_is_who_the_front_says(shop: Shop) -> None:
    """The page is asked through what stands before the application under gunicorn."""
    shop.write("urls.py", URLS.replace('["REMOTE_ADDR"]', '["REMOTE_ADDR"][99]'))
    said = shop.refused("--migrated", WEB["wsgi"], "--path=/healthz", *FRONT)
    assert "IndexError" in said
    shop.write("urls.py", URLS.replace('["REMOTE_ADDR"]', '["REMOTE_ADDR"][8]'))
    shop.probe("--migrated", WEB["wsgi"], "--path=/healthz", *FRONT)


def test_a_page_that_never_answers_is_not_waited_for(shop: Shop) -> None:
    shop.write("urls.py", URLS.replace("raise ValueError", "import time; time.sleep(100); raise ValueError"))
    said = shop.refused("--migrated", WEB["wsgi"], "--path=/broken", "--patience=2", *FRONT)
    assert "no answer within 2 s" in said


def test_an_asgi_application_that_prepares_itself_does_so(shop: Shop) -> None:
    shop.write(
        "asgi.py",
        WSGI.replace("wsgi", "asgi")
        + """
django, ready = application, []

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        ready.append(1)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert ready
    await django(scope, receive, send)
""",
    )
    shop.migrate()
    assert shop.probe("--migrated", WEB["asgi"], "--path=/count", *FRONT) == {"status": 200}
