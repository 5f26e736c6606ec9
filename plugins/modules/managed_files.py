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
  - Content comes as text, normally from the C(ansible.builtin.template) lookup, or from another file of the host.
  - What is secret belongs into O(sensitive_files). Its contents reach no log, no diff and no result, so that a task needs no C(no_log)
    for them, and says which paths it changed.
options:
  files:
    description: The files to install. The host's log gets their contents, as it gets each module's arguments.
    type: list
    elements: dict
    default: []
    suboptions:
      dest: {description: Absolute path., type: path, required: true}
      content: {description: The whole content as text., type: str}
      source:
        description:
          - File of the host whose content to copy, in place of O(files[].content), such as a key that never leaves it. In check mode it may
            be missing yet.
        type: path
      owner: {description: Owning account., type: str, default: root}
      group: {description: Owning group., type: str, default: root}
      mode: {description: Octal mode., type: str, default: "0644"}
  sensitive_files:
    description: Further files to install, after O(files), of whose contents nothing is logged or shown.
    type: list
    elements: dict
    default: []
    suboptions:
      dest: {description: Absolute path., type: path, required: true}
      content: {description: The whole content as text., type: str}
      source: {description: "As O(files[].source).", type: path}
      owner: {description: Owning account., type: str, default: root}
      group: {description: Owning group., type: str, default: root}
      mode: {description: Octal mode., type: str, default: "0600"}
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
    description: Remove what matches O(purge[].patterns) in O(purge[].directory) and isn't among the files and links of this call.
    type: list
    elements: dict
    default: []
    suboptions:
      directory: {description: Absolute path., type: path, required: true}
      patterns: {description: Shell patterns of names., type: list, elements: str, required: true}
  validate:
    description:
      - Shell command that must succeed before a changed file is installed. C({staging}) is a directory that mirrors the paths
        of all files of this call, changed or not.
    type: str
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Install the configuration
  plainhost.stack.managed_files:
    directories:
      - {path: /etc/example, mode: "0750"}
    files:
      - dest: /etc/example/example.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/example/example.conf.j2') }}"
        mode: "0640"
    sensitive_files:
      - {dest: /etc/example/key, content: "{{ vault_example_key }}"}
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
# A shorter line, such as a bracket, is no secret, and hiding it would make messages unreadable.
SHORTEST_SECRET = 8


