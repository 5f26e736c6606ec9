"""Runs in `sample-manage shell`: makes one old result and one young one; or prints which of the two are left, and forgets them."""

import json
from datetime import timedelta

from django.utils import timezone
from django_celery_results.models import TaskResult

OLD, YOUNG = "test-old-result", "test-young-result"


def main():
    """Print one line of JSON: the results that were there."""
    ours = TaskResult.objects.filter(task_id__in=[OLD, YOUNG])
    found = sorted(ours.values_list("task_id", flat=True))
    if found:
        ours.delete()
    else:
        for name in (OLD, YOUNG):
            TaskResult.objects.create(task_id=name, status="SUCCESS")
        TaskResult.objects.filter(task_id=OLD).update(date_done=timezone.now() - timedelta(days=31))
    print("answer:" + json.dumps(found))


main()
