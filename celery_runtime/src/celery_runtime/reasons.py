"""Why the deployment lays a setting over a project's own, and which variable of plainhost's decides.

Celery's settings stand here by their lower-case names, Django's by their own, entries of the default database behind its name.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why a setting is laid over.

    Attributes:
        why: the reason, as a short text.
        variable: the variable of an inventory that decides.
    """

    why: str
    variable: str


CELERY_EXTRA = "stack_celery_settings_extra"
DJANGO_EXTRA = "stack_django_settings_extra"
# What the inventory itself says needs no other reason.
SAID_OF_CELERY = Reason("the inventory says so", CELERY_EXTRA)
SAID_OF_DJANGO = Reason("the inventory says so", DJANGO_EXTRA)
SAID_OF_CACHE = Reason("the inventory says so", "stack_cache_settings_extra")
SAID_OF_DATABASE = Reason("the inventory says so", "stack_database_settings_extra")

_SAID_FORMAT = Reason("the inventory names the formats", CELERY_EXTRA)
_ONE_CLOCK = Reason("beat is reliable in UTC, and all processes need one clock", "stack_timezone")
_SEEN = Reason("Flower and the admin show tasks by it", CELERY_EXTRA)
_KEPT = Reason("a task outlives its worker", CELERY_EXTRA)
_PATIENT = Reason("an outage of the broker ends no task and no worker", CELERY_EXTRA)
_TRANSPORT = Reason("all processes must agree on it, or a task is begun twice", CELERY_EXTRA)
_RESULTS = Reason("where servers are, the deployment says", CELERY_EXTRA)
_HTTPS = Reason("the front speaks HTTPS", DJANGO_EXTRA)
_HOSTS = Reason("the front knows these names", "stack_web_hosts")
_FOLDER = Reason("services can write there and nowhere else", "stack_state_dir")
_MAIL = Reason("services reach this mail server", "stack_mail_host")
_MAIL_ENCRYPTION = Reason("how this mail server is spoken to", "stack_mail_encryption")
_SENDER = Reason("the inventory names a sender", "stack_mail_from")
_DATABASE = "the deployment's database"

CELERY: dict[str, Reason] = {
    "task_serializer": _SAID_FORMAT,
    "result_serializer": _SAID_FORMAT,
    "event_serializer": _SAID_FORMAT,
    "accept_content": _SAID_FORMAT,
    "result_accept_content": _SAID_FORMAT,
    "timezone": _ONE_CLOCK,
    "enable_utc": _ONE_CLOCK,
    "task_default_queue": Reason("a pool consumes it", "stack_default_queue"),
    "task_track_started": _SEEN,
    "task_send_sent_event": _SEEN,
    "worker_send_task_events": _SEEN,
    "result_extended": _SEEN,
    "task_soft_time_limit": Reason("the deployment's limit", "stack_soft_time_limit"),
    "task_time_limit": Reason("the deployment's limit", "stack_time_limit"),
    "task_acks_late": _KEPT,
    "task_reject_on_worker_lost": _KEPT,
    "task_retry_on_worker_lost": _KEPT,
    "worker_pool": Reason("limits of time and memory end processes", "celery_worker_pools"),
    "worker_prefetch_multiplier": Reason("a waiting task is any free worker's", "celery_worker_prefetch_multiplier"),
    "worker_hijack_root_logger": Reason("what the project says of logging holds in workers, too", CELERY_EXTRA),
    "worker_cancel_long_running_tasks_on_connection_loss": _PATIENT,
    "broker_connection_retry_on_startup": _PATIENT,
    "broker_connection_max_retries": _PATIENT,
    "broker_transport_options": _TRANSPORT,
    "broker_url": Reason("the deployment's broker", "stack_broker_url"),
    "broker_use_ssl": Reason("the broker's certificate is verified", "stack_tls"),
    "result_backend": _RESULTS,
    "result_expires": Reason("old results are removed by a timer, in chunks", "celery_beat_result_days"),
    "beat_scheduler": Reason("the inventory names a scheduler", CELERY_EXTRA),
    "beat_schedule_filename": Reason("beat can write there and nowhere else", "stack_beat_schedule_file"),
    "worker_consumer": Reason("the part watchdog or transport of the runtime", "stack_runtime_parts"),
}
# What the part `signing` sets.
SIGNED = Reason("messages are signed", "stack_message_signing")

DJANGO: dict[str, Reason] = {
    "SECURE_PROXY_SSL_HEADER": _HTTPS,
    "SECURE_SSL_REDIRECT": _HTTPS,
    "SECURE_HSTS_SECONDS": Reason("what browsers are told", "stack_hsts_seconds"),
    "SESSION_COOKIE_SECURE": _HTTPS,
    "CSRF_COOKIE_SECURE": _HTTPS,
    "ALLOWED_HOSTS": _HOSTS,
    "CSRF_TRUSTED_ORIGINS": Reason("the front knows these names", "stack_web_origins"),
    "STATIC_ROOT": Reason("files of a release lie with it", DJANGO_EXTRA),
    "MEDIA_ROOT": _FOLDER,
    "EMAIL_HOST": _MAIL,
    "EMAIL_PORT": Reason(_MAIL.why, "stack_mail_port"),
    "EMAIL_USE_TLS": _MAIL_ENCRYPTION,
    "EMAIL_USE_SSL": _MAIL_ENCRYPTION,
    "DEFAULT_FROM_EMAIL": _SENDER,
    "SERVER_EMAIL": _SENDER,
    "SECRET_KEY": Reason("the vault's, which no file of the project holds", "stack_secret_key"),
}

DATABASE: dict[str, Reason] = {
    "ENGINE": Reason(_DATABASE, "stack_database_engine"),
    "HOST": Reason(_DATABASE, "stack_database_host"),
    "PORT": Reason(_DATABASE, "stack_database_port"),
    "NAME": Reason(_DATABASE, "stack_database_name"),
    "USER": Reason(_DATABASE, "stack_database_user"),
    "PASSWORD": Reason(_DATABASE, "stack_database_password"),
    "OPTIONS": Reason("the deployment's connection", "stack_database_options"),
    "CONN_MAX_AGE": Reason("a pool of connections renews them itself", "stack_database_settings_extra"),
}


CACHE: dict[str, Reason] = {
    "BACKEND": Reason("the deployment's cache", "stack_cache_backend"),
    "LOCATION": Reason("the deployment's cache", "stack_cache_backend"),
    "OPTIONS": Reason("options of another kind of cache", "stack_cache_backend"),
}
# Of a cache that isn't the default one.
OTHER_CACHE = Reason("database 1 is for caches, whose clear() empties it", "stack_cache_backend")


def of_celery(name: str) -> Reason:
    """Return why a setting of Celery's is laid over."""
    return CELERY.get(name, SAID_OF_CELERY)


def of_django(name: str) -> Reason:
    """Return why a setting of Django's is laid over."""
    return DJANGO.get(name, SAID_OF_DJANGO)


def of_cache(entry: str) -> Reason:
    """Return why an entry of the default cache is laid over."""
    return CACHE.get(entry, SAID_OF_CACHE)


def of_database(entry: str) -> Reason:
    """Return why an entry of the default database is laid over."""
    return DATABASE.get(entry, SAID_OF_DATABASE)
