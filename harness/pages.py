"""Larger pages for a process that is forked often: a fork copies one table entry per page that the process has written.

A launcher with torch has written 200 MB: 50,000 pages of 4 kB, or 100 of 2 MB. What a fork writes is still copied 4 kB at a time.
Source: man 2 madvise, MADV_COLLAPSE (Linux 6.1); an older kernel refuses, and a fork costs what it costs.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

_MADV_COLLAPSE = 25  # linux/mman.h
_HUGE_BYTES = 2 << 20


def collapse_pages() -> None:
    """Gather the heap and the anonymous memory of this process in pages of 2 MB, where they are long enough."""
    madvise = ctypes.CDLL(None).madvise
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, rights, _, _, inode, *name = line.split(maxsplit=5)  # man 5 proc_pid_maps
        if rights != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        start, end = (int(bound, 16) for bound in span.split("-"))
        first = -(-start // _HUGE_BYTES) * _HUGE_BYTES
        size = end // _HUGE_BYTES * _HUGE_BYTES - first
        if size > 0:
            madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), _MADV_COLLAPSE)
