"""Runs in the release: which of its clients accept the servers as they are, by a wrong name, and without the authority. Prints JSON."""

import asyncio
import json
import sys

import django
from celery import current_app
from flower.utils.broker import Broker

django.setup()

import redis  # noqa: E402 (the settings come first)
from celery.app.utils import find_app  # noqa: E402 (as above)
from django.conf import settings  # noqa: E402 (as above)
from django.db.backends.postgresql.base import DatabaseWrapper  # noqa: E402 (as above)

# The distribution's authorities: they don't know ours.
OTHERS = "/etc/ssl/certs/ca-certificates.crt"
# Resolves to the right host, and stands in no certificate.
OTHER_NAME = "vault"


def tried(attempt):
    """Return what came of it, as one word or as the error's text."""
    try:
        attempt()
    except Exception as error:
        causes = []
        while error is not None:
            causes.append(str(error))
            error = error.__cause__ or error.__context__
        return " / ".join(causes)
    return "well"


def celery(url, tls, as_command):
    """Connect as a worker does (`celery ...`), or as the web."""
    program, sys.argv[0] = sys.argv[0], "/venv/bin/celery" if as_command else "gunicorn"
    try:
        with current_app.connection_for_write(url, ssl=tls) as link:
            link.ensure_connection(max_retries=1, interval_start=0)
            link.default_channel.client.ping()
    finally:
        sys.argv[0] = program


def flower(url, tls):
    """Ask for the queues' lengths as Flower does, which reads the address in its own way."""
    with current_app.connection_for_write(url, ssl=tls) as link:
        broker = Broker(link.as_uri(include_password=True), broker_options={}, broker_use_ssl=tls)
    asyncio.run(broker.queues(["default"]))


def database(**changes):
    """Connect as Django does."""
    entry = settings.DATABASES["default"] | {"TIME_ZONE": None, "AUTOCOMMIT": True, "ATOMIC_REQUESTS": False}
    entry |= {"HOST": changes.get("host", entry["HOST"])}
    entry["OPTIONS"] = entry["OPTIONS"] | changes.get("options", {})
    DatabaseWrapper(entry).connect()


def main():
    """Try each client three ways."""
    find_app("sample").set_current()
    url, tls = current_app.conf.broker_url, current_app.conf.broker_use_ssl
    host = settings.DATABASES["default"]["HOST"]
    cases = {
        "right": (url, tls, {}),
        "wrong name": (url.replace(f"@{host}:", f"@{OTHER_NAME}:"), tls, {"host": OTHER_NAME}),
        "wrong authority": (
            url.replace(tls["ssl_ca_certs"], OTHERS),
            tls | {"ssl_ca_certs": OTHERS},
            {"options": {"sslrootcert": OTHERS}},
        ),
        # The setting alone, as with an address that says nothing of TLS but its scheme.
        "wrong authority, by the setting": (url.partition("?")[0], tls | {"ssl_ca_certs": OTHERS}, {}),
        "right, by the setting": (url.partition("?")[0], tls, {}),
    }
    seen = {
        case: {
            "worker": tried(lambda address=address, tls=tls: celery(address, tls, True)),
            "web": tried(lambda address=address, tls=tls: celery(address, tls, False)),
            "flower": tried(lambda address=address, tls=tls: flower(address, tls)),
            "redis-py": tried(lambda address=address: redis.Redis.from_url(address).ping()),
            "django": tried(lambda options=options: database(**options)),
        }
        for case, (address, tls, options) in cases.items()
    }
    seen["schemes"] = [url.partition(":")[0], settings.DATABASES["default"]["OPTIONS"]["sslmode"]]
    print("answer:" + json.dumps(seen))


main()
