"""Removes old files below one folder, and nothing beyond it."""

import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


@dataclass
class Removed:
    """What a clean-up did."""

    files: int = 0
    bytes: int = 0
    failed: int = 0


def remove_older_than(root: Path, cutoff: float) -> Removed:
    """Remove files (and links themselves, never what they point to) last changed before `cutoff`.

    Walks by open folders, not by paths: a folder that somebody swaps for a link while we walk leads nowhere
    else. A root that is a link itself is not entered.
    """
    result = Removed()
    # Links are not followed: one in the root's own place reads as "not there".
    if root.is_symlink() or not root.is_dir():
        return result
    for folder, names, files, handle in os.fwalk(root, topdown=False, follow_symlinks=False):
        for name in (*files, *names):
            try:
                found = os.lstat(name, dir_fd=handle)
                if found.st_mtime >= cutoff:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    with suppress(OSError):
                        # Refused unless it is empty, which is what we want.
                        os.rmdir(name, dir_fd=handle)
                elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                    os.unlink(name, dir_fd=handle)
                    result.files += 1
                    result.bytes += found.st_size
            except FileNotFoundError:
                # Its owner was faster.
                continue
            except OSError:
                logger.exception("cannot remove %r in %s", name, folder)
                result.failed += 1
    return result
