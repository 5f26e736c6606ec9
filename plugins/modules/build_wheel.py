"""The documentation of plugins/action/build_wheel.py, where Ansible looks for it; nothing of this file runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: build_wheel
short_description: Build the wheel of a Python project that lies on the controller
description:
  - Computes a digest of what the wheel is made of. Where a folder for the wheel is named, the backend that the project's C(pyproject.toml)
    names builds it (PEP 517), in the environment that Ansible runs in and without a network. A backend that is missing there is an error
    in either case.
  - Neither the digest nor the wheel's bytes depend on where the sources lie, who owns them, when they were written, or what a version
    control system says of them. The bytes do depend on the backend's version, so the digest is what to name things after.
  - Runs on the controller alone, and writes nothing into the sources.
options:
  src: {description: "The project's folder, with a C(pyproject.toml), a C(LICENSE) and the packages in C(src/).", type: path, required: true}
  beside: {description: Files that go along with the wheel. The digest covers them., type: list, elements: path, default: []}
  dest:
    description: Folder for the C(wheel), and an C(archive) of it and of O(beside). Without this folder only the C(digest) is computed.
    type: path
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Build the wheel
  plainhost.stack.build_wheel:
    src: /home/me/library
    dest: /tmp/wheels
  register: library
"""

RETURN = r"""
digest: {description: SHA-256 over what the wheel is made of., returned: success, type: str}
wheel: {description: Path of the wheel., returned: when O(dest) is set, type: str}
archive: {description: Path of the archive of the wheel and of O(beside)., returned: when O(dest) is set, type: str}
"""
