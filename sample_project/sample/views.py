"""The landing page, the health check, and the description of both and of registration."""

import logging
from pathlib import Path

from accounts.models import User
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

logger = logging.getLogger(__name__)
DESCRIPTION = (Path(__file__).parent / "openapi.json").read_bytes()


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    """Welcome visitors."""
    return render(request, "sample/landing.html", {"registered": User.objects.count()})


@require_safe
@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """Tell a probe whether this process can serve: 200, or 503 without the database; only the log says why.

    The broker is not asked: without it the site still registers people, and a probe that failed would take it
    down.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        logger.exception("the health check cannot reach the database")
        return JsonResponse({"status": "unavailable"}, status=503)
    return JsonResponse({"status": "ok"})


@require_safe
def openapi(_request: HttpRequest) -> HttpResponse:
    """Describe the site to programs (OpenAPI 3.1); the tests hold it against what the site does."""
    return HttpResponse(DESCRIPTION, content_type="application/json")
