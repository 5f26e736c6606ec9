"""The check of what a visitor sends, for the form and for JSON."""

from typing import ClassVar

from django import forms

from accounts.models import User, validate_printable

TAKEN = "Already registered."


class RegistrationForm(forms.ModelForm):
    """An e-mail address and a name."""

    class Meta:
        """Fields and their hints to the browser."""

        model = User
        fields = ("email", "name")
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "email": forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
        }

    def clean_email(self) -> str:
        """Name the field in the error; the model's own constraint could only blame the form as a whole."""
        email = self.cleaned_data["email"]
        # The model asks the same, but only after this look-up, which would fail on a lone surrogate.
        validate_printable(email)
        if User.objects.with_email(email).exists():
            raise forms.ValidationError(TAKEN, code="unique")
        return email
