"""The project's WSGI or ASGI application behind a front that speaks over a unix socket: it learns who the client is.

A unix socket has no address, so gunicorn has none to pass on: `REMOTE_ADDR` is empty, and what goes by it, such as a limit of
sign-ups by address, refuses everybody or nobody. The front says the address in `X-Forwarded-For`, where it overwrites whatever the client
wrote. That is believed of the socket alone, which only the front's account may open, and never of a connection from the network.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Awaitable, Callable, Iterable
from importlib import import_module
from typing import Any

from .configuration import ConfigurationError

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
AsgiApplication = Callable[[dict[str, Any], Callable[..., Any], Callable[..., Any]], Awaitable[None]]
HEADER = "HTTP_X_FORWARDED_FOR"
ASGI_HEADER = b"x-forwarded-for"
SETTINGS = "DJANGO_SETTINGS_MODULE"


def client(forwarded: str) -> str:
    """Return the address that the front has written; an empty text where that is no address.

    Args:
        forwarded: value of the header. The front writes a single address; of a list the last is the one that it has seen itself.
    """
    address = forwarded.rpartition(",")[2].strip()
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return ""
    return address


class BehindFront:
    """A WSGI application that is met over a unix socket."""

    def __init__(self, project: Application) -> None:
        self.project = project

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, with the client's address where the server knows none."""
        if not environ.get("REMOTE_ADDR"):
            environ["REMOTE_ADDR"] = client(environ.get(HEADER, ""))
        return self.project(environ, start_response)


class AsgiBehindFront:
    """An ASGI application that is met over a unix socket."""

    def __init__(self, project: AsgiApplication) -> None:
        self.project = project

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Answer a connection, with the client's address where the server knows none. A port isn't known."""
        if scope["type"] in ("http", "websocket") and not scope.get("client"):
            said = [value for name, value in scope["headers"] if name == ASGI_HEADER]
            address = client(said[-1].decode("latin-1")) if said else ""
            scope = {**scope, "client": (address, 0) if address else None}
        await self.project(scope, receive, send)


def _named(name: str, variable: str) -> Any:
    module, _, attribute = name.partition(":")
    wanted = os.environ.get(SETTINGS)
    found = getattr(import_module(module), attribute or "application")
    if os.environ.get(SETTINGS) != wanted:
        raise ConfigurationError(
            f"{variable}: '{name}' replaced {SETTINGS} with {os.environ.get(SETTINGS)}, and would run without the deployment's "
            "settings. Set it there by os.environ.setdefault"
        )
    return found


def application(name: str) -> BehindFront:
    """Return the project's application, for gunicorn to call.

    Args:
        name: what gunicorn would get without this, such as `shop.wsgi:application`.

    Raises:
        ConfigurationError: it chose settings of its own, and would run without the deployment's database, hosts and secrets.
    """
    return BehindFront(_named(name, "stack_wsgi_app"))


def asgi_application(name: str) -> AsgiBehindFront:
    """Return the project's ASGI application, for gunicorn to call.

    Args:
        name: what gunicorn would get without this, such as `shop.asgi:application`.

    Raises:
        ConfigurationError: as for a WSGI application.
    """
    return AsgiBehindFront(_named(name, "stack_asgi_app"))
