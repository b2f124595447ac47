"""Which disk a folder lies on: SQLite's write-ahead log needs memory that all its readers share, which network file systems do not give."""

from __future__ import annotations

import os
from pathlib import Path

# man 5 proc_pid_mountinfo: the type after the dash. FUSE is local for most (encryption, NTFS); the named ones are not.
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs", "ncpfs", "coda"}
    | {f"fuse.{name}" for name in ("sshfs", "rclone", "s3fs", "gcsfuse", "glusterfs", "juicefs", "cephfs", "davfs2")}
)


def network_of(folder: Path) -> str:
    """Name the network file system that a folder lies on; empty when it is local, or nothing is known."""
    try:
        device = folder.stat().st_dev
        return network_type(f"{os.major(device)}:{os.minor(device)}", Path("/proc/self/mountinfo").read_text())
    except OSError:
        return ""


def network_type(device: str, mounts: str) -> str:
    """Find a device, as major:minor, in the table of mounts; its type when that is a network file system, else nothing."""
    for line in mounts.splitlines():
        place, _, what = line.partition(" - ")
        if place.split()[2:3] == [device] and (kind := what.partition(" ")[0]) in _NETWORK:
            return kind
    return ""
