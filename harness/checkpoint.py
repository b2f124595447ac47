"""What a checkpoint may be: a file of plain numbers, read here no further than its header, before a predictor opens it.

Two formats, told by the name that the manifest gives: `.safetensors` and `.npy`. Neither holds code unless it is crafted to (an .npy
of objects is a pickle), so what does not parse as the one that it should be is refused, by name. Bounds come before reads: a header
that claims 100 GB costs nothing. Whether the numbers fit the model is the predictor's to find out.

The third is `.pt2` of the tier exported, a zip archive of torch.export: a graph of operators as JSON, and weights. Its members must be
those that torch.export.save writes for plain tensors, stored and not compressed, so that none leads elsewhere, grows when it is read or
is one of the two kinds that torch unpickles. What is left to torch's own loader runs in the predictor's sandbox.

Source: github.com/huggingface/safetensors, README, "Format"; numpy.lib.format; torch.export.pt2_archive.constants (torch 2.13).
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_MAX_HEADER = 16 << 20  # bytes: 100,000 tensors
_MAX_DIMENSIONS = 32
_ITEM_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
}
_ITEM_BITS |= {"U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64}
_ITEM_BITS |= dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8)
_MAX_MEMBERS = 100_000
_MEMBER = re.compile(
    r"[\w.-]+/(archive_format|archive_version|byteorder|\.data/(version|serialization_id|alignment)"
    r"|models/[\w-]+\.json|data/sample_inputs/[\w-]+\.pt"
    r"|data/weights/(weight_\d+|[\w-]+\.json)|data/constants/(tensor_\d+|[\w-]+\.json))"
)
_FOREIGN = {b"PK\x03\x04": "a zip archive, as torch.save writes one", b"\x80": "a pickle", b"\x93NUMPY": "an .npy file"}


class _Refused(Exception):
    """What is wrong with a checkpoint."""


def checkpoint_fault(path: Path) -> str:
    """Say why a checkpoint is not what its name says; empty when it is.

    Raises: OSError: it cannot be read.
    """
    read = {".safetensors": _read_safetensors, ".npy": _read_npy, ".pt2": _read_archive}[path.suffix]
    with path.open("rb") as file:
        try:
            read(file, path.stat().st_size)
        except _Refused as refused:
            file.seek(0)
            first = file.read(8)
            found = (what for magic, what in _FOREIGN.items() if first.startswith(magic) and read is not _read_archive)
            looks = "".join(f", it looks like {what}" for what in found)
            return f"checkpoint refused: {path.name} is no {path.suffix} file{looks}: {refused}"
    return ""


def _read_safetensors(file: BinaryIO, n_bytes: int) -> None:
    """Check the length, the header, and that the tensors fill the rest without gap or overlap."""
    first = file.read(8)
    if len(first) < 8:
        raise _Refused(f"it has {n_bytes} bytes")
    (length,) = struct.unpack("<Q", first)
    if length > min(_MAX_HEADER, n_bytes - 8):
        raise _Refused(f"its header claims {length} bytes of {n_bytes}; at most {_MAX_HEADER} are read")
    header = _parse_header(file.read(length))
    end = 0
    for name, tensor in sorted(header.items(), key=lambda item: _offsets(*item)):
        start, stop = _offsets(name, tensor)
        bits = _n_bits(name, tensor)
        if start != end or (stop - start) * 8 != bits:
            raise _Refused(
                f"tensor {name[:80]!r} has {bits} bits at {start} to {stop}; the one before it ends at {end}"
            )
        end = stop
    if end != n_bytes - 8 - length:
        raise _Refused(f"its tensors take {end} bytes, and {n_bytes - 8 - length} follow its header")


def _parse_header(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Refused("its header is no JSON") from error
    if not isinstance(header, dict):
        raise _Refused("its header is no JSON object")
    header.pop("__metadata__", None)
    return header


def _offsets(name: str, tensor: Any) -> tuple[int, int]:  # noqa: ANN401 - what JSON says
    match tensor:
        case {"data_offsets": [int(start), int(stop)]} if 0 <= start <= stop:
            return start, stop
    raise _Refused(f"tensor {name[:80]!r} says no data_offsets from 0 up")


def _n_bits(name: str, tensor: Any) -> int:  # noqa: ANN401 - what JSON says
    match tensor:
        case {"dtype": str(dtype), "shape": [*shape]} if dtype in _ITEM_BITS and len(shape) <= _MAX_DIMENSIONS:
            if all(type(size) is int and size >= 0 for size in shape):
                n_bits: int = prod(shape) * _ITEM_BITS[dtype]
                return n_bits
    raise _Refused(f"tensor {name[:80]!r} says no dtype of numbers, or no shape of whole numbers")


def _read_npy(file: BinaryIO, n_bytes: int) -> None:
    """Check the header, that it is of numbers, and the length."""
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    except (ValueError, RecursionError, MemoryError, SyntaxError) as error:
        raise _Refused(" ".join(str(error).split())[:200]) from error
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biufc":
        raise _Refused(f"it holds {dtype}, and only numbers are read")
    if file.tell() + prod(shape) * dtype.itemsize != n_bytes:
        raise _Refused(f"an array {shape} of {dtype} does not have {n_bytes - file.tell()} bytes")


def _read_archive(file: BinaryIO, n_bytes: int) -> None:
    """Check the names and sizes of the members; nothing is taken out."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OverflowError, struct.error) as error:
        raise _Refused(f"it is no zip archive ({' '.join(str(error).split())[:100]})") from error
    if len(members) > _MAX_MEMBERS:
        raise _Refused(f"it has {len(members)} members; at most {_MAX_MEMBERS} are read")
    for member in members:
        if not _MEMBER.fullmatch(member.filename) or ".." in member.filename:
            raise _Refused(
                f"its member {member.filename[:80]!r} is none that torch.export.save writes for plain tensors"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise _Refused(f"its member {member.filename[:80]!r} is compressed; torch.export.save stores")
    if sum(member.file_size for member in members) > n_bytes:
        raise _Refused(f"its members claim more than its {n_bytes} bytes")
    if not any(member.filename.endswith("/archive_format") for member in members):
        raise _Refused("it has no member archive_format")
