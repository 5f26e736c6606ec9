"""What registering means."""

from django.db import IntegrityError, transaction

from accounts.models import User, WelcomeEmail
from accounts.tasks import WelcomeJob, send_welcome_email


class AlreadyRegisteredError(Exception):
    """The address belongs to a user."""


def register(email: str, name: str) -> User:
    """Create the user and the record of their welcome together, then wake a worker.

    No password is set. The caller never waits for the mail server, and no job is lost when the broker is
    away.
    """
    try:
        with transaction.atomic():
            user = User.objects.create_user(email, name=name)
            welcome = WelcomeEmail.objects.create(user=user)
            send_welcome_email.publish_on_commit(welcome, WelcomeJob(user_id=user.pk))
    except IntegrityError:
        # Two requests at once may both have passed the form's check.
        if User.objects.with_email(email).exists():
            raise AlreadyRegisteredError from None
        raise
    return user
