"""The part `signing`: tasks are sent with a signature over their arguments, and refused without one.

Celery's own serializer `auth`, with one key for all services of an environment. What it signs is the body: arguments, and what a
task is to be followed by. Headers aren't signed, among them the task's name, its id and its ETA: whoever can write into a queue can
send what was signed once more, and under another task's name. It keeps out those who never saw a signed message.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kombu.serialization import registry

from .configuration import ConfigurationError, Runtime, credential

SERIALIZER = "auth"
KEY, CERTIFICATE = "signing_key", "signing_certificate"
INSIDE = "application/json"


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part. Results and events are no orders, and stay as they are."""
    return {
        "task_serializer": SERIALIZER,
        "accept_content": [SERIALIZER],
        "result_serializer": "json",
        "result_accept_content": ["json"],
        "event_serializer": "json",
    }


def install() -> None:
    """Make the serializer known, with the key and the certificate that were handed to this unit.

    Raises:
        ConfigurationError: they are missing, can't be used, or have expired.
    """
    # It needs the package cryptography, and nobody else does.
    from celery.exceptions import SecurityError
    from celery.security.certificate import Certificate, FSCertStore
    from celery.security.key import PrivateKey
    from celery.security.serialization import SecureSerializer

    class Serializer(SecureSerializer):
        """Celery's, for JSON alone: it would read whatever the unsigned part of a message says that it is, pickle included."""

        def _unpack(self, payload: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
            try:
                content: dict[str, Any] = super()._unpack(payload, *arguments, **options)
            except (ValueError, IndexError) as error:
                raise SecurityError(f"not signed: {error}") from None
            if content["content_type"] != INSIDE:
                raise SecurityError(f"signed, but not {INSIDE}")
            return content

        def deserialize(self, data: Any) -> Any:
            """Return what was signed."""
            try:
                return super().deserialize(data)
            except SecurityError as error:
                # Celery 5.7 stumbles over a wrong signature: it tries to catch a module.
                if "TypeError" in str(error):
                    raise SecurityError("the signature does not fit") from None
                raise

    try:
        serializer = Serializer(
            PrivateKey(credential(KEY)),
            Certificate(credential(CERTIFICATE)),
            FSCertStore(str(Path(os.environ["CREDENTIALS_DIRECTORY"], CERTIFICATE))),
            serializer="json",
        )
    except (SecurityError, ValueError) as error:
        raise ConfigurationError(f"stack_message_signing: the key or the certificate can't be used: {error}") from None
    registry.register(
        SERIALIZER,
        serializer.serialize,
        serializer.deserialize,
        content_type="application/data",
        content_encoding="utf-8",
    )
