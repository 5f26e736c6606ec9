"""Users and their welcome e-mails, for administrators."""

from typing import ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from sample.admin import OutgoingEmailAdmin

from accounts.models import User, WelcomeEmail
from accounts.tasks import WelcomeJob, send_welcome_email


class UserCreationForm(AdminUserCreationForm):
    """The form behind "add user"."""

    class Meta(AdminUserCreationForm.Meta):
        """Ours has no user name."""

        model = User
        fields = ("email", "name")
        field_classes: ClassVar[dict[str, type]] = {}


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """Django's, for users known by their address."""

    add_form = UserCreationForm
    list_display = ("email", "name", "is_active", "is_staff", "date_joined")
    list_filter = ("is_active", "is_staff", "wants_digest")
    search_fields = ("email", "name")
    ordering = ("-date_joined",)
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "name", "password", "wants_digest")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("date_joined", "last_login")}),
    )
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)


@admin.register(WelcomeEmail)
class WelcomeEmailAdmin(OutgoingEmailAdmin):
    """Welcome e-mails, which can be sent again when they failed."""

    def publish(self, row: WelcomeEmail) -> None:
        """Wake a worker once the change is committed."""
        send_welcome_email.publish_on_commit(row, WelcomeJob(user_id=row.user_id))
