"""A form of a page as a browser sends it: what stands in its fields already, and what somebody changed."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser

# Inputs that are sent only where somebody ticks or presses them.
TICKED = ("checkbox", "radio")
PRESSED = ("submit", "button", "image", "reset", "file")


class _Form(HTMLParser):
    """Reads the fields of one form, in their order."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.found = False
        self.fields: list[tuple[str, str]] = []
        self._inside = False
        self._select = ""
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take over what a field holds."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("id") == self.name
            self.found |= self._inside
        name = given.get("name", "")
        if not self._inside or "disabled" in given:
            return
        kind = given.get("type", "text")
        if tag == "input" and name and kind not in PRESSED and (kind not in TICKED or "checked" in given):
            self.fields.append((name, given.get("value", "on" if kind in TICKED else "")))
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and "selected" in given:
            self.fields.append((self._select, given.get("value", "")))
        elif tag == "textarea":
            self._text = name
            self.fields.append((name, ""))

    def handle_data(self, data: str) -> None:
        """Take over the text of a field of many lines; its first newline isn't part of it."""
        if self._text:
            self.fields[-1] = (self._text, self.fields[-1][1] + data.removeprefix("\n"))

    def handle_endtag(self, tag: str) -> None:
        """Leave a field, or the form."""
        if tag == "form":
            self._inside = False
        elif tag == "select":
            self._select = ""
        elif tag == "textarea":
            self._text = ""


def filled(text: str, form: str, changes: Mapping[str, str | list[str]]) -> list[tuple[str, str]] | None:
    """Return the fields of a page's form with some of them changed; None where the page has no such form.

    Args:
        text: the page.
        form: id of the form.
        changes: values by the names of fields; a list for one of which several are chosen.
    """
    parser = _Form(form)
    parser.feed(text)
    if not parser.found:
        return None
    fields = [(name, value) for name, value in parser.fields if name not in changes]
    return fields + [
        (name, value) for name, given in changes.items() for value in (given if isinstance(given, list) else [given])
    ]
