"""The walk over one file's tree that gives calls, operators and literals their nodes, and names their bindings.

Nothing here looks at another file, so what it returns is a pure function of (path, bytes) and is reused as long as the bytes stay.
`compile()` decides whether a file is Python at all: tree-sitter accepts about 4 % of what it rejects.

Not covered: `global` and `nonlocal` bind locally, comprehension and lambda names belong to the enclosing scope.
"""

from __future__ import annotations

import builtins
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from graph.facts import EMPTY
from graph.flow import read_facts
from graph.model import Node, NodeKind
from graph.options import attribute_name, option_name, stated_keys
from graph.roles import OPERATOR_TYPES, is_literal, operator_label, role_of, statement_label
from graph.syntax import (
    BLOCKS,
    Binding,
    BindingKind,
    FileSyntax,
    Scope,
    Unit,
    descend,
    dotted,
    field_of,
    header_end,
    lookup,
    module_name,
    parse_again,
    parse_tree,
    text_of,
)

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping

    from tree_sitter import Node as SyntaxNode
    from tree_sitter import Tree

    from graph.facts import FileFacts, UnitFacts

BUILTINS = frozenset(dir(builtins)) | {
    "__file__",
    "__name__",
    "__doc__",
    "__spec__",
    "__path__",
    "__class__",
    "__package__",
}
_SHORT = 200  # bytes of an expression whose source is kept with the name that it is bound to
_PARSE_ONLY = 0x400  # ast.PyCF_ONLY_AST: parse, generate no code
_COMPREHENSIONS = frozenset(
    {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)
_TUPLES = frozenset({"pattern_list", "tuple_pattern", "expression_list", "tuple"})


def read_file(path: str, data: bytes, *, previous: FileSyntax | None = None, module: str = "") -> FileSyntax:
    """Read one file; a file that is not Python, or not UTF-8, becomes a single error node with its line and reason.

    With an older version of it, only the functions whose text differs are read again; the result is the same. `module` is its dotted
    name, where that is not the one of its path.
    """
    module = module or module_name(path)
    again = _read_again(path, data, previous) if previous is not None and not previous.error else None
    if again is not None:
        return again
    try:
        tree = compile(data, path, "exec", dont_inherit=True, flags=_PARSE_ONLY)
        data.decode()
        _check_line_ends(data)
        reader = _Reader(path, module, parse_tree(data), data)
        file = reader.read()
        return replace(file, facts=_facts(reader, tree, data))
    except UnicodeDecodeError:
        reason = f"{path}: is not UTF-8; convert it"
    except SyntaxError as error:
        reason = f"{path}:{error.lineno or 1}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        reason = f"{path}: cannot be read ({error or 'too deeply nested'})"
    node = Node(module, NodeKind.ERROR, path, 0, len(data), "", path.rsplit("/", 1)[-1])
    return FileSyntax(
        path, module, data, parse_tree(b""), (node,), {}, {}, frozenset(), reason, replace(EMPTY, module=module)
    )


def _read_again(path: str, data: bytes, previous: FileSyntax) -> FileSyntax | None:
    """Read a file for which an older version is known; None where it does not parse, or not in the same way."""
    tree = parse_again(data, previous.data, previous.tree)
    if tree.root_node.has_error:
        return None
    try:
        data.decode()
        reader = _Reader(path, previous.module, tree, data, previous.units)
        file = reader.read()
        left = reader.skeleton()
        parsed = compile(left, path, "exec", dont_inherit=True, flags=_PARSE_ONLY)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    kept = {slot: previous.facts.units[slot] for slot in reader.kept}
    return replace(file, facts=_facts(reader, parsed, left, kept))


def _facts(
    reader: _Reader, tree: ast.Module, data: bytes, kept: Mapping[str, UnitFacts] = MappingProxyType({})
) -> FileFacts:
    package = reader.path.endswith("__init__.py")
    return read_facts(tree, data, reader.module, reader.fresh, package=package, units=reader.units, kept=kept)


def _check_line_ends(data: bytes) -> None:
    """The compiler ends a line at a carriage return alone, the parser does not."""
    if b"\r" in data.replace(b"\r\n", b""):
        raise ValueError("a carriage return alone ends a line; write \\n")


class _Span(NamedTuple):
    """Where a node stands, for those that are not read again."""

    start_byte: int
    end_byte: int


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

    def __init__(
        self, path: str, module: str, tree: Tree, data: bytes, known: Mapping[str, Unit] = MappingProxyType({})
    ) -> None:
        self.path, self.data, self.module = path, data, module
        self.tree, self.known = tree, known
        self.units: dict[str, Unit] = {}
        self.kept: dict[str, _Span] = {}  # the bodies of the functions that are not read again
        self.fresh: list[Node] = []  # all nodes but those in them
        self.opened: list[Scope] = []
        self.attributes: list[tuple[str, Scope, _Span]] | None = (
            None  # what a unit sets on the class around it, in order
        )
        self.nodes: dict[str, Node] = {}
        self.parents: dict[str, str] = {}
        self.scopes: dict[str, Scope] = {}
        self.names: set[tuple[str, str]] = set()  # (scope, name) of what is read
        self.ordinals: Counter[str] = Counter()
        self.in_statement: Counter[str] = Counter()
        self.named: list[tuple[str, _Span, Scope]] = []  # attributes that calls set by name
        self.star = False
        self.printed = 0  # f-strings around the place that is read

    def read(self) -> FileSyntax:
        root = self.tree.root_node
        scope = Scope(self.module, NodeKind.MODULE, "")
        self.scopes[self.module] = scope
        self.nodes[self.module] = Node(self.module, NodeKind.MODULE, self.path, 0, len(self.data), "", self.module)
        self.fresh.append(self.nodes[self.module])
        self.block(root, _Place(scope, self.module))
        for name, call, owner in self.named:  # behind all others, whose anchors count what came before
            self.name_attribute(name, call, owner)
        return FileSyntax(
            self.path, self.module, self.data, self.tree, tuple(self.nodes.values()), self.parents, self.scopes, self.unbound(),
            units=self.units,
        )  # fmt: skip

    def skeleton(self) -> bytes:
        """Return the source without the bodies that are not read again: what is left has the same offsets."""
        found = bytearray(self.data)
        for span in self.kept.values():
            found[span.start_byte : span.end_byte] = b"...".ljust(span.end_byte - span.start_byte)
        return bytes(found)

    def unbound(self) -> frozenset[str]:
        if self.star:
            return frozenset()
        free = ((scope, name) for scope, name in self.names if name not in BUILTINS)
        return frozenset(name for scope, name in free if not lookup(name, scope, self.scopes))

    # --- nodes -------------------------------------------------------------------------------------------------------------------

    def add(
        self,
        kind: NodeKind,
        label: str,
        syntax: SyntaxNode | _Span,
        place: _Place,
        *,
        role: str = "",
        end: int | None = None,
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
            counted = f"{place.statement or place.owner} {kind} {label}"
            anchor = _digest(place.anchor, kind.value, label, str(self.in_statement[counted]))
            self.in_statement[counted] += 1
        node = Node(slot, kind, self.path, syntax.start_byte, end, place.scope.slot, label, anchor, role)
        self.nodes[slot], self.parents[slot] = node, place.owner
        self.fresh.append(node)
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
        self.fresh.append(self.nodes[slot])
        scope = Scope(slot, kind, place.scope.slot)
        self.scopes[slot] = scope
        self.opened.append(scope)
        binding = BindingKind.CLASS if kind is NodeKind.CLASS else BindingKind.FUNCTION
        place.scope.bindings[label].append(Binding(binding, slot, place.scope.slot))
        return scope

    def bind(self, name: SyntaxNode, place: _Place, value: SyntaxNode | None = None) -> None:
        """Bind a name: one variable node per scope and name, an attribute node in a class body."""
        label, scope = text_of(name), place.scope
        variable = NodeKind.ATTRIBUTE if scope.kind is NodeKind.CLASS else NodeKind.VARIABLE
        known = next((b.slot for b in scope.bindings.get(label, ()) if self.nodes[b.slot].kind is variable), None)
        slot = known or self.add(variable, label, name, _Place(scope, scope.slot)).slot
        kind = BindingKind.VALUE if value is not None else BindingKind.OPAQUE
        short = value is not None and value.end_byte - value.start_byte <= _SHORT
        scope.bindings[label].append(
            Binding(kind, slot, scope.slot, text_of(value) if value is not None and short else "")
        )

    def bind_attribute(self, target: SyntaxNode, place: _Place) -> None:
        """Note `self.name = value`, where self is the first parameter of a method."""
        owner = self.scopes.get(place.scope.parent)
        if owner is None or owner.kind is not NodeKind.CLASS or dotted(field_of(target, "object")) != "self":
            self.expression(field_of(target, "object"), place)
            return
        label, span = text_of(field_of(target, "attribute")), _Span(target.start_byte, target.end_byte)
        outside = all(owner is not scope for scope in self.opened)
        if self.attributes is not None and outside:  # the class around the unit is told when the unit has been read
            self.attributes.append((label, owner, span))
        else:
            self.name_attribute(label, span, owner)

    def name_attribute(self, label: str, target: _Span, owner: Scope) -> None:
        """Give an attribute that methods set a node, unless it has one."""
        if label not in owner.attributes:
            bound = [binding.slot for binding in owner.bindings.get(label, ())]
            inside = _Place(owner, owner.slot)
            owner.attributes[label] = bound[0] if bound else self.add(NodeKind.ATTRIBUTE, label, target, inside).slot

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
        of_class = place.scope.kind is NodeKind.CLASS and place.scope.parent == self.module
        alone = place.owner == place.scope.slot and (place.scope.kind is NodeKind.MODULE or of_class)
        known = self.known.get(scope.slot) if alone else None
        if known is not None and known.text == syntax.text and self.keep(known, syntax, place.scope):
            return
        if alone:
            self.unit(scope, syntax, place)
        else:
            self.function(scope, syntax, place)

    def unit(self, scope: Scope, syntax: SyntaxNode, place: _Place) -> None:
        """Read a function of a module or class so that what it says can be kept."""
        around = self.nodes, self.parents, self.names, self.named, self.opened
        anchor = self.nodes[scope.slot].anchor
        self.nodes, self.parents, self.names, self.named, self.opened, self.attributes = {}, {}, set(), [], [], []
        self.function(scope, syntax, place, anchor)
        unit = Unit(
            syntax.text or b"", syntax.start_byte, tuple(self.nodes.values()), self.parents, (scope, *self.opened), frozenset(self.names),
            tuple((label, *span) for label, _, span in self.attributes), tuple((label, *span) for label, span, _ in self.named),
        )  # fmt: skip
        self.nodes, self.parents, self.names, self.named, self.opened = around
        self.attributes = None
        self.take(scope.slot, unit, 0, place.scope, unit.nodes)

    def keep(self, unit: Unit, syntax: SyntaxNode, around: Scope) -> bool:
        """Take over what a function said in the older version; not where its body is too short to be left out."""
        body = field_of(syntax, "body")
        if body.end_byte - body.start_byte < len("..."):
            return False
        slot, by = unit.scopes[0].slot, syntax.start_byte - unit.start
        self.kept[slot] = _Span(body.start_byte, body.end_byte)
        moved = (
            unit.nodes if not by else tuple(Node(n[0], n[1], n[2], n[3] + by, n[4] + by, *n[5:]) for n in unit.nodes)
        )
        self.fresh += [node for node in moved if node.start < body.start_byte]  # defaults belong to the scope around
        self.scopes.update((scope.slot, scope) for scope in unit.scopes)
        self.take(slot, unit, by, around, moved)
        return True

    def take(self, slot: str, unit: Unit, by: int, around: Scope, nodes: tuple[Node, ...]) -> None:
        """Add what a unit says, moved by some bytes."""
        self.nodes.update((node.slot, node) for node in nodes)
        self.parents.update(unit.parents)
        self.names |= unit.names
        for label, start, end in unit.attributes:
            self.name_attribute(label, _Span(start + by, end + by), around)
        self.named += [(label, _Span(start + by, end + by), around) for label, start, end in unit.named]
        attributes, named = _moved(unit.attributes, by), _moved(unit.named, by)
        self.units[slot] = replace(unit, start=unit.start + by, nodes=nodes, attributes=attributes, named=named)

    def function(self, scope: Scope, syntax: SyntaxNode, place: _Place, anchor: str = "") -> None:
        inside = _Place(scope, scope.slot, anchor=anchor or self.nodes[scope.slot].anchor)
        for parameter in field_of(syntax, "parameters").named_children:
            self.parameter(parameter, inside, place)
        self.block(field_of(syntax, "body"), inside)

    def parameter(self, syntax: SyntaxNode, inside: _Place, outside: _Place) -> None:
        name = syntax.child_by_field_name("name") or next((c for c in descend(syntax) if c.type == "identifier"), None)
        if name is None:  # the bare * or / of a signature
            return
        annotation, default = syntax.child_by_field_name("type"), syntax.child_by_field_name("value")
        node = self.add(NodeKind.PARAMETER, text_of(name), syntax, inside)
        inside.scope.bindings[text_of(name)].append(Binding(BindingKind.PARAMETER, node.slot, inside.scope.slot))
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
        if syntax.type == "for_statement":
            self.target(field_of(syntax, "left"), inside)
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

    def target(self, syntax: SyntaxNode, place: _Place, value: SyntaxNode | None = None) -> None:
        if syntax.type == "identifier":
            self.bind(syntax, place, value)
        elif syntax.type == "attribute":
            self.bind_attribute(syntax, place)
        elif syntax.type == "subscript":
            self.expression(syntax, place)
        else:
            for child in syntax.named_children:
                self.target(child, place)

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
                self.target(field_of(syntax, "left"), place)
                self.expression(field_of(syntax, "right"), place)
                return
            case "named_expression":
                self.bind(field_of(syntax, "name"), place, field_of(syntax, "value"))
            case "as_pattern_target" | "global_statement" | "nonlocal_statement":
                for name in syntax.named_children:
                    self.target(name, place)
                return
            case "identifier":
                self.names.add((place.scope.slot, text_of(syntax)))
                return
            case "attribute":
                self.expression(field_of(syntax, "object"), place, scope=scope)
                return
        self.inner(syntax, place, filed, scope)

    def assignment(self, syntax: SyntaxNode, place: _Place) -> None:
        value, annotation = syntax.child_by_field_name("right"), syntax.child_by_field_name("type")
        for part in (annotation, value):
            if part is not None:
                self.expression(part, place)
        left = field_of(syntax, "left")
        if value is not None and left.type == "identifier":
            for name, key in stated_keys(value):
                self.add(NodeKind.CONFIG, name, key, place, role="key")
        unpacked = value is not None and {left.type, value.type} <= _TUPLES
        if value is not None and unpacked and len(left.named_children) == len(value.named_children):
            for target, part in zip(left.named_children, value.named_children, strict=True):
                self.target(target, place, part)
            return
        self.target(left, place, value if value is None or value.type != "assignment" else None)

    def inner(self, syntax: SyntaxNode, place: _Place, filed: _Place, scope: Scope | None) -> None:
        """Give calls, operators and literals their nodes and go on with the parts. What an f-string prints has no nodes."""
        self.printed += syntax.type == "interpolation"
        owner = filed.owner if self.printed else self.expression_node(syntax, filed)
        if syntax.type == "lambda":
            parameters = (c for c in syntax.named_children if c.type == "lambda_parameters")
            for name in (n for c in parameters for n in descend(c) if n.type == "identifier"):
                self.bind(name, place)
            owner = owner if self.printed else self.add(NodeKind.LAMBDA, "lambda", syntax, filed).slot
        inside = _Place(place.scope, owner, place.statement, place.anchor)
        children = syntax.named_children if not is_literal(syntax) else []
        if syntax.type in _COMPREHENSIONS:  # the names are bound behind the expression that uses them
            children = sorted(children, key=lambda child: child.type != "for_in_clause")
        for child in children:
            self.part(child, syntax, inside, scope)
        self.printed -= syntax.type == "interpolation"

    def expression_node(self, syntax: SyntaxNode, filed: _Place) -> str:
        """Return the slot of the node that an expression gets, or of the one that encloses it when it gets none."""
        role, label = role_of(syntax)
        if syntax.type == "call":
            function = field_of(syntax, "function")
            name = dotted(function).rpartition(".")[2] or text_of(function).rpartition(".")[2]
            slot = self.add(NodeKind.CALL, name if name.isidentifier() else "call", syntax, filed, role=role).slot
            self.named_by_string(syntax, filed, slot)
            return slot
        if syntax.type in OPERATOR_TYPES:
            return self.add(NodeKind.OPERATOR, operator_label(syntax), syntax, filed, role=role).slot
        if is_literal(syntax):
            self.add(NodeKind.LITERAL, label, syntax, filed, role=role)
        return filed.owner

    def named_by_string(self, call: SyntaxNode, place: _Place, slot: str) -> None:
        """Give a command-line option, or an attribute that a call sets by its name, a node."""
        option, name, owner = option_name(call), attribute_name(call), self.scopes.get(place.scope.parent)
        if option:
            self.add(NodeKind.CONFIG, option, call, replace(place, owner=slot), role="option")
        if name and owner is not None and owner.kind is NodeKind.CLASS:
            self.named.append((name, _Span(call.start_byte, call.end_byte), owner))

    def part(self, child: SyntaxNode, parent: SyntaxNode, place: _Place, scope: Scope | None) -> None:
        if parent.type == "keyword_argument" and child == field_of(parent, "name"):
            return
        if parent.type == "named_expression" and child == field_of(parent, "name"):
            return
        if parent.type == "for_in_clause" and child == field_of(parent, "left"):
            self.target(child, place)
            return
        if child.type == "lambda_parameters":
            return
        self.expression(child, place, scope=scope)


def _moved(spans: tuple[tuple[str, int, int], ...], by: int) -> tuple[tuple[str, int, int], ...]:
    return tuple((label, start + by, end + by) for label, start, end in spans) if by else spans


def _trimmed(data: bytes, syntax: SyntaxNode) -> int:
    """Return the end of a statement's header without the white space and comments before its block."""
    end = header_end(syntax)
    return end if end == syntax.end_byte else syntax.start_byte + len(data[syntax.start_byte : end].rstrip())
