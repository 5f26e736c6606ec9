"""The site: it accepts jobs."""

import json

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from .sending import send


@csrf_exempt
@require_POST
def accept(request: HttpRequest) -> HttpResponse:
    """Accept a job. 202 is a promise: the broker has it. 503 means that it hasn't, or that nobody knows."""
    job = json.loads(request.body)
    try:
        send(job)
    except OperationalError as error:
        return JsonResponse({"error": str(error)}, status=503)
    return JsonResponse({"id": job["id"]}, status=202)


def healthz(_request: HttpRequest) -> HttpResponse:
    """Say that the site is up."""
    return HttpResponse("ok")