class ManagedFiles:
    """The wanted state of a call, compared with the host and brought about."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.changed_paths: list[str] = []
        self.diffs: list[dict[str, str]] = []
        # What is still there, and counts as gone.
        self.removed = [Path(path) for path in module.params["absent"]]
        self.wanted = self._taken()
        self._hide_contents()

    def run(self) -> None:
        """Plan, validate, then change; exits the module."""
        params, wanted = self.module.params, self.wanted
        for item in [*params["directories"], *wanted]:
            # An account that doesn't exist is found before the first file has changed.
            self._ids(item)
        stale = [item for item in wanted if self._content_differs(item)]
        if params["validate"] and stale:
            self._validate(wanted, params["validate"])
        for path in params["absent"]:
            self._remove(path)
        if not self.module.check_mode:
            self.removed = []
        for item in params["directories"]:
            self._directory(item)
        for item in wanted:
            self._file(item, item in stale)
        for item in params["links"]:
            self._link(item)
        for path in self._unlisted():
            self._remove(path)
        self.module.exit_json(changed=bool(self.changed_paths), changed_paths=self.changed_paths, diff=self.diffs)

    def _taken(self) -> list[dict[str, Any]]:
        """Return all files of the call with their contents. The parameters lose those that are sensitive: they become part of a result."""
        params = self.module.params
        plain = [item | {"sensitive": False} for item in params["files"]]
        sensitive = [item | {"sensitive": True} for item in params["sensitive_files"]]
        params["sensitive_files"] = [item | {"content": HIDDEN.strip()} for item in sensitive]
        return [self._with_content(item) for item in plain + sensitive]

    def _hide_contents(self) -> None:
        """Let Ansible hide each line of a sensitive file wherever a result has it, such as in what a validation says.

        By itself it would hide every text of the parameter, and so each `root` and each path. What stands in a path is no secret.
        """
        paths = [item["dest"] for item in self.wanted]
        lines = {line.strip() for item in self.wanted if item["sensitive"] for line in item["content"].splitlines()}
        self.module.no_log_values = {
            line for line in lines if len(line) >= SHORTEST_SECRET and not any(line in path for path in paths)
        }
        if sensitive := [item["dest"] for item in self.wanted if item["sensitive"]]:
            # Ansible's own line of this call names none of them.
            self.module.log(f"Sensitive files of this call, without their contents: {', '.join(sensitive)}")

    def _with_content(self, item: dict[str, Any]) -> dict[str, Any]:
        if item["source"] is None:
            return item
        source = Path(item["source"])
        if not source.is_file() and not self.module.check_mode:
            self.module.fail_json(msg=f"{source} does not exist; {item['dest']} can't be copied from it")
        return item | {"content": source.read_text() if source.is_file() else ""}

    def _goes(self, path: Path) -> bool:
        """Tell whether a path is still to be removed, or would be in check mode, before anything is made."""
        return any(path.is_relative_to(removed) for removed in self.removed)

    def _content_differs(self, item: dict[str, Any]) -> bool:
        path = Path(item["dest"])
        if self._goes(path) or path.is_symlink() or not path.exists():
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

    def _fix_attributes(self, path: Path, item: dict[str, Any]) -> None:
        status = path.lstat()
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
        path.chmod(mode)

    def _directory(self, item: dict[str, Any]) -> None:
        path = Path(item["path"])
        goes = self._goes(path)
        if goes or not path.is_dir() or path.is_symlink():
            if os.path.lexists(path) and not goes:
                self.module.fail_json(msg=f"{path} exists and is no directory")
            self._note(path, "", "(directory)\n")
            if self.module.check_mode:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
        self._fix_attributes(path, item)

    def _file(self, item: dict[str, Any], stale: bool) -> None:
        dest = Path(item["dest"])
        if not stale:
            self._fix_attributes(dest, item)
            return
        before = dest.read_text(errors="replace") if dest.is_file() and not self._goes(dest) else ""
        if item["sensitive"]:
            self._note(dest, f"(previous) {HIDDEN}" if before else "", HIDDEN)
        else:
            self._note(dest, before, item["content"])
        if self.module.check_mode:
            return
        uid, gid = self._ids(item)
        if not dest.parent.is_dir():
            self.module.fail_json(msg=f"{dest.parent} does not exist; {dest} can't be installed there")
        # Made 0600 by mkstemp; owner and mode are right before the name appears.
        handle, name = tempfile.mkstemp(dir=dest.parent, prefix=f".{dest.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(item["content"].encode())
                stream.flush()
                os.fsync(stream.fileno())
            os.chown(temporary, uid, gid)
            temporary.chmod(int(item["mode"], 8))
            temporary.rename(dest)
        except BaseException:
            temporary.unlink()
            raise

    def _link(self, item: dict[str, str]) -> None:
        path, target = Path(item["path"]), item["target"]
        before = str(path.readlink()) if path.is_symlink() and not self._goes(path) else ""
        if before == target:
            return
        if path.is_dir() and not path.is_symlink() and not self._goes(path):
            self.module.fail_json(msg=f"{path} is a directory; it can't become a link")
        self._note(path, f"{before}\n" if before else "", f"{target}\n")
        if self.module.check_mode:
            return
        # Made beside it and renamed over it, so that there is a link at every moment.
        temporary = path.with_name(f".{path.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.rename(path)

    def _unlisted(self) -> list[str]:
        kept = {item["dest"] for item in self.wanted}
        kept |= {item["path"] for item in self.module.params["links"]}
        unlisted = []
        for rule in self.module.params["purge"]:
            folder = Path(rule["directory"])
            for path in sorted(folder.iterdir()) if folder.is_dir() else []:
                if str(path) not in kept and any(fnmatch.fnmatch(path.name, pattern) for pattern in rule["patterns"]):
                    unlisted.append(str(path))
        return unlisted

    def _remove(self, name: str) -> None:
        path = Path(name)
        if not os.path.lexists(path):
            return
        self._note(path, "(present)\n", "(absent)\n")
        if self.module.check_mode:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _note(self, path: Path, before: str, after: str) -> None:
        name = str(path)
        if name not in self.changed_paths:
            self.changed_paths.append(name)
        if self.module._diff:
            lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), name, name)
            self.diffs.append({"prepared": "".join(lines) or f"{path}: owner or mode\n"})


def main() -> None:
    """Run the module."""
    text = {"type": "str"}
    owned = {"owner": {**text, "default": "root"}, "group": {**text, "default": "root"}}
    path = {"type": "path", "required": True}
    file = {"dest": path, "content": text, "source": {"type": "path"}, **owned}
    one_of = [("content", "source")]
    files = {"type": "list", "elements": "dict", "default": [], "required_one_of": one_of, "mutually_exclusive": one_of}
    module = AnsibleModule(
        argument_spec={
            "files": {**files, "options": {**file, "mode": {**text, "default": "0644"}}},
            # The whole parameter, and not its `content` alone: of a list that isn't no_log itself, Ansible logs the representation, in which
            # the line ends of a secret are written in another way, so that it doesn't find the secret there.
            "sensitive_files": {**files, "no_log": True, "options": {**file, "mode": {**text, "default": "0600"}}},
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
