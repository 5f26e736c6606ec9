"""The project package; exports the Celery application for `celery -A sample` and `@shared_task`."""

from sample.celery import app as celery_app

__all__ = ["celery_app"]
