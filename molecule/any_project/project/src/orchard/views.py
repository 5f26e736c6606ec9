"""The site."""

import json
from pathlib import Path

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from . import arithmetic, scale, tasks
from .models import Event

TASKS = {"pick": tasks.pick, "press": tasks.press, "post": tasks.post}


def pulse(_request: HttpRequest) -> HttpResponse:
    """Say that the site is up."""
    return HttpResponse("ok")


def title(request: HttpRequest) -> HttpResponse:
    """Say what the site is called, and how often this visitor has asked."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"title": settings.TITLE, "visits": request.session["visits"]})


@require_POST
def send(request: HttpRequest, name: str) -> HttpResponse:
    """Send a task with one argument, the body."""
    return JsonResponse({"id": TASKS[name].delay(json.loads(request.body)).id})


def outcome(_request: HttpRequest, task_id: str) -> HttpResponse:
    """Say what became of a task, as its result backend has it."""
    result = tasks.minions.AsyncResult(task_id)
    return JsonResponse({"state": result.state, "result": result.result if result.successful() else str(result.result)})


@require_POST
def weigh(request: HttpRequest) -> HttpResponse:
    """Put something onto the scale."""
    scale.client().rpush(scale.LIST, json.loads(request.body))
    return HttpResponse(status=202)


@require_POST
def spoil(_request: HttpRequest) -> HttpResponse:
    """Fail after something was stored."""
    Event.objects.create(kind="spoilt")
    raise RuntimeError("spoilt")


@require_POST
def picture(request: HttpRequest, name: str) -> HttpResponse:
    """Keep what was uploaded; say where it is met."""
    return JsonResponse({"url": default_storage.url(default_storage.save(name, ContentFile(request.body)))})


def divide(_request: HttpRequest, number: int) -> HttpResponse:
    """Try what is the workers' to do."""
    try:
        return JsonResponse({"factors": arithmetic.factors(number)})
    except PermissionError as error:
        return JsonResponse({"error": Path(error.filename).name}, status=403)
