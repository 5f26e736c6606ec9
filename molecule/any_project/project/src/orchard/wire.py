"""The ASGI application: pages and WebSockets."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchard.conf.knobs")
pages = get_asgi_application()

from .gate import Gate  # noqa: E402 (Django must be ready)

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": AllowedHostsOriginValidator(URLRouter([path("live/gate", Gate.as_asgi())])),
    }
)
