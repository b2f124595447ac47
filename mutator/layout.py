"""Where statements stand: their lines, their indentation, and how text is laid out next to them. Offsets are bytes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.model import NodeKind
from graph.syntax import parts
from mutator.kind import Reason, Refused

if TYPE_CHECKING:
    from tree_sitter import Node as SyntaxNode

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from graph.syntax import FileSyntax

BOM = b"\xef\xbb\xbf"
_LEVEL = 4  # spaces a level in the text of intents
_DEFINITIONS = ("function_definition", "class_definition", "decorated_definition")
_STRING = re.compile(r"""(?<!")"([^"'\\\n]*)"(?!")""")
_SINGLE, _DOUBLE = re.compile(rb"'[^'\"\n]*'"), re.compile(rb'"[^"\'\n]*"')
_COMPOUND = (*_DEFINITIONS, "if_statement", "for_statement", "while_statement", "with_statement", "try_statement")
_IMPORTS = ("import_statement", "import_from_statement", "future_import_statement")


@lru_cache(maxsize=256)
def newline_of(data: bytes) -> str:
    r"""Return how the lines of a file end: "\r\n" where any does, else "\n"."""
    return "\r\n" if b"\r\n" in data else "\n"


def indent_unit(file: FileSyntax) -> str:
    """Return what the first block of a file is indented by; four spaces where there is none."""
    pending = [file.tree.root_node]
    while pending:
        node = pending.pop(0)
        if node.type == "block" and node.parent is not None and node.start_point[0] > node.parent.start_point[0]:
            outer, inner = (_indent_at(file.data, n.start_byte) for n in (node.parent, node))
            return inner.removeprefix(outer) or " " * _LEVEL
        pending = [*node.children, *pending] if node.type in ("block", "module", *_COMPOUND) else pending
    return " " * _LEVEL


def _indent_at(data: bytes, position: int) -> str:
    line = data[line_start(data, position) : position].decode()
    return line[: len(line) - len(line.lstrip(" \t"))]


def laid_out(text: str, file: FileSyntax, indent: str) -> list[str]:
    """Return the lines of a statement's text at an indentation, in the file's indent unit and quotes; the first one too."""
    unit = indent_unit(file)
    lines = []
    for line in (_STRING.sub(r"'\1'", text) if _prefers_single(file.data) else text).split("\n"):
        bare = line.lstrip(" ")
        levels, rest = divmod(len(line) - len(bare), _LEVEL)
        lines.append(f"{indent}{unit * levels}{' ' * rest}{bare}" if bare else "")
    return lines


@lru_cache(maxsize=256)
def _prefers_single(data: bytes) -> bool:
    """Whether most strings of a file are in single quotes."""
    return len(_SINGLE.findall(data)) > len(_DOUBLE.findall(data))


def whole_statement(graph: CodeGraph, node: Node) -> SyntaxNode:
    """Return the syntax of a statement or definition with its block and its decorators."""
    found = graph.files[node.path].tree.root_node.descendant_for_byte_range(node.start, node.end)
    if found is None:  # a node of the graph stands on syntax
        raise ValueError(node.slot)
    if node.kind in (NodeKind.FUNCTION, NodeKind.CLASS):
        while found.type not in _DEFINITIONS and found.parent is not None:
            found = found.parent
    while (
        found.parent is not None
        and found.parent.type not in ("block", "module")
        and (found.parent.start_byte == found.start_byte or found.parent.type == "decorated_definition")
    ):
        found = found.parent
    return found


def indent_of(graph: CodeGraph, statement: SyntaxNode, node: Node) -> str:
    """Return the indentation of a statement that starts its line.

    Raises: Refused: it shares its line with another.
    """
    data = graph.snapshot.files[node.path]
    start = line_start(data, statement.start_byte)
    indent = data[start : statement.start_byte].removeprefix(BOM if not start else b"").decode()
    if indent.strip():
        raise _shared(node)
    return indent


def lines_of(graph: CodeGraph, statement: SyntaxNode, node: Node) -> tuple[int, int]:
    """Return where the lines of a statement start and end: with its block, its trailing comment and the line break.

    Raises: Refused: it shares a line with another.
    """
    data = graph.snapshot.files[node.path]
    indent_of(graph, statement, node)
    end = line_end(data, statement.end_byte)
    between = data[statement.end_byte : end].strip()
    if between and not between.startswith(b"#"):
        raise _shared(node)
    start = line_start(data, statement.start_byte)
    return start + (len(BOM) if not start and data.startswith(BOM) else 0), end


def line_start(data: bytes, position: int) -> int:
    """Return where the line of a position starts."""
    return data.rfind(b"\n", 0, position) + 1


def line_end(data: bytes, position: int) -> int:
    """Return where the line of a position ends, behind its line break."""
    found = data.find(b"\n", position)
    return len(data) if found < 0 else found + 1


def import_position(file: FileSyntax, module: str) -> int:
    """Return where a person would put an import: behind the last of its package, else of all before any definition, else on top."""
    root = module.partition(".")[0].encode()
    position = len(BOM) if file.data.startswith(BOM) else 0
    last = related = 0
    for index, child in enumerate(parts(file.tree.root_node)):
        if child.type in _DEFINITIONS:
            break
        if child.type in _IMPORTS and b";" not in file.data[child.end_byte : line_end(file.data, child.end_byte)]:
            last = line_end(file.data, child.end_byte)
            words = re.split(rb"[\s.]+", child.text or b"", maxsplit=2)
            related = last if words[1:2] == [root] else related
        elif index == 0 and child.type == "expression_statement" and child.named_children[0].type == "string":
            position = line_end(file.data, child.end_byte)
    return related or last or position


def _shared(node: Node) -> Refused:
    return Refused(
        Reason.SHARED_LINE, f"{node.slot}: shares its line with another statement; give it a line of its own"
    )
