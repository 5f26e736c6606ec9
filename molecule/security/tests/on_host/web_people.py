"""Run by `sample-manage shell`: people of each kind who can log in, and rows that a hostile task could have left."""

import json

from accounts.models import User
from django.contrib.contenttypes.models import ContentType
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

SCRIPT = "<script>alert('stored')</script>\"><img src=x onerror=alert(1)>"
for address, staff in (("web-ordinary@example.com", False), ("web-staff@example.com", True)):
    user, _ = User.objects.get_or_create(email=address, defaults={"name": SCRIPT})
    user.is_staff = staff
    user.set_password("web-only-for-tests")
    user.save()
hostile, _ = User.objects.update_or_create(email="web-hostile@example.com", defaults={"name": SCRIPT})
result, _ = TaskResult.objects.update_or_create(
    task_id="00000000-dead-beef-0000-000000000001",
    defaults=dict.fromkeys(
        ("task_name", "task_args", "task_kwargs", "result", "traceback", "meta", "worker", "periodic_task_name"), SCRIPT
    )
    | {"status": "FAILURE"},
)
interval, _ = IntervalSchedule.objects.get_or_create(every=9999, period="days")
periodic, _ = PeriodicTask.objects.update_or_create(
    name=SCRIPT[:190], defaults={"task": SCRIPT[:190], "description": SCRIPT, "interval": interval, "enabled": False}
)
kind = ContentType.objects.get_for_model(User).pk
print("answer:" + json.dumps({"user": hostile.pk, "result": result.pk, "periodic": periodic.pk, "kind": kind}))
