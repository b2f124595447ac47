"""The walk over one file's tree that gives calls, operators and literals their nodes, and names their bindings and uses.

Nothing here looks at another file, so what it returns is a pure function of (path, bytes) and is reused as long as the bytes stay.
`compile()` decides whether a file is Python at all: tree-sitter accepts about 4 % of what it rejects.

Not covered: `global` and `nonlocal` bind locally, comprehension and lambda names belong to the enclosing scope.
"""

from __future__ import annotations

import builtins
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from graph.model import Node, NodeKind
from graph.roles import OPERATOR_TYPES, is_literal, operator_label, role_of, statement_label
from graph.syntax import (
    BLOCKS,
    Binding,
    BindingKind,
    FileSyntax,
    Scope,
    Use,
    descend,
    dotted,
    field_of,
    header_end,
    module_name,
    parse_tree,
    text_of,
)

if TYPE_CHECKING:
    from tree_sitter import Node as SyntaxNode

BUILTINS = frozenset(dir(builtins)) | {
    "__file__",
    "__name__",
    "__doc__",
    "__spec__",
    "__path__",
    "__class__",
    "__package__",
}
_PARSE_ONLY = 0x400  # ast.PyCF_ONLY_AST: parse, generate no code
_COMPREHENSIONS = frozenset(
    {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)
_TUPLES = frozenset({"pattern_list", "tuple_pattern", "expression_list", "tuple"})


def read_file(path: str, data: bytes) -> FileSyntax:
    """Read one file; a file that is not Python, or not UTF-8, becomes a single error node with its line and reason."""
    try:
        compile(data, path, "exec", dont_inherit=True, flags=_PARSE_ONLY)
        data.decode()
        return _Reader(path, data).read()
    except UnicodeDecodeError:
        reason = f"{path}: is not UTF-8; convert it"
    except SyntaxError as error:
        reason = f"{path}:{error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        reason = f"{path}: cannot be read ({error or 'too deeply nested'})"
    node = Node(module_name(path), NodeKind.ERROR, path, 0, len(data), "", path.rsplit("/", 1)[-1])
    return FileSyntax(path, module_name(path), data, parse_tree(b""), (node,), {}, {}, (), (), frozenset(), reason)


def _digest(*parts: str) -> str:
    return blake2b("\0".join(" ".join(part.split()) for part in parts).encode(), digest_size=4).hexdigest()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the reader stands: the scope, the node that encloses, and the statement with its anchor."""

    scope: Scope
    owner: str
    statement: str = ""
    anchor: str = ""


class _Reader:
    """One walk over one tree."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data, self.module = path, data, module_name(path)
        self.tree = parse_tree(data)
        self.nodes: dict[str, Node] = {}
        self.parents: dict[str, str] = {}
        self.scopes: dict[str, Scope] = {}
        self.calls: list[Use] = []
        self.uses: list[Use] = []
        self.ordinals: Counter[str] = Counter()
        self.in_statement: Counter[str] = Counter()
        self.star = False
        self.printed = 0  # f-strings around the place that is read

    def read(self) -> FileSyntax:
        root = self.tree.root_node
        scope = Scope(self.module, NodeKind.MODULE, "", root)
        self.scopes[self.module] = scope
        self.nodes[self.module] = Node(self.module, NodeKind.MODULE, self.path, 0, len(self.data), "", self.module)
        self.block(root, _Place(scope, self.module))
        return FileSyntax(
            self.path, self.module, self.data, self.tree, tuple(self.nodes.values()), self.parents, self.scopes, tuple(self.calls),
            tuple(self.uses), self.unbound(),
        )  # fmt: skip

    def unbound(self) -> frozenset[str]:
        names = {(use.scope, text_of(use.syntax)) for use in self.uses if use.syntax.type == "identifier"}
        return frozenset() if self.star else frozenset(name for scope, name in names if not self.bound(scope, name))

    def bound(self, scope: str, name: str) -> bool:
        first = scope
        while scope:
            found = self.scopes[scope]
            if name in found.bindings and (found.kind is not NodeKind.CLASS or scope == first):
                return True
            scope = found.parent
        return name in BUILTINS

    # --- nodes -------------------------------------------------------------------------------------------------------------------

    def add(
        self, kind: NodeKind, label: str, syntax: SyntaxNode, place: _Place, *, role: str = "", end: int | None = None
    ) -> Node:
        """Give a place in the source a node with a slot of its own."""
        name = f"{self.module}:{place.scope.slot.partition(':')[2]}/{kind.value}.{label}"
        ordinal = self.ordinals[name]
        self.ordinals[name] += 1
        slot = f"{name}.{ordinal}" if ordinal else name
        end = syntax.end_byte if end is None else end
        if kind is NodeKind.STATEMENT:
            anchor = _digest(self.data[syntax.start_byte : end].decode())
        else:
            anchor = _digest(
                place.anchor, kind.value, label, str(self.in_statement[f"{place.statement} {kind} {label}"])
            )
            self.in_statement[f"{place.statement} {kind} {label}"] += 1
        node = Node(slot, kind, self.path, syntax.start_byte, end, place.scope.slot, label, anchor, role)
        self.nodes[slot], self.parents[slot] = node, place.owner
        return node

    def add_scope(self, kind: NodeKind, syntax: SyntaxNode, place: _Place) -> Scope:
        """Open a class or function; a second one of the same name gets an ordinal."""
        label = text_of(field_of(syntax, "name"))
        inside = place.scope.slot.partition(":")[2]
        name = f"{self.module}:{inside}.{label}" if inside else f"{self.module}:{label}"
        ordinal = self.ordinals[name]
        self.ordinals[name] += 1
        slot = f"{name}.{ordinal}" if ordinal else name
        anchor = _digest(self.data[syntax.start_byte : header_end(syntax)].decode())
        self.nodes[slot] = Node(
            slot, kind, self.path, syntax.start_byte, syntax.end_byte, place.scope.slot, label, anchor
        )
        self.parents[slot] = place.owner
        scope = Scope(slot, kind, place.scope.slot, syntax)
        self.scopes[slot] = scope
        binding = BindingKind.CLASS if kind is NodeKind.CLASS else BindingKind.FUNCTION
        place.scope.bindings[label].append(Binding(binding, slot, place.scope.slot))
        return scope

    def bind(self, name: SyntaxNode, kind: BindingKind, place: _Place, value: SyntaxNode | None = None) -> None:
        """Bind a name: one variable node per scope and name, an attribute node in a class body."""
        label, scope = text_of(name), place.scope
        variable = NodeKind.ATTRIBUTE if scope.kind is NodeKind.CLASS else NodeKind.VARIABLE
        known = next((b.slot for b in scope.bindings.get(label, ()) if self.nodes[b.slot].kind is variable), None)
        slot = known or self.add(variable, label, name, _Place(scope, scope.slot)).slot
        scope.bindings[label].append(Binding(kind, slot, scope.slot, value))
        self.uses.append(Use(place.statement or place.owner, scope.slot, name, writes=True))

    def bind_attribute(self, target: SyntaxNode, place: _Place, value: SyntaxNode | None) -> None:
        """Note `self.name = value`, where self is the first parameter of a method."""
        self.uses.append(Use(place.statement, place.scope.slot, target, writes=True))
        owner = self.scopes.get(place.scope.parent)
        if owner is None or owner.kind is not NodeKind.CLASS or dotted(field_of(target, "object")) != "self":
            self.expression(field_of(target, "object"), place)
            return
        label = text_of(field_of(target, "attribute"))
        known = [*owner.attributes.get(label, ()), *owner.bindings.get(label, ())]
        slot = known[0].slot if known else self.add(NodeKind.ATTRIBUTE, label, target, _Place(owner, owner.slot)).slot
        kind = BindingKind.VALUE if value is not None else BindingKind.OPAQUE
        owner.attributes[label].append(Binding(kind, slot, place.scope.slot, value))

    # --- statements --------------------------------------------------------------------------------------------------------------

    def block(self, syntax: SyntaxNode, place: _Place) -> None:
        for child in syntax.named_children:
            self.any_statement(child, place)

    def any_statement(self, syntax: SyntaxNode, place: _Place) -> None:
        if syntax.type == "comment":
            return
        if syntax.type == "decorated_definition":
            for decorator in (c for c in syntax.named_children if c.type == "decorator"):
                self.expression(decorator, place)
            syntax = field_of(syntax, "definition")
        if syntax.type == "class_definition":
            self.class_definition(syntax, place)
        elif syntax.type == "function_definition":
            self.function_definition(syntax, place)
        elif syntax.type in ("import_statement", "import_from_statement", "future_import_statement"):
            self.import_statement(syntax, place)
        else:
            self.statement(syntax, place)

    def class_definition(self, syntax: SyntaxNode, place: _Place) -> None:
        bases = syntax.child_by_field_name("superclasses")
        scope = self.add_scope(NodeKind.CLASS, syntax, place)
        if bases is not None:
            self.expression(bases, place)
        self.block(field_of(syntax, "body"), _Place(scope, scope.slot))

    def function_definition(self, syntax: SyntaxNode, place: _Place) -> None:
        scope = self.add_scope(NodeKind.FUNCTION, syntax, place)
        inside = _Place(scope, scope.slot, anchor=self.nodes[scope.slot].anchor)
        for parameter in field_of(syntax, "parameters").named_children:
            self.parameter(parameter, inside, place)
        self.block(field_of(syntax, "body"), inside)

    def parameter(self, syntax: SyntaxNode, inside: _Place, outside: _Place) -> None:
        name = syntax.child_by_field_name("name") or next((c for c in descend(syntax) if c.type == "identifier"), None)
        if name is None:  # the bare * or / of a signature
            return
        annotation, default = syntax.child_by_field_name("type"), syntax.child_by_field_name("value")
        node = self.add(NodeKind.PARAMETER, text_of(name), syntax, inside)
        inside.scope.bindings[text_of(name)].append(
            Binding(BindingKind.PARAMETER, node.slot, inside.scope.slot, annotation)
        )
        for part in (annotation, default):
            if part is not None:  # evaluated where the function is defined
                self.expression(part, _Place(outside.scope, inside.owner, anchor=inside.anchor), scope=inside.scope)

    def import_statement(self, syntax: SyntaxNode, place: _Place) -> None:
        base = syntax.child_by_field_name("module_name")
        prefix = self.absolute(text_of(base)) if base is not None else ""
        prefix = "__future__" if syntax.type == "future_import_statement" else prefix
        for name in syntax.children_by_field_name("name"):
            alias = name.child_by_field_name("alias")
            path = text_of(field_of(name, "name")) if alias is not None else text_of(name)
            label = text_of(alias) if alias is not None else path if prefix else path.partition(".")[0]
            target = f"{prefix}.{path}" if prefix else path if alias is not None else label
            node = self.add(NodeKind.IMPORT, label, syntax, place)
            place.scope.bindings[label].append(Binding(BindingKind.IMPORT, node.slot, place.scope.slot, target=target))
        self.star |= any(child.type == "wildcard_import" for child in syntax.children)

    def absolute(self, module: str) -> str:
        """Resolve the dots of a relative import against this file."""
        level = len(module) - len(module.lstrip("."))
        if not level:
            return module
        package = self.module.split(".") if self.path.endswith("__init__.py") else self.module.split(".")[:-1]
        return ".".join(part for part in (*package[: len(package) - level + 1], module.lstrip(".")) if part)

    def statement(self, syntax: SyntaxNode, place: _Place) -> None:
        node = self.add(NodeKind.STATEMENT, statement_label(syntax), syntax, place, end=_trimmed(self.data, syntax))
        inside = _Place(place.scope, node.slot, node.slot, node.anchor)
        if syntax.type == "return_statement" and syntax.named_children:
            place.scope.returns.append(syntax.named_children[0])
        if syntax.type == "for_statement":
            self.target(field_of(syntax, "left"), inside, field_of(syntax, "right"), BindingKind.ELEMENT)
        for child in syntax.named_children:
            if child.type == "block":
                self.block(child, inside)
            elif child.type in BLOCKS:
                self.clause(child, inside)
            elif syntax.type != "for_statement" or child != field_of(syntax, "left"):
                self.expression(child, inside)

    def clause(self, syntax: SyntaxNode, place: _Place) -> None:
        """Read an elif, else, except, finally or case: its test belongs to the statement, its block stands on its own."""
        for child in syntax.named_children:
            if child.type == "block":
                self.block(child, place)
            else:
                self.expression(child, place)

    # --- expressions -------------------------------------------------------------------------------------------------------------

    def target(self, syntax: SyntaxNode, place: _Place, value: SyntaxNode | None, kind: BindingKind) -> None:
        if syntax.type == "identifier":
            self.bind(syntax, kind, place, value)
        elif syntax.type == "attribute":
            self.bind_attribute(syntax, place, value)
        elif syntax.type == "subscript":
            self.expression(syntax, place)
        else:
            for child in syntax.named_children:
                self.target(child, place, None, BindingKind.OPAQUE)

    def expression(self, syntax: SyntaxNode, place: _Place, *, scope: Scope | None = None) -> None:
        """Read an expression; `scope` is where its nodes are filed when that is not where its names are looked up."""
        filed = place if scope is None else _Place(scope, place.owner, place.statement, place.anchor)
        match syntax.type:
            case "assignment":
                self.assignment(syntax, place)
                return
            case "augmented_assignment":
                self.add(NodeKind.OPERATOR, operator_label(syntax), syntax, filed, role="augmented")
                self.expression(field_of(syntax, "left"), place)
                self.target(field_of(syntax, "left"), place, None, BindingKind.OPAQUE)
                self.expression(field_of(syntax, "right"), place)
                return
            case "named_expression":
                self.bind(field_of(syntax, "name"), BindingKind.VALUE, place, field_of(syntax, "value"))
            case "as_pattern_target" | "global_statement" | "nonlocal_statement":
                for name in syntax.named_children:
                    self.target(name, place, None, BindingKind.OPAQUE)
                return
            case "identifier":
                self.uses.append(Use(place.statement or place.owner, place.scope.slot, syntax))
                return
            case "attribute":
                self.uses.append(Use(place.statement or place.owner, place.scope.slot, syntax))
                self.expression(field_of(syntax, "object"), place, scope=scope)
                return
        self.inner(syntax, place, filed, scope)

    def assignment(self, syntax: SyntaxNode, place: _Place) -> None:
        value, annotation = syntax.child_by_field_name("right"), syntax.child_by_field_name("type")
        for part in (annotation, value):
            if part is not None:
                self.expression(part, place)
        left = field_of(syntax, "left")
        unpacked = value is not None and {left.type, value.type} <= _TUPLES
        if value is not None and unpacked and len(left.named_children) == len(value.named_children):
            for target, part in zip(left.named_children, value.named_children, strict=True):
                self.target(target, place, part, BindingKind.VALUE)
            return
        followed = value if value is None or value.type != "assignment" else None
        self.target(left, place, followed or annotation, BindingKind.VALUE if followed else BindingKind.OPAQUE)

    def inner(self, syntax: SyntaxNode, place: _Place, filed: _Place, scope: Scope | None) -> None:
        """Give calls, operators and literals their nodes and go on with the parts. What an f-string prints has no nodes."""
        self.printed += syntax.type == "interpolation"
        owner = filed.owner if self.printed else self.expression_node(syntax, place, filed)
        if syntax.type == "lambda":
            parameters = (c for c in syntax.named_children if c.type == "lambda_parameters")
            for name in (n for c in parameters for n in descend(c) if n.type == "identifier"):
                self.bind(name, BindingKind.OPAQUE, place)
        inside = _Place(place.scope, owner, place.statement, place.anchor)
        children = syntax.named_children if not is_literal(syntax) else []
        if syntax.type in _COMPREHENSIONS:  # the names are bound behind the expression that uses them
            children = sorted(children, key=lambda child: child.type != "for_in_clause")
        for child in children:
            self.part(child, syntax, inside, scope)
        self.printed -= syntax.type == "interpolation"

    def expression_node(self, syntax: SyntaxNode, place: _Place, filed: _Place) -> str:
        """Return the slot of the node that an expression gets, or of the one that encloses it when it gets none."""
        role, label = role_of(syntax)
        if syntax.type == "call":
            function = field_of(syntax, "function")
            name = dotted(function).rpartition(".")[2] or text_of(function).rpartition(".")[2]
            slot = self.add(NodeKind.CALL, name if name.isidentifier() else "call", syntax, filed, role=role).slot
            self.calls.append(Use(slot, place.scope.slot, syntax))
            return slot
        if syntax.type in OPERATOR_TYPES:
            return self.add(NodeKind.OPERATOR, operator_label(syntax), syntax, filed, role=role).slot
        if is_literal(syntax):
            self.add(NodeKind.LITERAL, label, syntax, filed, role=role)
        return filed.owner

    def part(self, child: SyntaxNode, parent: SyntaxNode, place: _Place, scope: Scope | None) -> None:
        if parent.type == "keyword_argument" and child == field_of(parent, "name"):
            return
        if parent.type == "named_expression" and child == field_of(parent, "name"):
            return
        if parent.type == "for_in_clause" and child == field_of(parent, "left"):
            self.target(child, place, field_of(parent, "right"), BindingKind.ELEMENT)
            return
        if child.type == "lambda_parameters":
            return
        self.expression(child, place, scope=scope)


def _trimmed(data: bytes, syntax: SyntaxNode) -> int:
    """Return the end of a statement's header without the white space and comments before its block."""
    end = header_end(syntax)
    return end if end == syntax.end_byte else syntax.start_byte + len(data[syntax.start_byte : end].rstrip())
