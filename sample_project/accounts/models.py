"""Users, known by their e-mail address, and the record of their welcome."""

import unicodedata
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from sample.outgoing import OutgoingEmail

# They turn the order round in which what follows is shown: a reader sees another address than there is.
TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def validate_printable(value: str) -> None:
    """Refuse line ends and other control characters, and lone surrogates, which no database stores."""
    kinds = {"Cc", "Cs", "Zl", "Zp"}
    if any(unicodedata.category(character) in kinds or character in TURNING for character in value):
        raise ValidationError("Enter printable characters only.", code="unprintable")


class UserManager(BaseUserManager["User"]):
    """Creates users; addresses are looked up without regard to case."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user; without a password nobody can log in as them."""
        if not email:
            raise ValueError("a user needs an e-mail address")
        user = self.model(email=self.normalize_email(email), **fields)
        # Django makes the password unusable when it is None.
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create an administrator."""
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def with_email(self, email: str) -> models.QuerySet["User"]:
        """Return the user with this address, whatever its case."""
        return self.filter(email__iexact=email)

    def get_by_natural_key(self, email: str | None) -> "User":
        """Find a user for the login page."""
        return self.get(email__iexact=email)


class User(AbstractBaseUser, PermissionsMixin):
    """A registered person."""

    email = models.EmailField("e-mail address", unique=True, validators=[validate_printable])
    name = models.CharField(max_length=100, validators=[validate_printable])
    wants_digest = models.BooleanField(default=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        """Addresses that differ only in case are one: the database holds this where two requests race."""

        constraints = (models.UniqueConstraint(Lower("email"), name="user_email_unique"),)

    def __str__(self) -> str:
        """Return what the admin shows."""
        return self.email


class WelcomeEmail(OutgoingEmail):
    """The welcome that each registered user gets once."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="welcome_email")

    def __str__(self) -> str:
        """Return what the admin shows."""
        return f"welcome to user {self.user_id}: {self.status}"
