"""Whether new calls fit what they call: functions and classes of the sources as they are after the edit, and libraries as recorded."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from graph.model import EdgeKind, NodeKind
from graph.syntax import BindingKind
from graph.units import FUNCTIONS
from mutator.chunks import read_code
from mutator.layout import whole_statement
from mutator.signatures import binding_error, signature_from, signature_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from inspect import Signature

    from graph.code_graph import CodeGraph
    from graph.model import Node
    from mutator.chunks import Chunk

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_TRANSPARENT = ("torch.", "functools.", "builtins.")  # decorators that keep the signature


def misfits(graph: CodeGraph, chunks: Sequence[Chunk]) -> Iterator[str]:
    """Walk what is wrong with the calls that the chunks did not hold before: `SGD(...): takes no betas`."""
    changed = _Changed(graph, chunks)
    for chunk in chunks:
        for call in new_calls(chunk.old, chunk.new):
            signature = changed.signature(chunk.path, ast.unparse(call.func))
            error = _error(signature, call) if signature is not None else None
            if error:
                yield f"{ast.unparse(call.func)}(...): {error}"


def new_calls(old: bytes, new: bytes) -> list[ast.Call]:
    """Return the calls of names of the module that new code holds and old code does not."""
    before = Counter(dump for dump, _ in _module_calls(old))
    found = []
    for dump, call in _module_calls(new):
        if before[dump]:
            before[dump] -= 1
        else:
            found.append(call)
    return found


@lru_cache(maxsize=2048)
def _module_calls(code: bytes) -> tuple[tuple[str, ast.Call], ...]:
    """Return the calls of what is reached by a dotted name that no function around them binds."""
    return tuple((ast.dump(call), call) for call in _reached(read_code(code).tree, frozenset()))


def _reached(node: ast.AST, local: frozenset[str]) -> Iterator[ast.Call]:
    if isinstance(node, (*FUNCTIONS, ast.Lambda)):
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        statements = [n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))]
        imported = {(alias.asname or alias.name).partition(".")[0] for n in statements for alias in n.names}
        local = local | names | imported | {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    if isinstance(node, ast.Call) and (root := _root(node.func)) and root not in local:
        yield node
    for child in ast.iter_child_nodes(node):
        yield from _reached(child, local)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _error(signature: Signature, call: ast.Call) -> str | None:
    starred = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
    n_positional = sum(not isinstance(a, ast.Starred) for a in call.args)
    return binding_error(signature, n_positional, [k.arg for k in call.keywords if k.arg is not None], starred=starred)


@dataclass(frozen=True, slots=True)
class _Changed:
    """The sources after an edit, as far as calls ask about them."""

    graph: CodeGraph
    chunks: Sequence[Chunk]

    def signature(self, path: str, written: str) -> Signature | None:
        """Return the signature of what a dotted name of a file's module leads to; None where nobody can tell."""
        root, _, rest = written.partition(".")
        file = self.graph.files[path]
        found = file.scopes[file.module].bindings.get(root, ()) if file.module in file.scopes else ()
        if not found and not rest:
            return self._new(path, root)
        if len(found) != 1:
            return None
        if found[0].kind is BindingKind.IMPORT:
            return self._imported(".".join(filter(None, (found[0].target, rest))))
        return self._of_slot(found[0].slot) if not rest else None

    def _imported(self, target: str) -> Signature | None:
        parts = target.split(".")
        for i in range(len(parts) - 1, 0, -1):
            slot = f"{'.'.join(parts[:i])}:{'.'.join(parts[i:])}"
            if slot in self.graph.nodes:
                return self._of_slot(slot)
        return signature_of(target)

    def _of_slot(self, slot: str) -> Signature | None:
        """Return what a function takes, or the constructor that a class states itself."""
        node = self.graph.nodes[slot]
        around = self.graph.sources(slot, EdgeKind.DECORATES)
        written = [c for c in whole_statement(self.graph, node).children if c.type == "decorator"] if node.path else []
        if len(written) != len(around) or any(not path.startswith(_TRANSPARENT) for path in around):
            return None
        if node.kind is NodeKind.FUNCTION and node.path:
            return _signature(self._definition(node), bound="builtins.classmethod" in around)
        constructor = self.graph.nodes.get(f"{slot}.__init__")
        if node.kind is not NodeKind.CLASS or constructor is None or around:
            return None
        return _signature(self._definition(constructor), bound=True)

    def _definition(self, node: Node) -> _Function | None:
        """Return a function as it is after the edit."""
        data = self.graph.snapshot.files[node.path]
        for chunk in self.chunks:
            if chunk.path == node.path and chunk.shift <= node.start < chunk.shift + len(chunk.old):
                return _find(chunk.new, node.label)
        return _find(b"if 1:\n " + data[node.start : node.end] + b"\n", node.label)

    def _new(self, path: str, name: str) -> Signature | None:
        """Return the signature of a function that the edit adds to a module."""
        codes = (chunk.new for chunk in self.chunks if chunk.path == path and not chunk.member)
        found = (_find(code, name) for code in codes if name.encode() in code)
        return _signature(next((f for f in found if f is not None and not f.decorator_list), None), bound=False)


@lru_cache(maxsize=1024)
def _find(code: bytes, name: str) -> _Function | None:
    try:
        nodes = list(ast.walk(read_code(code).tree))
    except SyntaxError:
        return None
    return next((n for n in nodes if isinstance(n, FUNCTIONS) and n.name == name), None)


def _signature(function: _Function | None, *, bound: bool) -> Signature | None:
    return signature_from(function, bound=bound) if function is not None else None
