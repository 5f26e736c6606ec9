"""What is refused before any view sees it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest


class Utf8Only:
    """Refuse a body in another charset than UTF-8.

    Django refuses such a form too, but by an error that strikes again in its own page for errors (500), and it
    decodes parts of a multipart form by whatever codec the client names, of which some are no charsets at all.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass a request on, or refuse it."""
        charset = (request.content_params or {}).get("charset", "utf-8")
        if charset.lower() != "utf-8":
            return HttpResponseBadRequest("Send UTF-8.", content_type="text/plain; charset=utf-8")
        return self.get_response(request)
