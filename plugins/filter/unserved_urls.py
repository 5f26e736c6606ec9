"""Where a project's settings name another path of files than the front serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

DOCUMENTATION = r"""
name: unserved_urls
short_description: What to say where a project's URLs of files aren't those that the front serves
description:
  - A URL on another host is none of the front's.
options:
  _input:
    description: Path that the front serves, by the name of the project's setting; an empty one is left to the project.
    type: dict
    required: true
  urls: {description: The project's settings by name., type: dict, required: true}
positional: urls
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# ['STATIC_URL of the project is /assets/, and the front serves /static/: set stack_static_path to /assets/']
texts: "{{ {'STATIC_URL': '/static/'} | plainhost.stack.unserved_urls({'STATIC_URL': '/assets/'}) }}"
"""

RETURN = r"""
_value:
  description: A text for each; empty where they agree.
  type: list
  elements: str
"""

VARIABLES = {"STATIC_URL": "stack_static_path", "MEDIA_URL": "stack_media_path"}


def unserved_urls(served: Mapping[str, str], urls: Mapping[str, Any]) -> list[str]:
    """Return a text for each setting whose path isn't the one that is served.

    Args:
        served: path by the name of the setting; an empty one is left to the project.
        urls: the project's settings by name.
    """
    texts = []
    for name, path in served.items():
        url = str(urls.get(name) or "")
        if path and url.startswith("/") and not urlsplit(url).netloc and urlsplit(url).path != path:
            texts.append(f"{name} of the project is {url}, and the front serves {path}: set {VARIABLES[name]} to {url}")
    return texts


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"unserved_urls": unserved_urls}
