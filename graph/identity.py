"""Which node of one graph is which node of another: keys that survive edits elsewhere, and a map per edit.

The key of a statement is its scope, a digest of its own text and, where the same text stands in a scope several times, its ordinal
there. Inserting, moving or editing other statements leaves it alone; a line number or a path of child indices would not (kept for
54-76 % of the unchanged statements of real commits). What stands in a statement is named by the statement's key and its place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.model import NodeKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from graph.syntax import FileSyntax

_NAMED = (
    NodeKind.MODULE,
    NodeKind.CLASS,
    NodeKind.FUNCTION,
    NodeKind.PARAMETER,
    NodeKind.ATTRIBUTE,
    NodeKind.VARIABLE,
    NodeKind.ERROR,
)


@dataclass(frozen=True, slots=True)
class KeyMap:
    """What became of the nodes of one graph in another, by slot."""

    kept: Mapping[str, str]  # slot before -> slot after; most are equal
    died: tuple[str, ...]
    born: tuple[str, ...]


def statement_keys(file: FileSyntax) -> dict[str, Node]:
    """Return the statements of a file by key."""
    return {key: node for key, node in node_keys(file).items() if node.kind is NodeKind.STATEMENT}


def node_keys(file: FileSyntax) -> dict[str, Node]:
    """Return all nodes of a file by key: definitions by name, everything else by scope, content and ordinal."""
    ordinals: Counter[str] = Counter()
    keys: dict[str, Node] = {}
    for node in file.nodes:
        if node.kind in _NAMED:
            keys[node.slot] = node
            continue
        name = f"{node.scope}#{node.kind.value}.{node.anchor}"
        keys[f"{name}.{ordinals[name]}" if ordinals[name] else name] = node
        ordinals[name] += 1
    return keys


def key_map(before: CodeGraph, after: CodeGraph) -> KeyMap:
    """Follow the nodes of one graph to another; files that are the same object are not looked at."""
    kept: dict[str, str] = {}
    died: list[str] = []
    born: list[str] = []
    for path in sorted(before.files.keys() | after.files.keys()):
        old, new = before.files.get(path), after.files.get(path)
        if old is new:
            continue
        old_keys = node_keys(old) if old is not None else {}
        new_keys = node_keys(new) if new is not None else {}
        kept.update({node.slot: new_keys[key].slot for key, node in old_keys.items() if key in new_keys})
        died += [node.slot for key, node in old_keys.items() if key not in new_keys]
        born += [node.slot for key, node in new_keys.items() if key not in old_keys]
    return KeyMap(kept, tuple(died), tuple(born))
