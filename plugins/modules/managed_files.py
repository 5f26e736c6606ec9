"""Install many files, directories and links on a host in one module call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_files
short_description: Install many files, directories and links in one call
description:
  - Brings a set of files to their wanted content, owner and mode. Everything is validated before anything is replaced,
    and each file is replaced by a rename, so that a reader never sees half of one.
  - Exists because a M(ansible.builtin.template) task costs about a second for each host and file over SSH, and
    because a unit with its drop-ins can only be validated as a whole.
  - Content comes as text, normally from the C(ansible.builtin.template) lookup.
options:
  files:
    description: The files to install.
    type: list
    elements: dict
    default: []
    suboptions:
      dest: {description: Absolute path., type: path, required: true}
      content: {description: The whole content as text., type: str, required: true}
      owner: {description: Owning account., type: str, default: root}
      group: {description: Owning group., type: str, default: root}
      mode: {description: Octal mode., type: str, default: "0644"}
      sensitive: {description: Never show the content in a diff., type: bool, default: false}
  directories:
    description: Directories to make before the files.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      owner: {description: Owning account., type: str, default: root}
      group: {description: Owning group., type: str, default: root}
      mode: {description: Octal mode., type: str, default: "0755"}
  links:
    description: Symbolic links to make or to turn, atomically.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path of the link., type: path, required: true}
      target: {description: What it points to., type: str, required: true}
  absent:
    description: Paths to remove before anything is made; a directory with all that is in it.
    type: list
    elements: path
    default: []
  purge:
    description: Remove what matches O(purge[].patterns) in O(purge[].directory) and isn't among O(files) or O(links).
    type: list
    elements: dict
    default: []
    suboptions:
      directory: {description: Absolute path., type: path, required: true}
      patterns: {description: Shell patterns of names., type: list, elements: str, required: true}
  validate:
    description:
      - Shell command that must succeed before a changed file is installed. C({staging}) is a directory that mirrors the paths
        of all O(files), changed or not.
    type: str
author: The plainhost maintainers
"""

EXAMPLES = r"""
- name: Install the configuration
  managed_files:
    directories:
      - {path: /etc/example, mode: "0750"}
    files:
      - dest: /etc/example/example.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/example/example.conf.j2') }}"
        mode: "0640"
    validate: "example --check {staging}/etc/example/example.conf"
"""

RETURN = r"""
changed_paths:
  description: Every path that was made, changed or removed (or would be, in check mode).
  returned: always
  type: list
  elements: str
"""

import difflib
import fnmatch
import grp
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

HIDDEN = "(content not shown: it is sensitive)\n"


