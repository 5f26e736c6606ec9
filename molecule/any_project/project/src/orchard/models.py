"""What the orchard keeps."""

from django.db import models


class Outcome(models.Model):
    """What became of a task."""

    task_id = models.CharField(max_length=120, primary_key=True)
    body = models.TextField()


class Event(models.Model):
    """Something that happened."""

    kind = models.CharField(max_length=40, db_index=True)
    detail = models.CharField(max_length=120, blank=True)
    at = models.DateTimeField(auto_now_add=True)


class Relic(models.Model):
    """Something old, which lies in the attic: a database of its own."""

    label = models.CharField(max_length=120)
