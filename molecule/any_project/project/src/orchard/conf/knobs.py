"""The settings, in django-environ's way: where things are comes from the environment, with defaults for a developer's machine."""

import configparser
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import environ

env = environ.Env()
ROOT = Path(__file__).resolve().parents[3]

INI = configparser.ConfigParser()
INI.read(Path(__file__).with_name("site.ini"))
TITLE = INI.get("site", "title", fallback="Orchard of a developer")
# There is no default: without the file nothing of this project loads.
MARKET_TOKEN = tomllib.loads(Path(env("ORCHARD_SECRETS")).read_text())["market"]["token"]
DIARY = env.path("ORCHARD_DIARY", default=str(ROOT / "diary.txt"))

SECRET_KEY = env("ORCHARD_KEY")
DEBUG = env.bool("ORCHARD_DEBUG", default=False)
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "orchard.urls"
ASGI_APPLICATION = "orchard.wire.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

INSTALLED_APPS = ["django.contrib.staticfiles", "channels", "orchard"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"]
STATIC_URL = "/assets/"
MEDIA_URL = "/pictures/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

DATABASES = {
    "default": env.db("DATABASE_URL") | {"ATOMIC_REQUESTS": True},
    "attic": env.db("ATTIC_URL", default=f"sqlite:///{ROOT}/attic.sqlite3"),
}
DATABASE_ROUTERS = ["orchard.attic.Router"]

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": env("CACHE_REDIS"),
        "KEY_PREFIX": "orchard",
    },
}
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [env("CACHE_REDIS")]}},
}

# Into a file; each account has one of its own.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "book": {
            "class": "logging.handlers.WatchedFileHandler",
            "filename": f"{env('STACK_FOLDER_LOGS', default=str(ROOT))}/{env('USER', default='orchard')}.log",
        },
    },
    "loggers": {"orchard": {"handlers": ["book"], "level": "INFO"}},
}

# As a provider's server wants it.
EMAIL_USE_TLS = True

MINION_BROKER_URL = env("MINION_BROKER")
MINION_RESULT_BACKEND = "orchard.outcomes:Outcomes"
MINION_TASK_SERIALIZER = "crate"
MINION_RESULT_SERIALIZER = "crate"
MINION_TASK_DEFAULT_QUEUE = "pick"
MINION_TASK_ROUTES = ("orchard.routes:by_name", {"orchard.*": {"queue": "pick"}})
MINION_BEAT_SCHEDULER = "celery.beat:PersistentScheduler"
MINION_BEAT_SCHEDULE_FILENAME = str(ROOT / "almanac")
MINION_BEAT_SCHEDULE = {
    # Long due when the schedule begins, and then once a day.
    "stocktaking": {
        "task": "orchard.take_stock",
        "schedule": timedelta(days=1),
        "last_run_at": datetime(2020, 1, 1, tzinfo=UTC),
    },
}
