"""From which variables of the stack an input is set, for a role's messages: roles themselves know their own inputs only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ansible.plugins.lookup import LookupBase

from ..filter import input_name_faults as names

DOCUMENTATION = r"""
name: input_sources
short_description: Say from which variables of the stack the inputs in a message are set
description:
  - A role's message names the role's own inputs. Where a playbook of the stack set them, somebody who reads it looks for the stack's variables.
  - Returns the end of such a message. It names the variables from which the inputs are set, where the host has these variables.
  - Returns an empty text where the role is used without the stack.
options:
  _terms: {description: The message, or the inputs that it names., type: list, elements: str, required: true}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# with the stack: 'redis_port is 80: set at least 1024 (redis_port is set from stack_broker_port)'
- name: Check the port
  ansible.builtin.assert:
    that: redis_port >= 1024
    fail_msg: "redis_port is {{ redis_port }}: set at least 1024{{ lookup('plainhost.stack.input_sources', 'redis_port') }}"
"""

RETURN = r"""
_raw:
  description: The end of the message, with a space before it, or an empty text.
  type: str
"""

WORD = re.compile(r"\w+")


def input_sources(texts: Iterable[Any], variables: Iterable[str]) -> str:
    """Return the end of a message.

    Args:
        texts: what the message says, in parts.
        variables: names of the host's variables.
    """
    words = dict.fromkeys(word for text in texts for word in WORD.findall(str(text)))
    known = set(variables)
    said = []
    for name in words:
        if found := [one for one in (names.origins(name) if name in names.wiring() else []) if one in known]:
            said.append(f"{name} is set from {' and '.join(found)}")
    return f" ({'; '.join(said)})" if said else ""


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **_: Any) -> list[str]:
        """Return the end of the message as the only entry."""
        texts = [text for term in terms for text in (term if isinstance(term, list) else [term])]
        return [input_sources(texts, variables or {})]
