"""Where working copies lie: in memory where there is room, else on disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from harness import workspace
from harness.workspace import Workspace, make_scratch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("why", ["too small", "missing"])
def test_scratch_is_on_disk_where_memory_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setenv("TMPDIR", str(disk))
    monkeypatch.setattr(workspace.tempfile, "tempdir", None)
    monkeypatch.setattr(workspace, "_SHARED_MEMORY", memory)
    if why == "too small":
        memory.mkdir()
        monkeypatch.setattr(workspace, "_ROOM_BYTES", shutil.disk_usage(memory).free + (1 << 40))
    scratch = make_scratch()
    assert scratch.parent == disk
    with Workspace(scratch, {"train.py": b"pass"}) as space:
        assert (space.work / "train.py").read_bytes() == b"pass"
    assert not any(scratch.iterdir())


def test_scratch_is_in_memory_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(workspace, "_ROOM_BYTES", 0)
    assert make_scratch().parent == tmp_path
