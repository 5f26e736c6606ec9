"""Make a folder whose files another account may read, also those that lie in it already."""

from __future__ import annotations

DOCUMENTATION = r"""
module: served_folder
short_description: Make a folder whose files another account may read
description:
  - The folder is its group's to write to, and everybody's to read who comes as far. The folders above it say who does.
  - What lies in it already is opened for reading once, when the folder wasn't open itself. The mode of the folder changes last, so a run
    that died is made up for by the next.
  - Services may write to the folder meanwhile. No link is followed, and what is neither a file nor a folder stays as it is, as does a file
    with a second name.
options:
  path: {description: The folder., type: path, required: true}
  owner: {description: Owning account., type: str, default: root}
  group: {description: Group that writes to it., type: str, default: root}
author: The plainhost maintainers
"""

EXAMPLES = r"""
- name: Let the front read the uploads
  plainhost.stack.served_folder:
    path: /var/lib/shop/media
    group: shop
"""

RETURN = r"""
left:
  description: Number of files that were left as they are, since they have a second name.
  returned: always
  type: int
"""

import os
import shutil
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

MODE = 0o2775
READ, ENTER = 0o004, 0o005


def opened(folder: int, device: int) -> int:
    """Let everybody read what is below an open folder; return the number of files that were left as they are."""
    left = 0
    # Of the open folder, whatever its name leads to by now.
    for name in os.listdir(folder):
        try:
            seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
                continue
            # Without waiting: by now it may be a pipe.
            child = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            # Gone, or a link by now.
            continue
        try:
            left += _opened(child, device)
        finally:
            os.close(child)
    return left


def _opened(child: int, device: int) -> int:
    now = os.fstat(child)
    mode = stat.S_IMODE(now.st_mode)
    if now.st_dev != device:
        return 0
    if stat.S_ISDIR(now.st_mode):
        left = opened(child, device)
        if mode & ENTER != ENTER:
            os.fchmod(child, mode | ENTER)
        return left
    if not stat.S_ISREG(now.st_mode):
        return 0
    if now.st_nlink > 1:
        # The other name may be one that this isn't meant for.
        return 1
    if not mode & READ:
        os.fchmod(child, mode | READ)
    return 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
        },
        supports_check_mode=True,
    )
    path, owner, group = Path(module.params["path"]), module.params["owner"], module.params["group"]
    if path.is_symlink():
        module.fail_json(msg=f"{path} is a link; it must be a folder, or a place where one is mounted")
    status = path.stat() if path.is_dir() else None
    if status and stat.S_IMODE(status.st_mode) == MODE and (path.owner(), path.group()) == (owner, group):
        module.exit_json(changed=False, left=0)
    left = 0
    if not module.check_mode:
        path.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if status and stat.S_IMODE(status.st_mode) & ENTER != ENTER:
                left = opened(handle, os.fstat(handle).st_dev)
            shutil.chown(handle, owner, group)
            os.fchmod(handle, MODE)
        finally:
            os.close(handle)
    module.exit_json(changed=True, left=left)


if __name__ == "__main__":
    main()
