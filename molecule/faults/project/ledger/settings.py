"""The settings that a project begins with. Nothing in here is about reliability: that is the deployment's to give."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "for-development-only"  # noqa: S105 - a deployment lays its own over it
DEBUG = False
ALLOWED_HOSTS = ["localhost"]

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "jobs"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
ROOT_URLCONF = "ledger.urls"
WSGI_APPLICATION = "ledger.wsgi.application"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"

CELERY_BROKER_URL = "redis://127.0.0.1:6379/0"
CELERY_TASK_DEFAULT_QUEUE = "default"
