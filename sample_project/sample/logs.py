"""Logging for web, workers and beat alike: one JSON object per line on stderr, readable text under DEBUG.

The apps use the standard library's loggers, so that Sentry sees real records; structlog only renders them.
"""

from typing import Any

import structlog
from celery.signals import setup_logging, task_postrun, task_prerun


def logging_config(level: str, pretty: bool) -> dict[str, Any]:
    """Return Django's LOGGING."""
    common: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # What was given as `extra=`; named, because libraries put whole request objects there.
        structlog.stdlib.ExtraAdder(allow={"user_id", "week", "status_code", "count"}),
    ]
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if pretty:
        processors: list[Any] = [clean, structlog.dev.ConsoleRenderer()]
    else:
        # The traceback becomes one field, so an error stays one line.
        processors = [clean, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": common,
                "processors": processors,
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django gives these handlers of their own (text, and mail to ADMINS); the root's is enough.
            "django": {"handlers": [], "level": level, "propagate": True},
            "django.server": {"handlers": [], "level": level, "propagate": True},
        },
    }


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Leave logging as Django set it up: a receiver here is what stops Celery from installing its own."""


@task_prerun.connect
def name_the_task(task_id: str, task: Any, **_: Any) -> None:
    """Put the task's name and id on every line it logs."""
    structlog.contextvars.bind_contextvars(task_id=task_id, task=task.name)


@task_postrun.connect
def forget_the_task(**_: Any) -> None:
    """Forget them when the task is over."""
    structlog.contextvars.unbind_contextvars("task_id", "task")
