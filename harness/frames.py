"""Arrays over a socket: what the scorer and a predictor say to each other.

A frame is a 4-byte little-endian length, a JSON header `{"dtype": ..., "shape": ...}` of that length, and the raw bytes.
Nothing is unpickled and the peer is not trusted: what it sends is an array of a known type and bounded size, or a
FrameError.
"""

from __future__ import annotations

import json
import struct
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import socket

    from numpy.typing import NDArray

DTYPES = frozenset(
    {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}
)
MAX_BYTES = 1 << 30  # of one array: 4096 sequences of 256 positions over 256 classes in float32
_MAX_HEADER = 1024  # bytes
_MAX_DIMENSIONS = 8
_LENGTH = struct.Struct("<I")


class FrameError(Exception):
    """The peer sent something that is no frame, or cannot be sent one."""


class CutOff(FrameError):
    """The peer was gone before the end of a frame."""


def send_array(channel: socket.socket, array: NDArray[Any]) -> None:
    """Send one array.

    Raises: FrameError: the array's type or size has no frame. OSError: the peer is gone.
    """
    shape, dtype = array.shape, array.dtype.name
    _check(dtype, shape)
    header = json.dumps({"dtype": dtype, "shape": shape}).encode()
    channel.sendall(_LENGTH.pack(len(header)) + header)
    channel.sendall(np.ascontiguousarray(array, dtype=dtype).data if array.size else b"")  # by name: native byte order


def receive_array(channel: socket.socket) -> NDArray[Any] | None:
    """Receive one array that the caller owns, or None when the peer has closed the channel between two frames.

    Raises: FrameError: what arrived is no frame. OSError: the channel broke.
    """
    first = channel.recv(1)
    if not first:
        return None
    (length,) = _LENGTH.unpack(first + _receive(channel, _LENGTH.size - 1))
    if length > _MAX_HEADER:
        raise FrameError(f"frame header has {length} bytes; at most {_MAX_HEADER} are read")
    dtype, shape = _parse_header(bytes(_receive(channel, length)))
    data = _receive(channel, _check(dtype, shape))
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _parse_header(header: bytes) -> tuple[str, tuple[int, ...]]:
    try:
        body = json.loads(header)
        dtype, shape = body["dtype"], body["shape"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FrameError(f"frame header is {header[:80]!r}; send dtype and shape as JSON") from error
    if not (isinstance(dtype, str) and isinstance(shape, list) and all(type(size) is int for size in shape)):
        raise FrameError(f"frame header is {header[:80]!r}; send dtype as text and shape as a list of integers")
    return dtype, tuple(shape)


def _check(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the bytes of an array of that type and shape, if it may be in a frame."""
    if dtype not in DTYPES:
        raise FrameError(f"dtype is {dtype[:40]!r}; send one of {', '.join(sorted(DTYPES))}")
    if len(shape) > _MAX_DIMENSIONS or any(size < 0 for size in shape):
        raise FrameError(f"shape is {shape[:9]}; send at most {_MAX_DIMENSIONS} sizes of at least 0")
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    if n_bytes > MAX_BYTES:
        raise FrameError(f"array {shape} of {dtype} has {n_bytes} bytes; send at most {MAX_BYTES}")
    return n_bytes


def _receive(channel: socket.socket, n_bytes: int) -> bytearray:
    data = bytearray(n_bytes)
    view = memoryview(data)
    while view:
        n_read = channel.recv_into(view)
        if n_read == 0:
            raise CutOff(f"channel closed {len(view)} bytes before the end of a frame")
        view = view[n_read:]
    return data
