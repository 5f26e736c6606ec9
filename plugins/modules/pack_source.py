"""The documentation of plugins/action/pack_source.py, where Ansible looks for it; nothing of this file runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pack_source
short_description: Pack a folder of the controller, or texts, into an archive whose name says what is in it
description:
  - Lists the files of a folder, computes a digest of names, modes and contents, and writes a reproducible archive. The same folder always
    gives the same digest.
  - Refuses a folder with links that lead out of it.
  - Runs on the controller alone.
options:
  src: {description: The folder. Either this or O(files)., type: path}
  files: {description: "Contents of files by their path in the archive, in place of a folder.", type: dict}
  exclude: {description: Shell patterns of names or relative paths to leave out., type: list, elements: str, default: []}
  gitignore:
    description:
      - Whether to leave out what git ignores, where the folder is in a work tree. V(false) is for a folder that may be ignored as a whole.
    type: bool
    default: true
  dest: {description: Folder for the archive. Without it only the digest is computed., type: path}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Pack the project
  plainhost.stack.pack_source:
    src: /home/me/shop
    exclude: [.venv, "*.pyc"]
    dest: /tmp/packed
  register: shop_source
"""

RETURN = r"""
digest: {description: "SHA-256 over names, executable bits and contents.", returned: success, type: str}
file_count: {description: Number of files., returned: success, type: int}
archive: {description: Path of the archive., returned: when O(dest) is set, type: str}
"""
