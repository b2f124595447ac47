"""Configuration files as the graph sees them: a node per key, and the values that parsing the file gives.

JSON, TOML and YAML files of a snapshot are read like sources: nested tables are dictionaries whose cells the resolver follows, and
each key that holds a value, or a list of values, is its own origin. A file that does not parse, holds no table or is longer than a
person would write says nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import yaml

from graph.facts import EMPTY
from graph.model import Node, NodeKind
from graph.origins import SUFFIXES
from graph.syntax import FileSyntax, parse_tree
from graph.values import Tag, value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graph.values import Constraint, Value

LONGEST = 65_536  # bytes; what is longer is data
_MOST_ENTRIES = 4_000
_DEEPEST = 12  # tables inside of tables
_LONGEST_TEXT = 80  # characters; longer strings are text, not names
_LARGEST = 1_000  # larger numbers are no keys


def is_document(path: str, data: bytes) -> bool:
    """Whether a file is read as a configuration file."""
    return path.endswith(SUFFIXES) and len(data) <= LONGEST


def read_document(path: str, data: bytes) -> FileSyntax:
    """Read a configuration file; one that says nothing has no nodes."""
    reader = _Reader(path, data)
    found = _parsed(path, data)
    if isinstance(found, dict):
        reader.table(f"{path}:", "", found, _DEEPEST)
    facts = replace(EMPTY, module=path, parts=(reader.constraints,))
    return FileSyntax(path, path, data, parse_tree(b""), tuple(reader.nodes.values()), {}, {}, frozenset(), facts=facts)


def _parsed(path: str, data: bytes) -> object:
    try:
        if path.endswith(".json"):
            return json.loads(data)
        if path.endswith(".toml"):
            return tomllib.loads(data.decode())
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError):
        return None


class _Reader:
    """One walk over what a file holds, in the order of its text."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data = path, data
        self.nodes: dict[str, Node] = {}
        self.constraints: dict[Constraint, None] = {}
        self.entries = 0
        self.place = 0  # where the last key ended

    def table(self, container: str, prefix: str, held: dict[object, object], depth: int) -> None:
        """Read the keys of a table."""
        if prefix and self.path.endswith(".toml"):
            header = re.search(rb"^\s*\[+\s*" + re.escape(prefix.encode()) + rb"\s*\]", self.data, re.MULTILINE)
            self.place = header.end() if header is not None else self.place
        for key, part in ((str(key), part) for key, part in held.items() if str(key)):
            self.hold(f"{container}[key]", value(Tag.CONSTANT, repr(key)))
            self.entry(container, repr(key), f"{prefix}.{key}" if prefix else key, part, depth)

    def entry(self, container: str, key: str, label: str, part: object, depth: int) -> None:
        """Read what a key or a place of a list holds."""
        inner, cells = f"{self.path}:{label}", (f"{container}[{key}]", f"{container}[]")
        self.entries += 1
        if not depth or self.entries > _MOST_ENTRIES:
            return
        if isinstance(part, dict):
            self.hold_all(cells, [value(Tag.DICT, inner)])
            self.table(inner, label, part, depth - 1)
        elif isinstance(part, list):
            listed = any(isinstance(element, (dict, list)) for element in part)
            self.hold_all(cells, [value(Tag.LIST, inner, len(part)), *([] if listed else [self.origin(label)])])
            for place, element in enumerate(part):
                if listed:
                    self.entry(inner, str(place), f"{label}.{place}", element, depth - 1)
                else:
                    self.hold_all((f"{inner}[{place}]", f"{inner}[]"), _constants(element))
        else:
            self.hold_all(cells, [self.origin(label), *_constants(part)])

    def hold(self, cell: str, held: Value) -> None:
        """Say that a cell holds a value."""
        self.constraints[cell, held] = None

    def hold_all(self, cells: Iterable[str], values: Iterable[Value]) -> None:
        """Say that cells hold values."""
        for held in values:
            for cell in cells:
                self.hold(cell, held)

    def origin(self, label: str) -> Value:
        """Give a key its node, and return the value that says that something came from it."""
        slot, name = f"{self.path}:{label}", label.rpartition(".")[2]
        pattern = re.compile(rb"(?<![\w-])[\"']?" + re.escape(name.encode()) + rb"[\"']?\s*[:=]")
        found = pattern.search(self.data, self.place) or pattern.search(self.data)
        start, end = (found.start(), found.end() - 1) if found is not None else (0, 0)
        self.place = end
        anchor = blake2b(label.encode(), digest_size=4).hexdigest()
        self.nodes.setdefault(slot, Node(slot, NodeKind.CONFIG, self.path, start, end, "", name, anchor, "key"))
        return value(Tag.ORIGIN, slot)


def _constants(held: object) -> list[Value]:
    """Return what a scalar is as a key: a short string or a small number."""
    if isinstance(held, str) and len(held) <= _LONGEST_TEXT:
        return [value(Tag.CONSTANT, repr(held))]
    if isinstance(held, int) and not isinstance(held, bool) and 0 <= held < _LARGEST:
        return [value(Tag.CONSTANT, str(held))]
    return []
