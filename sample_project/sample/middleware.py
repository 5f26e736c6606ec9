"""What is refused before a view sees it, or because a view couldn't make sense of it."""

import logging
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

logger = logging.getLogger(__name__)
# OverflowError: SQLite, on a development machine.
VALUE_ERRORS = (ValueError, ValidationError, DataError, OverflowError)
Next = Callable[[HttpRequest], HttpResponse]


def refused(why: str) -> HttpResponse:
    """Say why in plain text: a page of errors would be one more that can fail."""
    return HttpResponseBadRequest(why, content_type="text/plain; charset=utf-8")


class ReadableOnly:
    """Refuse a body in another charset than UTF-8, and NUL characters in an address.

    Django refuses such a form too, but by an error that strikes again in its own page for errors (500), and it
    decodes parts of a multipart form by whatever codec the client names, of which some are no charsets at all.
    No text in PostgreSQL holds a NUL, so a look-up of one is an error.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on, or refuse it."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() != "utf-8":
            return refused("Send UTF-8.")
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return refused("No NUL characters, please.")
        return self.get_response(request)


class AdminBadRequest:
    """Answer 400 where the admin stumbles over what was asked: an identifier that is none, a broken pattern.

    The admin takes look-ups from the address and identifiers from forms as they are, and leaves it to the model or the
    database to raise. Only people who logged in get so far; the traceback stands in the log.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Turn what a value can cause into a refusal; any other error goes its way."""
        match = request.resolver_match
        if match is None or match.app_name != "admin" or not isinstance(error, VALUE_ERRORS):
            return None
        logger.warning("the admin cannot make sense of a request", exc_info=error)
        return refused("The admin cannot make sense of this.")
