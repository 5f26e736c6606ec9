"""What every server of the stack takes of TLS: the one home of versions and ciphers."""

from __future__ import annotations

from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: tls_policy
short_description: The versions and ciphers of TLS that servers take
description:
  - Returns what the roles C(nginx), C(redis) and C(postgresql) write into the servers' configuration.
  - All is good, so a client may choose what is fast on it.
options:
  _terms:
    description: None.
    type: list
    elements: str
    required: false
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# TLSv1.2 TLSv1.3
versions: "{{ lookup('plainhost.stack.tls_policy').versions | join(' ') }}"
"""

RETURN = r"""
_raw:
  description: C(versions), a list from the lowest on, and C(ciphers), a list for TLS 1.2 as OpenSSL reads it.
  type: list
  elements: dict
"""

VERSIONS = ["TLSv1.2", "TLSv1.3"]
# Of TLS 1.2 what has forward secrecy and authenticated encryption; all of TLS 1.3 has both.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class LookupModule(LookupBase):
    """The lookup."""

    def run(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Return the policy."""
        return [{"versions": VERSIONS, "ciphers": CIPHERS}]
