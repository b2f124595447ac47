"""A checkpoint is plain numbers or it is refused by name, whatever its name says, and no code in it ever runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from harness.checkpoint import checkpoint_fault

TENSORS = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros(0, np.int64),
    "s": np.array(2.0, np.float16),
}
WHOLE = save(TENSORS)


class Bomb:
    """Says in a file that it was unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def fault(folder: Path, name: str, data: bytes) -> str:
    (folder / name).write_bytes(data)
    return checkpoint_fault(folder / name)


def crafted(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def as_npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def test_what_safetensors_writes_is_read(tmp_path: Path) -> None:
    assert fault(tmp_path, "m.safetensors", WHOLE) == ""
    assert fault(tmp_path, "m.safetensors", save({})) == ""
    assert fault(tmp_path, "m.safetensors", save(TENSORS, metadata={"format": "pt"})) == ""
    assert load(WHOLE).keys() == TENSORS.keys()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "uint64", "float16", "float64"])
def test_every_type_of_numbers_is_read(tmp_path: Path, dtype: str) -> None:
    assert fault(tmp_path, "m.safetensors", save({"w": np.ones((3, 5), dtype)})) == ""
    assert fault(tmp_path, "m.npy", as_npy(np.ones((3, 5), dtype))) == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (WHOLE[:-1], "tensors take"),
        (WHOLE + b"\0", "tensors take"),
        (WHOLE[:5], "it has 5 bytes"),
        (WHOLE[:20], "header claims"),
        (struct.pack("<Q", 100 << 30) + b"{}", "header claims 107374182400 bytes"),
        (struct.pack("<Q", (1 << 64) - 1), "header claims"),
        (crafted(b"\xff\xfe"), "no JSON"),
        (crafted(b"[" * 100_000), "no JSON"),
        (crafted([1]), "no JSON object"),
        (crafted({"w": 3}), "no data_offsets"),
        (crafted({"w": tensor(offsets=[0.0, 4.0])}, bytes(4)), "no data_offsets"),
        (crafted({"w": tensor(offsets=[4, 0])}, bytes(4)), "no data_offsets"),
        (crafted({"w": tensor(offsets=[-4, 0])}, bytes(4)), "no data_offsets"),
        (crafted({"w": tensor(offsets=[0, 100 << 30])}, bytes(4)), "has 32 bits at 0 to 107374182400"),
        (crafted({"w": tensor(shape=[1 << 40, 1 << 40])}, bytes(4)), "bits at 0 to 4"),
        (crafted({"w": tensor(shape=[-1, -1])}, bytes(4)), "no shape of whole numbers"),
        (crafted({"w": tensor(shape=[True])}, bytes(4)), "no shape of whole numbers"),
        (crafted({"w": tensor(shape=[1] * 60)}, bytes(4)), "no dtype of numbers"),
        (crafted({"w": tensor(dtype="object")}, bytes(4)), "no dtype of numbers"),
        (crafted({"w": tensor(dtype=["F32"])}, bytes(4)), "no dtype of numbers"),
        (crafted({"v": tensor(), "w": tensor()}, bytes(4)), "tensor 'w' has 32 bits at 0 to 4; the one before it ends at 4"),
        (crafted({"w": tensor(offsets=[4, 8])}, bytes(8)), "the one before it ends at 0"),
        (as_npy(np.ones(3)), "looks like an .npy file"),
    ],
)  # fmt: skip
def test_what_is_no_safetensors_file_is_refused_by_name(tmp_path: Path, data: bytes, said: str) -> None:
    found = fault(tmp_path, "model.safetensors", data)
    assert found.startswith("checkpoint refused: model.safetensors is no .safetensors file")
    assert said in found


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.safetensors", "model.npy"])
def test_a_pickle_under_another_name_is_refused_and_not_run(tmp_path: Path, name: str, protocol: int) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "gone off"), protocol)
    assert "checkpoint refused" in fault(tmp_path, name, bomb)
    assert not (tmp_path / "gone off").exists()
    pickle.loads(bomb)  # the control: whoever unpickles it, runs it
    assert (tmp_path / "gone off").exists()


def test_a_zip_archive_is_refused_and_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z", "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb(tmp_path / "gone off")))
    data = (tmp_path / "z").read_bytes()
    assert "looks like a zip archive" in fault(tmp_path, "model.safetensors", data)
    assert "looks like a zip archive" in fault(tmp_path, "model.npy", data)


def test_an_npy_of_objects_is_a_pickle_and_refused(tmp_path: Path) -> None:
    bomb = as_npy(np.array([Bomb(tmp_path / "gone off")]), allow_pickle=True)
    assert "holds object, and only numbers are read" in fault(tmp_path, "model.npy", bomb)
    assert not (tmp_path / "gone off").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (as_npy(np.ones(3))[:-1], "does not have 23 bytes"),
        (as_npy(np.ones(3)) + b"x", "does not have 25 bytes"),
        (as_npy(np.array(["a"])), "only numbers"),
        (as_npy(np.zeros(1, "f4,i4")), "only numbers"),
        (as_npy(np.array(1, "M8[s]")), "only numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff" + b"{" * 65535, ""),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{", ""),
        (b"\x93NUMPY\x07\x00", ""),
        (b"", ""),
    ],
)  # fmt: skip
def test_what_is_no_npy_file_of_numbers_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    found = fault(tmp_path, "model.npy", data)
    assert found.startswith("checkpoint refused: model.npy is no .npy file")
    assert said in found
