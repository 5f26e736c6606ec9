"""A small project that keeps count of what became of its jobs. It knows nothing of how it is deployed."""

from .celery import app as celery_app

__all__ = ["celery_app"]