class ManagedFiles:
    """The wanted state of a call, compared with the host and brought about."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.changed_paths: list[str] = []
        self.diffs: list[dict[str, str]] = []

    def run(self) -> None:
        """Plan, validate, then change; exits the module."""
        params = self.module.params
        wanted = params["files"]
        stale = [item for item in wanted if self._content_differs(item)]
        if params["validate"] and stale:
            self._validate(wanted, params["validate"])
        for path in params["absent"]:
            self._remove(path)
        for item in params["directories"]:
            self._directory(item)
        for item in wanted:
            self._file(item, item in stale)
        for item in params["links"]:
            self._link(item)
        for path in self._surplus():
            self._remove(path)
        self.module.exit_json(changed=bool(self.changed_paths), changed_paths=self.changed_paths, diff=self.diffs)

    def _content_differs(self, item: dict[str, Any]) -> bool:
        path = Path(item["dest"])
        if path.is_symlink() or not path.exists():
            return True
        if not path.is_file():
            self.module.fail_json(msg=f"{path} exists and is no regular file")
        return path.read_bytes() != item["content"].encode()

    def _validate(self, wanted: list[dict[str, Any]], command: str) -> None:
        # The staging folder is private: sensitive content passes through it.
        staging = tempfile.mkdtemp(prefix="managed-files-")
        try:
            for item in wanted:
                target = Path(staging + item["dest"])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(item["content"])
            code, out, err = self.module.run_command(command.replace("{staging}", staging), use_unsafe_shell=True)
            if code != 0:
                text = (out + err).replace(staging, "").strip()
                self.module.fail_json(msg=f"refused before anything was changed: {text}", rc=code)
        finally:
            shutil.rmtree(staging)

    def _ids(self, item: dict[str, Any]) -> tuple[int, int]:
        """Return the numeric owner and group; in check mode on a fresh host, an account may not exist yet."""
        try:
            return pwd.getpwnam(item["owner"]).pw_uid, grp.getgrnam(item["group"]).gr_gid
        except KeyError as error:
            if self.module.check_mode:
                return -1, -1
            self.module.fail_json(msg=f"{error.args[0]}: no such account or group on this host")
            raise

    def _fix_attributes(self, path: str, item: dict[str, Any]) -> None:
        status = os.stat(path, follow_symlinks=False)
        uid, gid = self._ids(item)
        mode = int(item["mode"], 8)
        wrong_owner = (uid, gid) not in ((-1, -1), (status.st_uid, status.st_gid))
        wrong_mode = stat.S_IMODE(status.st_mode) != mode
        if not (wrong_owner or wrong_mode):
            return
        self._note(path, "", "")
        if self.module.check_mode:
            return
        if wrong_owner:
            os.chown(path, uid, gid, follow_symlinks=False)
        os.chmod(path, mode)

    def _directory(self, item: dict[str, Any]) -> None:
        path = item["path"]
        if not os.path.isdir(path) or os.path.islink(path):
            if os.path.lexists(path):
                self.module.fail_json(msg=f"{path} exists and is no directory")
            self._note(path, "", "(directory)\n")
            if self.module.check_mode:
                return
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            os.mkdir(path, 0o700)
        self._fix_attributes(path, item)

    def _file(self, item: dict[str, Any], stale: bool) -> None:
        dest = item["dest"]
        if not stale:
            self._fix_attributes(dest, item)
            return
        before = Path(dest).read_text(errors="replace") if os.path.isfile(dest) else ""
        if item["sensitive"]:
            self._note(dest, HIDDEN if before else "", HIDDEN)
        else:
            self._note(dest, before, item["content"])
        if self.module.check_mode:
            return
        uid, gid = self._ids(item)
        parent = os.path.dirname(dest)
        if not os.path.isdir(parent):
            self.module.fail_json(msg=f"{parent} does not exist; {dest} can't be installed there")
        # Made 0600 by mkstemp; owner and mode are right before the name appears.
        handle, temporary = tempfile.mkstemp(dir=parent, prefix=f".{os.path.basename(dest)}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(item["content"].encode())
                stream.flush()
                os.fsync(stream.fileno())
            os.chown(temporary, uid, gid)
            os.chmod(temporary, int(item["mode"], 8))
            os.rename(temporary, dest)
        except BaseException:
            os.unlink(temporary)
            raise

    def _link(self, item: dict[str, str]) -> None:
        path, target = item["path"], item["target"]
        if os.path.islink(path) and os.readlink(path) == target:
            return
        if os.path.isdir(path) and not os.path.islink(path):
            self.module.fail_json(msg=f"{path} is a directory; it can't become a link")
        before = os.readlink(path) + "\n" if os.path.islink(path) else ""
        self._note(path, before, target + "\n")
        if self.module.check_mode:
            return
        temporary = f"{path}.new"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.rename(temporary, path)

    def _surplus(self) -> list[str]:
        kept = {item["dest"] for item in self.module.params["files"]}
        kept |= {item["path"] for item in self.module.params["links"]}
        surplus = []
        for rule in self.module.params["purge"]:
            if not os.path.isdir(rule["directory"]):
                continue
            for name in sorted(os.listdir(rule["directory"])):
                path = os.path.join(rule["directory"], name)
                if path not in kept and any(fnmatch.fnmatch(name, pattern) for pattern in rule["patterns"]):
                    surplus.append(path)
        return surplus

    def _remove(self, path: str) -> None:
        if not os.path.lexists(path):
            return
        self._note(path, "(present)\n", "(absent)\n")
        if self.module.check_mode:
            return
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _note(self, path: str, before: str, after: str) -> None:
        if path not in self.changed_paths:
            self.changed_paths.append(path)
        if self.module._diff:
            lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), path, path)
            self.diffs.append({"prepared": "".join(lines) or f"{path}: owner or mode\n"})


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    owned = {"owner": {**text, "default": "root"}, "group": {**text, "default": "root"}}
    path = {"type": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "dest": path,
                    "content": {**text, "required": True},
                    **owned,
                    "mode": {**text, "default": "0644"},
                    "sensitive": {"type": "bool", "default": False},
                },
            },
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": path, **owned, "mode": {**text, "default": "0755"}},
            },
            "links": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"path": path, "target": {**text, "required": True}},
            },
            "absent": {"type": "list", "elements": "path", "default": []},
            "purge": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "directory": path,
                    "patterns": {"type": "list", "elements": "str", "required": True},
                },
            },
            "validate": text,
        },
        supports_check_mode=True,
    )
    ManagedFiles(module).run()


if __name__ == "__main__":
    main()
