"""Settings, from the environment and from systemd credentials (see `sample.environment`).

Right on their own: a laptop needs DEBUG=1 and nothing else. A deployment may load a module of its own that
imports this one and overrides what the host decides (broker, database, folders, host names).
"""

import logging
from pathlib import Path

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from sample.environment import credential, database, flag, number, text, words
from sample.logs import logging_config
from sample.reporting import start_sentry

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = flag("DEBUG")
SECRET_KEY = credential("secret_key", "for-development-only-" + "x" * 40 if DEBUG else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "No secret key. Put one into the file secret_key in $CREDENTIALS_DIRECTORY or into the variable"
        ' SECRET_KEY (python -c "import secrets; print(secrets.token_urlsafe(50))"), or set DEBUG=1 on a'
        " development machine."
    )
ALLOWED_HOSTS = words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_results",
    "django_celery_beat",
    "accounts",
    "digests",
    "housekeeping",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "sample.middleware.ReadableOnly",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "sample.middleware.AdminBadRequest",
]
ROOT_URLCONF = "sample.urls"
WSGI_APPLICATION = "sample.wsgi.application"
ASGI_APPLICATION = "sample.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "sample" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": database(credential("database_url", f"sqlite:///{BASE_DIR / 'db.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Only the admin has a login; Django's own default is a page that isn't there.
LOGIN_REDIRECT_URL = "admin:index"

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = Path(text("STATIC_ROOT", str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "sample" / "static"]
MEDIA_URL = "media/"
MEDIA_ROOT = Path(text("MEDIA_ROOT", str(BASE_DIR / "media")))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # The manifest exists only after `collectstatic`, which a development machine should not have to run.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# One switch for the day when TLS is in front; set before it, the site would redirect to a port where nobody
# listens.
HTTPS = flag("HTTPS")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# A probe asks over plain HTTP and does not follow redirects.
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = number("HSTS_SECONDS", 3600) if HTTPS else 0
# Whether other hosts below the domain speak HTTPS, and whether it goes into browsers' lists for good, is for whoever owns the
# domain to say, not for one of its sites.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Only believed where we know that our own front is there to overwrite what a client sends.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

# With no mail server named, a development machine prints its mail.
EMAIL_HOST = text("EMAIL_HOST")
EMAIL_BACKEND = (
    "django.core.mail.backends.console.EmailBackend"
    if DEBUG and not EMAIL_HOST
    else "django.core.mail.backends.smtp.EmailBackend"
)
EMAIL_HOST = EMAIL_HOST or "localhost"
EMAIL_PORT = number("EMAIL_PORT", 25)
EMAIL_HOST_USER = text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = credential("email_host_password")
EMAIL_USE_TLS = flag("EMAIL_USE_TLS")
EMAIL_USE_SSL = flag("EMAIL_USE_SSL")
EMAIL_TIMEOUT = number("EMAIL_TIMEOUT", 10)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = text("DEFAULT_FROM_EMAIL", "sample@localhost")
SITE_URL = text("SITE_URL", "http://localhost:8000").rstrip("/")

LOG_LEVEL = text("LOG_LEVEL", "INFO").upper()
LOGGING = logging_config(level=LOG_LEVEL, pretty=DEBUG)
# Python's own warnings become lines like all others.
logging.captureWarnings(not DEBUG)
start_sentry(credential("sentry_dsn"), environment=text("SENTRY_ENVIRONMENT", "production"))

# --- Celery ---
CELERY_BROKER_URL = credential("broker_url", "redis://127.0.0.1:6379/0")
CELERY_RESULT_BACKEND = "django-db"

# JSON and nothing else: a pickled message can run any code in whoever reads it.
CELERY_TASK_SERIALIZER = "json"
CELERY_RESULT_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_ACCEPT_CONTENT = ["json"]

CELERY_TIMEZONE = TIME_ZONE
CELERY_ENABLE_UTC = True

CELERY_TASK_SOFT_TIME_LIMIT = number("TASK_SOFT_TIME_LIMIT", 900)
CELERY_TASK_TIME_LIMIT = number("TASK_TIME_LIMIT", 1800)
CELERY_TASK_TRACK_STARTED = True
# Acknowledged when done, so that a crash delivers again; one at a time, so that a crash delivers few again.
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A task that kills its worker must not come back for ever: counted retries, never a plain requeue.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_RETRY_ON_WORKER_LOST = True
# A short outage of the broker must not kill what runs; Celery 6 flips this default.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than the longest wait (retry delay) and the hard time limit together, or a running task starts
    # twice. Every process must say the same: the shortest one wins for all.
    "visibility_timeout": number("VISIBILITY_TIMEOUT", 7200),
    # Without these a publish on a dead connection hangs for good. They have a worker's patience, which a hiccup of
    # Redis must not cost its connection; a request has less, see `sample.publishing`.
    "socket_connect_timeout": 2,
    "socket_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
# Names and arguments in the admin's list of results. They hold identifiers, never addresses or secrets.
CELERY_RESULT_EXTENDED = True
# Set, it would make beat delete all old results in one transaction, which fails when there are very many. A
# deployed project has a timer that does it in chunks.
CELERY_RESULT_EXPIRES = None

# Exchange and key named, because a bare Queue("x") is bound to the default queue's key and shares its
# messages.
CELERY_TASK_QUEUES = [Queue(name, Exchange(name), routing_key=name) for name in ("high", "default", "low")]
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    # A person waits for this one.
    "accounts.send_welcome_email": {"queue": "high"},
    "accounts.*": {"queue": "default"},
    "digests.*": {"queue": "low"},
    "housekeeping.echo": {"queue": "default"},
    "housekeeping.*": {"queue": "low"},
}

# For Flower: without events it shows nothing. They send no e-mail.
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_TASK_SEND_SENT_EVENT = True
# LOGGING is for Celery too (see `sample.logs`).
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False

CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Each expires: after an outage one late run is enough, not the whole backlog. The option is called
# expire_seconds here: the database scheduler ignores Celery's own `expires` without a word. What stands here
# is written to the database when beat starts, and wins over what was edited in the admin.
CELERY_BEAT_SCHEDULE = {
    "send-pending-welcome-emails": {
        "task": "accounts.send_pending_welcome_emails",
        # Often, so that what was registered while Redis was away goes out within a minute of its return. A run
        # that finds nothing costs one query.
        "schedule": 20,
        "options": {"expire_seconds": 15},
    },
    "send-weekly-digest": {
        # Several times in the morning: each run sends only what this week's earlier ones did not.
        "task": "digests.send_weekly_digest",
        "schedule": crontab(day_of_week="mon", hour="6,8,10", minute=0),
        "options": {"expire_seconds": 3600},
    },
    "remove-old-files": {
        "task": "housekeeping.remove_old_files",
        "schedule": crontab(hour=3, minute=30),
        "kwargs": {"job": {"days": 7}},
        "options": {"expire_seconds": 6 * 3600},
    },
}
