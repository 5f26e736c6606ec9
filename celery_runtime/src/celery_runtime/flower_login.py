"""Flower's login, guarded: who guesses passwords gets only so many guesses, and its metrics ask for the login too.

The front limits requests, of which a page needs many. What counts here are wrong passwords, whatever page they were tried on and however
they came: all requests meet in this one process. Who has none left gets no answer to a right one either, or it could still be found.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from typing import Any

# As many wrong passwords at once, and then one more in so many seconds.
BURST = 10
SECONDS = 6.0
# Clients to remember; whoever guessed longest ago is forgotten first.
MOST_CLIENTS = 10_000


class Guesses:
    """Wrong passwords of each client, which fade with time."""

    def __init__(self) -> None:
        self._made: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def made(self, client: str, now: float) -> float:
        """Return how many count at a time of the monotonic clock (s)."""
        count, since = self._made.get(client, (0.0, now))
        return max(0.0, count - (now - since) / SECONDS)

    def spent(self, client: str, now: float) -> bool:
        """Tell whether a client has to wait."""
        return self.made(client, now) > BURST - 1

    def add(self, client: str, now: float) -> None:
        """Count one."""
        self._made[client] = (self.made(client, now) + 1, now)
        self._made.move_to_end(client)
        if len(self._made) > MOST_CLIENTS:
            self._made.popitem(last=False)


def client_of(address: str) -> str:
    """Return who is one client: an address, or the network that a customer is given of IPv6 (RFC 6177)."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))
    return str(parsed)


def install() -> None:
    """Let Flower's pages ask here first (flower.views, as of Flower 2.2)."""
    from flower import views
    from flower.views import monitor
    from tornado.web import HTTPError, authenticated

    handler_class, guesses = views.BaseHandler, Guesses()
    check = handler_class.get_current_user

    def get_current_user(handler: Any) -> Any:
        # On its socket Flower meets nobody but the front, which says who the client is.
        behind_front = handler.application.options.unix_socket
        headers = handler.request.headers
        client = client_of(headers.get("X-Forwarded-For", "") if behind_front else handler.request.remote_ip)
        if guesses.spent(client, time.monotonic()):
            raise HTTPError(429, "Too many wrong passwords")
        try:
            return check(handler)
        except HTTPError as error:
            if error.status_code == 401 and "Authorization" in headers:
                guesses.add(client, time.monotonic())
            raise

    handler_class.get_current_user = get_current_user
    monitor.Metrics.get = authenticated(monitor.Metrics.get)
