"""Registration, for people (a form) and for programs (JSON)."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_safe

from accounts.forms import TAKEN, RegistrationForm
from accounts.services import AlreadyRegisteredError, register


# The exemption reaches JSON only; the form below asks for its token. JSON is safe without: a page of another
# site cannot send this content type without a preflight request, which we do not answer, and the view reads
# no cookie, so a visitor's browser could do nothing there that its owner could not do from anywhere.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def registration(request: HttpRequest) -> HttpResponse:
    """Answer for both kinds of callers."""
    if request.method == "POST" and request.content_type == "application/json":
        return register_by_json(request)
    return register_by_form(request)


@csrf_protect
def register_by_form(request: HttpRequest) -> HttpResponse:
    """Show the form, or register and go to the page that says so."""
    form = RegistrationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            register(**form.cleaned_data)
        except AlreadyRegisteredError:
            form.add_error("email", TAKEN)
        else:
            return redirect("registered")
    return render(request, "accounts/register.html", {"form": form}, status=400 if form.is_bound else 200)


def register_by_json(request: HttpRequest) -> JsonResponse:
    """Register `{"email": …, "name": …}`."""
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        return refused({"body": ["Not valid JSON."]})
    if not isinstance(data, dict):
        return refused({"body": ["Send an object with email and name."]})
    # A form would turn 5 or a list into text.
    wrong = {key: ["Send a string."] for key in ("email", "name") if not isinstance(data.get(key, ""), str)}
    if wrong:
        return refused(wrong)
    form = RegistrationForm(data)
    if not form.is_valid():
        return refused(form.errors)
    try:
        user = register(**form.cleaned_data)
    except AlreadyRegisteredError:
        return refused({"email": [TAKEN]})
    detail = "Registered. A welcome e-mail is on its way."
    return JsonResponse({"id": user.pk, "email": user.email, "detail": detail}, status=201)


def refused(errors: dict[str, Any]) -> JsonResponse:
    """Say what is wrong, by field."""
    return JsonResponse({"detail": "Not registered: check the input.", "errors": errors}, status=400)


@require_safe
def registered(request: HttpRequest) -> HttpResponse:
    """Say that it worked."""
    return render(request, "accounts/registered.html")
