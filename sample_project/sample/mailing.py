"""Sends one e-mail and sorts what can go wrong: errors that can pass, and refusals that cannot."""

import random
import smtplib

from celery.exceptions import SoftTimeLimitExceeded
from django.core.mail import EmailMessage

# One mail takes seconds. Its limits are far below the project's, so that a claim on it ends soon.
SOFT_TIME_LIMIT = 60
TIME_LIMIT = 90
MAX_RETRIES = 3
FIRST_RETRY = 60


class TransientMailError(Exception):
    """It may work later."""


class PermanentMailError(Exception):
    """It will not work later either."""


def masked(address: str) -> str:
    """Return the address as results and logs may show it: `ada@example.com` as `a***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def retry_delay(retries: int) -> int:
    """Return the seconds to wait: 60, 120, 240, each lengthened by up to a half at random.

    Lengthened only: Celery's own full jitter may wait for 0 s, and three such retries are over before a mail
    server has restarted.
    """
    base = FIRST_RETRY * 2**retries
    return base + random.randint(0, base // 2)  # noqa: S311 - spreads load, guards nothing


def send(mail: EmailMessage) -> None:
    """Send, or raise TransientMailError or PermanentMailError with a text that holds no address."""
    try:
        mail.send()
    except (smtplib.SMTPException, OSError, SoftTimeLimitExceeded) as error:
        kind = TransientMailError if can_pass(error) else PermanentMailError
        # `from None`: the original's text names the recipient, and tracebacks are stored with results.
        raise kind(describe(error, mail.recipients())) from None


def can_pass(error: BaseException) -> bool:
    """Tell whether the same mail may be accepted later."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(400 <= code < 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return 400 <= error.smtp_code < 500
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return True
    # SMTPException is an OSError itself: what is left of it is a matter of configuration, not of time.
    return not isinstance(error, smtplib.SMTPException)


def describe(error: BaseException, recipients: list[str]) -> str:
    """Say in one line what the server said, recipients masked."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, reply = next(iter(error.recipients.values()))
    elif isinstance(error, smtplib.SMTPResponseException):
        code, reply = error.smtp_code, error.smtp_error
    else:
        code, reply = "", str(error)
    said = reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
    for address in recipients:
        said = said.replace(address, masked(address))
    return " ".join(f"{type(error).__name__} {code} {said}".split())
