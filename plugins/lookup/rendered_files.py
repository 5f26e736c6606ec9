"""Files for `managed_files`, each rendered from a template with variables of its own."""

from __future__ import annotations

from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: rendered_files
short_description: Render a template once for each of several files
description:
  - Takes files as the module M(plainhost.stack.managed_files) takes them, with C(vars) in place of C(content).
  - Returns them with the content that the template gives with these variables.
  - Exists because a template in a loop of another can only hand on text, which would have to be written and read again as JSON.
options:
  _terms:
    description: "The template, then a list of files: C(dest), C(vars), and what else the module knows."
    type: list
    elements: raw
    required: true
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Install two files
  plainhost.stack.managed_files:
    files: "{{ lookup('plainhost.stack.rendered_files', 'site.conf.j2', __sites) }}"
  vars:
    __sites:
      - {dest: /etc/example/one.conf, vars: {__site: one}}
      - {dest: /etc/example/two.conf, vars: {__site: two}, mode: "0600"}
"""

RETURN = r"""
_raw:
  description: The files, with their content.
  type: list
  elements: dict
"""


class _Variables(dict[str, Any]):
    """Variables of which the lookup of templates need not copy all that is in them, at a tenth of a second a file: it adds names alone."""

    def __deepcopy__(self, _: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class LookupModule(LookupBase):
    """The lookup; what the template may see is for ansible.builtin.template to say."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **_: Any) -> list[list[dict[str, Any]]]:
        """Return the files."""
        template, files = terms
        render = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        seen = _Variables(variables or {})
        return [
            [
                {name: value for name, value in file.items() if name != "vars"}
                | {"content": render.run([template], variables=seen, template_vars=file["vars"])[0]}
                for file in files
            ]
        ]
