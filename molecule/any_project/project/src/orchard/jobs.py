"""The Celery application, whose settings have a prefix of their own, and the format of its messages."""

import os

from celery import Celery
from kombu.serialization import register

from .crates import CONTENT_TYPE, pack, unpack

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchard.conf.knobs")
register("crate", pack, unpack, content_type=CONTENT_TYPE, content_encoding="utf-8")

minions = Celery("orchard")
minions.config_from_object("django.conf:settings", namespace="MINION")
minions.autodiscover_tasks(["orchard"])
