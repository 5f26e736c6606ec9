"""The image of a test host: a minimal Debian with systemd and SSH, built from Debian's archive."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbench.console import Problem, duration, heartbeat, say
from testbench.podman import CACHE, PREFIX, as_root, inspect, podman, run

RELEASES = ("bookworm", "trixie")
OVERLAY = Path(__file__).parent / "image"
# No udev: in a privileged container it would act on the outer machine's devices.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# What would act on the kernel, the consoles or the modules that the host shares with the outer machine.
MASKED = (
    "console-getty.service",
    "getty@.service",
    "systemd-binfmt.service",
    "systemd-journald-audit.socket",
    "systemd-modules-load.service",
    "systemd-remount-fs.service",
)
HOOKS = (
    'tar -C "$1" --extract --file="{overlay}"',
    'chroot "$1" useradd --create-home --shell /bin/bash --password "*" ops',
    # The distribution's kernel settings, off: the kernel is the outer machine's. A role's still count.
    'cd "$1/usr/lib/sysctl.d" && for file in *.conf; do ln -sf /dev/null "$1/etc/sysctl.d/$file"; done',
    'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/machine-id" "$1/var/lib/dbus/machine-id"; : > "$1/etc/machine-id"',
)


def add_file(archive: tarfile.TarFile, path: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file of root to an archive."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.size, info.mode, info.mtime = len(content), mode, int(time.time())
    archive.addfile(info, io.BytesIO(content))


def add_link(archive: tarfile.TarFile, path: str, target: str) -> None:
    """Add a symbolic link to an archive."""
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.linkname = tarfile.SYMTYPE, target
    archive.addfile(info)


def overlay() -> bytes:
    """Return the image's own files as an archive in which everything is root's, whoever made the clone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(OVERLAY.rglob("*")):
            if path.is_file():
                name = str(path.relative_to(OVERLAY))
                add_file(archive, name, path.read_bytes(), 0o440 if "sudoers.d" in name else 0o644)
        units = "etc/systemd/system"
        add_link(
            archive,
            f"{units}/sysinit.target.wants/testbench-shared-root.service",
            "../testbench-shared-root.service",
        )
        for unit in MASKED:
            add_link(archive, f"{units}/{unit}", "/dev/null")
    return buffer.getvalue()


def recipe() -> str:
    """Return a short name of everything that goes into an image; another recipe is another image."""
    digest = hashlib.sha256(repr((PACKAGES, MASKED, HOOKS)).encode())
    for path in sorted(OVERLAY.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(OVERLAY)).encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def name(release: str) -> str:
    """Return the image's full name for a release."""
    return f"localhost/{PREFIX}-host:{release}-{recipe()}"


def build(release: str) -> None:
    """Build the image of one release."""
    started = time.monotonic()
    work = CACHE / "images"
    work.mkdir(parents=True, exist_ok=True)
    root, extra = work / f"{release}.tar", work / f"{release}-overlay.tar"
    try:
        extra.write_bytes(overlay())
        hooks = [f"--customize-hook={hook.replace('{overlay}', str(extra))}" for hook in HOOKS]
        run(
            as_root(
                [
                    "mmdebstrap",
                    "--variant=minbase",
                    f"--include={','.join(PACKAGES)}",
                    *hooks,
                    release,
                    str(root),
                ]
            )
        )
        podman("import", "--change", 'CMD ["/lib/systemd/systemd"]', str(root), name(release))
    finally:
        for path in (root, extra):
            run(as_root(["rm", "-f", str(path)]))
    say(f"  {release}: image built in {duration(time.monotonic() - started)}")


def ensure(releases: set[str]) -> None:
    """Build the images that are not there yet, side by side."""
    unknown = sorted(releases - set(RELEASES))
    if unknown:
        raise Problem(f"testbench_release is {unknown[0]!r}: the test bench builds {' and '.join(RELEASES)}.")
    missing = sorted(release for release in releases if not inspect("image", name(release)))
    if not missing:
        return
    say(f"  building the image of {' and '.join(missing)} from Debian's archive (once; about a minute)")
    with heartbeat(f"building {' and '.join(missing)}"), ThreadPoolExecutor() as pool:
        list(pool.map(build, missing))


def remove_all() -> None:
    """Remove every image that the test bench built, of this recipe or an earlier one."""
    listed = podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.decode().split()
    ours = [image for image in listed if image.startswith(f"localhost/{PREFIX}-host:")]
    if ours:
        podman("rmi", *ours)
    say(f"  {len(ours)} image(s) removed")
