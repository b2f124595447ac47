"""Disks that are full, read-only, fail or lie on a network; ledgers and objects that are damaged."""

from __future__ import annotations

import random
import re
import resource
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.faults.campaigns import command, differences, facts, run, slow_learner
from bench.faults.fault import Found, Pace
from harness.cli.search import PAUSED
from harness.disks import network_type
from harness.ledger import LEDGER_FILE, read_record
from harness.values import TrialError
from harness.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TRIALS = 3
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int n;
static int fails(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (!strstr(path, "ledger.db-wal")) return 0;
  return ++n >= atoi(getenv("FAIL_AT"));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
  if (!fails(fd)) return real(fd, data, size, at);
  if (n % 2) { real(fd, data, size / 2, at); }
  errno = EIO;
  return -1;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return pwrite64(fd, data, size, at); }
"""


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory; `unshare -m` around this process keeps it from everybody else."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def _is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


def _refused(done: subprocess.CompletedProcess[str], where: str) -> list[str]:
    if done.returncode == 1 and _is_one_line(done.stderr):
        return []
    return [f"{where}: ended as {done.returncode}: {done.stderr[-300:]!r}"]


def nearly_full(folder: Path, _: Pace) -> Found:
    """Begin on a disk of 3 MB: the campaign pauses, says why, and goes on when there is room."""
    target, violations = slow_learner(folder / "target"), list[str]()
    if run(command(target, folder / "whole", trials=_TRIALS)).returncode:
        return Found("nothing", ["the campaign failed without any fault"])
    with _mounted(folder / "disk", "size=3m") as disk:
        line = command(target, disk / "c", trials=_TRIALS)
        done = run(line)
        if done.returncode != PAUSED or "paused: " not in done.stdout:
            violations.append(f"it did not pause: {done.returncode} {done.stdout[-200:]} {done.stderr[-200:]}")
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        done = run(line)
        if done.returncode or (differing := differences(facts(folder / "whole"), facts(disk / "c"))):
            violations.append(f"with room it ended as {done.returncode}; {done.stderr[-200:] or differing} differ")
    return Found("3 MB, then 200", violations)


def full(folder: Path, pace: Pace) -> Found:
    """Fill a disk under the ledger and the objects at several sizes: one line each time, nothing lost, and it goes on with room."""
    target, violations, sizes = slow_learner(folder / "target"), list[str](), (60, 140, 220)
    if run(command(target, folder / "whole", trials=_TRIALS), NO_ROOM="0").returncode:
        return Found("nothing", ["the campaign failed without any fault"])
    n_failed = 0
    for size in sizes:
        if violations and pace.is_control:
            break
        with _mounted(folder / f"disk{size}", f"size={size}k") as disk:
            line = command(target, disk / "c", trials=_TRIALS)
            done = run(line, NO_ROOM="0")
            if done.returncode:
                n_failed += 1
                violations += _refused(done, f"{size} kB")
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            violations += _same_in_the_end(line, folder / "whole", disk / "c", f"{size} kB")
    return Found(
        f"{len(sizes)} sizes, {n_failed} of them too small", violations or ([] if n_failed else ["none was full"])
    )


def _same_in_the_end(line: list[str], whole: Path, out: Path, where: str) -> list[str]:
    done = run(line, NO_ROOM="0")
    if done.returncode:
        return [f"{where}: with room it ended as {done.returncode}: {done.stderr[-300:]}"]
    differing = differences(facts(whole), facts(out))
    faults = [fault for check in verify(out, rescores=False) for fault in check.faults]
    return [f"{where}: {differing} differ"] * bool(differing) + faults[:1]


def too_large(folder: Path, pace: Pace) -> Found:
    """Let no file grow beyond a size, so that writes to the ledger fail half-way."""
    target, violations, n_failed, sizes = (
        slow_learner(folder / "target"),
        list[str](),
        0,
        (30_000, 60_000, 90_000),
    )
    if run(command(target, folder / "whole", trials=_TRIALS)).returncode:
        return Found("nothing", ["the campaign failed without any fault"])
    for size in sizes:
        if violations and pace.is_control:
            break
        line = command(target, folder / f"c{size}", trials=_TRIALS)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            done = run(line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if done.returncode:
            n_failed += 1
            violations += _refused(done, f"{size} bytes")
        violations += _same_in_the_end(line, folder / "whole", folder / f"c{size}", f"{size} bytes")
    return Found(
        f"{len(sizes)} sizes, {n_failed} of them too small", violations or ([] if n_failed else ["none failed"])
    )


def failing(folder: Path, pace: Pace) -> Found:
    """Let writes to the ledger fail with EIO from the k-th on, half of them after half of the data."""
    source, shim = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    target, violations, n_failed, places = slow_learner(folder / "target"), list[str](), 0, (3, 8, 16, 31)
    if run(command(target, folder / "whole", trials=_TRIALS)).returncode:
        return Found("nothing", ["the campaign failed without any fault"])
    for k in places:
        if violations and pace.is_control:
            break
        line = command(target, folder / f"c{k}", trials=_TRIALS)
        done = run(line, LD_PRELOAD=str(shim), FAIL_AT=str(k))
        if done.returncode:
            n_failed += 1
            violations += _refused(done, f"write {k}")
        violations += _same_in_the_end(line, folder / "whole", folder / f"c{k}", f"write {k}")
    return Found(f"{len(places)} places, {n_failed} reached", violations or ([] if n_failed else ["none failed"]))


def read_only(folder: Path, _: Pace) -> Found:
    """Begin, and go on, in a folder that cannot be written."""
    target, violations = slow_learner(folder / "target"), list[str]()
    with _mounted(folder / "disk", "size=200m") as disk:
        line = command(target, disk / "c", trials=1)
        if run(line).returncode:
            return Found("nothing", ["the campaign failed without any fault"])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for out in ("c", "d"):
            violations += _refused(run(command(target, disk / out, trials=1)), out)
    return Found("an old and a new campaign", violations)


def on_a_network(folder: Path, _: Pace) -> Found:
    """Say of mount tables which are of disks that a write-ahead log does not work on; none can be mounted here."""
    table = "36 25 {device} / /home rw,relatime shared:1 - {kind} server:/home rw\n"
    kinds = (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "fuse.sshfs",
        "ceph",
        "lustre",
        "ext4",
        "tmpfs",
        "xfs",
        "fuse.gocryptfs",
    )
    found = [kind for kind in kinds if network_type("0:44", table.format(device="0:44", kind=kind))]
    violations = [] if found == [*kinds[:8]] else [f"network file systems are {', '.join(found)}"]
    if network_type("8:1", table.format(device="0:44", kind="nfs")):
        violations.append("a local disk counts as another's")
    (folder / "c").mkdir()
    return Found(f"{len(kinds)} mount tables", violations)


def damaged(folder: Path, pace: Pace) -> Found:
    """Flip bits, cut and delete files of a finished campaign: `codegraft verify` finds each, or nothing has changed."""
    target, whole, copy = slow_learner(folder / "target"), folder / "whole", folder / "copy"
    if run(command(target, whole, trials=_TRIALS)).returncode:
        return Found("nothing", ["the campaign failed without any fault"])
    rng, record, violations, n_found = random.Random(0), read_record(whole), list[str](), 0
    for number in range(pace.damages):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("campaign.lock", "*-shm", "*-wal"))
        files = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size)
        path = copy / LEDGER_FILE if number % 2 or pace.is_control else rng.choice(files)
        said = f"{path.relative_to(copy)}: {_damage(path, rng)}"
        try:
            faults = [fault for check in verify(copy, rescores=False) for fault in check.faults]
        except Exception as error:  # noqa: BLE001 - that none is raised is what is tested
            violations.append(f"{said}: raised {error!r}")
            continue
        n_found += bool(faults)
        if not faults and not _reads_as(copy, record):
            violations.append(f"{said}: not found")
        if violations and pace.is_control:
            break
    return Found(f"{pace.damages} damages, {n_found} found, the others changed nothing", violations)


def _reads_as(folder: Path, record: object) -> bool:
    try:
        return read_record(folder) == record
    except TrialError:
        return False


def _damage(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    digits = [match.end() - 1 for match in re.finditer(rb'"(?:wall_s|cpu_s)": \d+\.\d', data)]
    how = rng.choice(("flip", "flip", "cut", "delete", "digit", "digit"))
    if how == "digit" and digits:
        at = rng.choice(digits)
        data[at] ^= 1  # another digit: the JSON stays whole
        path.write_bytes(data)
        return f"{how} at {at}"
    at = rng.randrange(len(data))
    if how == "cut":
        path.write_bytes(data[:at])
    elif how == "delete":
        path.unlink()
    else:
        data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    return f"{how} at {at}"
