"""What happened to each job, row by row. Nothing is counted here that a query can count."""

from django.db import models


class Delivery(models.Model):
    """A worker has begun with a job. More than one (at the same number of retries) means: delivered again."""

    job = models.CharField(max_length=120, db_index=True)
    task_id = models.CharField(max_length=120)
    node = models.CharField(max_length=120)
    process = models.IntegerField()
    retries = models.IntegerField()
    at = models.FloatField(help_text="Seconds since 1970, by the worker's clock.")


class Done(models.Model):
    """A job that has had its effect. Its key keeps a second delivery from having a second one."""

    job = models.CharField(max_length=120, primary_key=True)


class Effect(models.Model):
    """What the job was for. No key of its own keeps it single, so that two would be seen."""

    job = models.CharField(max_length=120, db_index=True)
    node = models.CharField(max_length=120)
    at = models.FloatField(help_text="Seconds since 1970, by the worker's clock.")
