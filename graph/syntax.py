"""One file: its nodes, its scopes and the names that it binds and uses, read off a tree-sitter tree.

Nothing here looks at another file, so a FileSyntax is a pure function of (path, bytes) and is reused as long as the bytes stay.
`compile()` decides whether a file is Python at all: tree-sitter accepts about 4 % of what it rejects.

Not covered: `global` and `nonlocal` bind locally, comprehension and lambda names belong to the enclosing scope.
"""

from __future__ import annotations

import builtins
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING

import tree_sitter_python
from tree_sitter import Language, Parser

from graph.model import Node, NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tree_sitter import Node as SyntaxNode
    from tree_sitter import Tree

_LANGUAGE = Language(tree_sitter_python.language())
BUILTINS = frozenset(dir(builtins)) | {
    "__file__",
    "__name__",
    "__doc__",
    "__spec__",
    "__path__",
    "__class__",
    "__package__",
}

_OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floordiv", "%": "mod", "**": "pow", "@": "matmul", "&": "and_", "|": "or_",
    "^": "xor", "<<": "lshift", ">>": "rshift", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne", "in": "in",
    "not in": "not_in", "is": "is", "is not": "is_not", "and": "and", "or": "or",
    "+=": "add", "-=": "sub", "*=": "mul", "/=": "div", "//=": "floordiv", "%=": "mod", "**=": "pow", "@=": "matmul",
}  # fmt: skip
OPERATOR_TYPES = frozenset({"binary_operator", "comparison_operator", "boolean_operator", "augmented_assignment"})
LITERAL_TYPES = frozenset({"integer", "float", "true", "false", "string"})
_COMPREHENSIONS = frozenset(
    {"list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression"}
)
_TUPLES = frozenset({"pattern_list", "tuple_pattern", "expression_list", "tuple"})
_BLOCKS = frozenset(
    {"block", "elif_clause", "else_clause", "except_clause", "except_group_clause", "finally_clause", "case_clause"}
)


class BindingKind(StrEnum):
    """How a name came to its value."""

    IMPORT = "import"
    CLASS = "class"
    FUNCTION = "function"
    PARAMETER = "param"
    VALUE = "value"  # name = expression
    ELEMENT = "element"  # for name in expression
    OPAQUE = "opaque"  # unpacking, with, except, augmented: the value is not followed


@dataclass(frozen=True, slots=True)
class Binding:
    """One place where a scope binds a name."""

    kind: BindingKind
    slot: str  # of the node that stands for the name
    scope: str
    value: SyntaxNode | None = None  # the expression bound; for a parameter its annotation
    target: str = ""  # of an import: the absolute dotted path


@dataclass(slots=True)
class Scope:
    """A module, class or function: what it binds and, for a class, the attributes that its methods set on self."""

    slot: str
    kind: NodeKind
    parent: str
    syntax: SyntaxNode
    bindings: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    attributes: dict[str, list[Binding]] = field(default_factory=lambda: defaultdict(list))
    returns: list[SyntaxNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Use:
    """A name or attribute that a statement reads, or an attribute that it writes."""

    owner: str
    scope: str
    syntax: SyntaxNode
    writes: bool = False


@dataclass(frozen=True, slots=True)
class FileSyntax:
    """Everything that one file says by itself."""

    path: str
    module: str
    data: bytes
    tree: Tree
    nodes: tuple[Node, ...]
    parents: Mapping[str, str]  # slot -> slot of the directly enclosing node
    scopes: Mapping[str, Scope]
    calls: tuple[Use, ...]
    uses: tuple[Use, ...]
    unbound: frozenset[str]  # names that nothing binds: undefined unless a star import brings them
    error: str = ""


def module_name(path: str) -> str:
    """Return the dotted name of a file below the root: `a/b.py` is a.b, `a/__init__.py` is a."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def parse_tree(data: bytes) -> Tree:
    """Parse Python source into a tree-sitter tree."""
    return Parser(_LANGUAGE).parse(data)


def read_file(path: str, data: bytes) -> FileSyntax:
    """Read one file; a file that is not Python becomes a single error node with its line and reason."""
    try:
        compile(
            data, path, "exec", dont_inherit=True, flags=0x400
        )  # 0x400 = ast.PyCF_ONLY_AST: parse, generate nothing
        data.decode()
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        reason = f"{path}:{line}: {error.msg}" if isinstance(error, SyntaxError) and line else f"{path}: {error}"
        node = Node(module_name(path), NodeKind.ERROR, path, 0, len(data), "", path.rsplit("/", 1)[-1])
        return FileSyntax(path, module_name(path), data, parse_tree(b""), (node,), {}, {}, (), (), frozenset(), reason)
    return _Reader(path, data).read()


def dotted(syntax: SyntaxNode) -> str:
    """Return `a.b.c` for a chain of names, else nothing."""
    if syntax.type == "identifier":
        return _text(syntax)
    if syntax.type == "attribute":
        base = dotted(_field(syntax, "object"))
        return f"{base}.{_text(_field(syntax, 'attribute'))}" if base else ""
    return ""


def header_end(syntax: SyntaxNode) -> int:
    """Return the offset where the header of a statement ends: before its block, or its own end."""
    body = next((child for child in syntax.children if child.type in _BLOCKS), None)
    return syntax.end_byte if body is None else body.start_byte


def _text(syntax: SyntaxNode) -> str:
    return (syntax.text or b"").decode()


def _field(syntax: SyntaxNode, name: str) -> SyntaxNode:
    child = syntax.child_by_field_name(name)
    if child is None:  # the file compiles, so the grammar's field is there
        raise ValueError(f"{syntax.type} at byte {syntax.start_byte} has no {name}")
    return child


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
        names = {(use.scope, _text(use.syntax)) for use in self.uses if use.syntax.type == "identifier"}
        return frozenset() if self.star else frozenset(name for scope, name in names if not self.bound(scope, name))

    def bound(self, scope: str, name: str) -> bool:
        while scope:
            if name in self.scopes[scope].bindings:
                return True
            scope = self.scopes[scope].parent
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
        label = _text(_field(syntax, "name"))
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
        label, scope = _text(name), place.scope
        variable = NodeKind.ATTRIBUTE if scope.kind is NodeKind.CLASS else NodeKind.VARIABLE
        known = next((b.slot for b in scope.bindings.get(label, ()) if self.nodes[b.slot].kind is variable), None)
        slot = known or self.add(variable, label, name, _Place(scope, scope.slot)).slot
        scope.bindings[label].append(Binding(kind, slot, scope.slot, value))
        self.uses.append(Use(place.statement or place.owner, scope.slot, name, writes=True))

    def bind_attribute(self, target: SyntaxNode, place: _Place, value: SyntaxNode | None) -> None:
        """Note `self.name = value`, where self is the first parameter of a method."""
        self.uses.append(Use(place.statement, place.scope.slot, target, writes=True))
        owner = self.scopes.get(place.scope.parent)
        if owner is None or owner.kind is not NodeKind.CLASS or dotted(_field(target, "object")) != "self":
            self.expression(_field(target, "object"), place)
            return
        label = _text(_field(target, "attribute"))
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
            syntax = _field(syntax, "definition")
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
        self.block(_field(syntax, "body"), _Place(scope, scope.slot))

    def function_definition(self, syntax: SyntaxNode, place: _Place) -> None:
        scope = self.add_scope(NodeKind.FUNCTION, syntax, place)
        inside = _Place(scope, scope.slot, anchor=self.nodes[scope.slot].anchor)
        for parameter in _field(syntax, "parameters").named_children:
            self.parameter(parameter, inside, place)
        self.block(_field(syntax, "body"), inside)

    def parameter(self, syntax: SyntaxNode, inside: _Place, outside: _Place) -> None:
        name = syntax.child_by_field_name("name") or next((c for c in _descend(syntax) if c.type == "identifier"), None)
        if name is None:  # the bare * or / of a signature
            return
        annotation, default = syntax.child_by_field_name("type"), syntax.child_by_field_name("value")
        node = self.add(NodeKind.PARAMETER, _text(name), syntax, inside)
        inside.scope.bindings[_text(name)].append(
            Binding(BindingKind.PARAMETER, node.slot, inside.scope.slot, annotation)
        )
        for part in (annotation, default):
            if part is not None:  # evaluated where the function is defined
                self.expression(part, _Place(outside.scope, inside.owner, anchor=inside.anchor), scope=inside.scope)

    def import_statement(self, syntax: SyntaxNode, place: _Place) -> None:
        base = syntax.child_by_field_name("module_name")
        prefix = self.absolute(_text(base)) if base is not None else ""
        prefix = "__future__" if syntax.type == "future_import_statement" else prefix
        for name in syntax.children_by_field_name("name"):
            alias = name.child_by_field_name("alias")
            path = _text(_field(name, "name")) if alias is not None else _text(name)
            label = _text(alias) if alias is not None else path if prefix else path.partition(".")[0]
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
        node = self.add(NodeKind.STATEMENT, _statement_label(syntax), syntax, place, end=_trimmed(self.data, syntax))
        inside = _Place(place.scope, node.slot, node.slot, node.anchor)
        if syntax.type == "return_statement" and syntax.named_children:
            place.scope.returns.append(syntax.named_children[0])
        if syntax.type == "for_statement":
            self.target(_field(syntax, "left"), inside, _field(syntax, "right"), BindingKind.ELEMENT)
        for child in syntax.named_children:
            if child.type == "block":
                self.block(child, inside)
            elif child.type in _BLOCKS:
                self.clause(child, inside)
            elif syntax.type != "for_statement" or child != _field(syntax, "left"):
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
                self.add(NodeKind.OPERATOR, _operator(syntax), syntax, filed, role="augmented")
                self.expression(_field(syntax, "left"), place)
                self.target(_field(syntax, "left"), place, None, BindingKind.OPAQUE)
                self.expression(_field(syntax, "right"), place)
                return
            case "named_expression":
                self.bind(_field(syntax, "name"), BindingKind.VALUE, place, _field(syntax, "value"))
            case "as_pattern_target" | "global_statement" | "nonlocal_statement":
                for name in syntax.named_children:
                    self.target(name, place, None, BindingKind.OPAQUE)
                return
            case "identifier":
                self.uses.append(Use(place.statement or place.owner, place.scope.slot, syntax))
                return
            case "attribute":
                self.uses.append(Use(place.statement or place.owner, place.scope.slot, syntax))
                self.expression(_field(syntax, "object"), place, scope=scope)
                return
        self.inner(syntax, place, filed, scope)

    def assignment(self, syntax: SyntaxNode, place: _Place) -> None:
        value, annotation = syntax.child_by_field_name("right"), syntax.child_by_field_name("type")
        for part in (annotation, value):
            if part is not None:
                self.expression(part, place)
        left = _field(syntax, "left")
        unpacked = value is not None and {left.type, value.type} <= _TUPLES
        if value is not None and unpacked and len(left.named_children) == len(value.named_children):
            for target, part in zip(left.named_children, value.named_children, strict=True):
                self.target(target, place, part, BindingKind.VALUE)
            return
        followed = value if value is None or value.type != "assignment" else None
        self.target(left, place, followed or annotation, BindingKind.VALUE if followed else BindingKind.OPAQUE)

    def inner(self, syntax: SyntaxNode, place: _Place, filed: _Place, scope: Scope | None) -> None:
        """Give calls, operators and literals their nodes and go on with the parts."""
        owner = filed.owner
        if syntax.type == "call":
            function = _field(syntax, "function")
            label = (
                dotted(function).rpartition(".")[2]
                or _text(function).rpartition(".")[2].split("(")[0].strip("]")
                or "call"
            )
            node = self.add(
                NodeKind.CALL, label if label.isidentifier() else "call", syntax, filed, role=_role(syntax)[0]
            )
            self.calls.append(Use(node.slot, place.scope.slot, syntax))
            owner = node.slot
        elif syntax.type in OPERATOR_TYPES:
            owner = self.add(NodeKind.OPERATOR, _operator(syntax), syntax, filed, role=_role(syntax)[0]).slot
        elif _is_literal(syntax):
            role, label = _role(syntax)
            self.add(NodeKind.LITERAL, label, syntax, filed, role=role)
            return
        elif syntax.type == "lambda":
            for name in (
                n
                for c in syntax.named_children
                if c.type == "lambda_parameters"
                for n in _descend(c)
                if n.type == "identifier"
            ):
                self.bind(name, BindingKind.OPAQUE, place)
        inside = _Place(place.scope, owner, place.statement, place.anchor)
        children = (
            sorted(syntax.named_children, key=lambda child: child.type != "for_in_clause")
            if syntax.type in _COMPREHENSIONS
            else syntax.named_children
        )
        for child in children:
            self.part(child, syntax, inside, scope)

    def part(self, child: SyntaxNode, parent: SyntaxNode, place: _Place, scope: Scope | None) -> None:
        if parent.type == "keyword_argument" and child == _field(parent, "name"):
            return
        if parent.type == "named_expression" and child == _field(parent, "name"):
            return
        if parent.type == "for_in_clause" and child == _field(parent, "left"):
            self.target(child, place, _field(parent, "right"), BindingKind.ELEMENT)
            return
        if child.type == "lambda_parameters":
            return
        self.expression(child, place, scope=scope)


def _descend(syntax: SyntaxNode) -> Iterator[SyntaxNode]:
    yield syntax
    for child in syntax.named_children:
        yield from _descend(child)


def _trimmed(data: bytes, syntax: SyntaxNode) -> int:
    """Return the end of a statement's header without the white space and comments before its block."""
    end = header_end(syntax)
    return end if end == syntax.end_byte else syntax.start_byte + len(data[syntax.start_byte : end].rstrip())


def _statement_label(syntax: SyntaxNode) -> str:
    inner = syntax.named_children[0] if syntax.type == "expression_statement" and syntax.named_children else syntax
    if inner.type in ("assignment", "augmented_assignment"):
        left = _field(inner, "left")
        return dotted(left).rpartition(".")[2] or "unpack"
    if inner.type == "call":
        return (
            dotted(_field(inner, "function")).rpartition(".")[2]
            or _text(_field(inner, "function")).rpartition(".")[2]
            or "call"
        )
    return syntax.type.removesuffix("_statement").removesuffix("_clause")


def _operator(syntax: SyntaxNode) -> str:
    operator = syntax.child_by_field_name("operator") or next(iter(syntax.children_by_field_name("operators")), None)
    return _OPERATORS.get(" ".join(_text(operator).split()) if operator is not None else "", "op")


def _is_literal(syntax: SyntaxNode) -> bool:
    """Numbers with their minus sign, booleans, and plain strings that are no docstring."""
    if syntax.type == "unary_operator":
        argument = _field(syntax, "argument")
        return argument.type in ("integer", "float") and syntax.children[0].type == "-"
    if syntax.type == "string":
        parent = syntax.parent
        plain = all(child.type in ("string_start", "string_content", "string_end") for child in syntax.children)
        return (
            plain
            and parent is not None
            and parent.type not in ("expression_statement", "concatenated_string", "block", "module")
        )
    return syntax.type in LITERAL_TYPES


def _role(syntax: SyntaxNode) -> tuple[str, str]:
    """Say what an expression is there for, and the name of what it sets: ("argument", "lr"), ("value", "n_embd"), ("index", "index")."""
    child, parent = syntax, syntax.parent
    while parent is not None and parent.type == "parenthesized_expression":
        child, parent = parent, parent.parent
    if parent is None:
        return "value", "value"
    if parent.type in _ROLES:
        return _ROLES[parent.type](parent, child)
    if parent.type in OPERATOR_TYPES or parent.type in ("unary_operator", "not_operator", "conditional_expression"):
        return "operand", _role(parent)[1]
    if parent.type.endswith("_statement"):
        return "statement", parent.type.removesuffix("_statement")
    return "element", _role(parent)[1] if parent.type in ("tuple", "list", "set") else "value"


def _positional_role(arguments: SyntaxNode, _child: SyntaxNode) -> tuple[str, str]:
    call = arguments.parent
    function = dotted(_field(call, "function")) if call is not None and call.type == "call" else ""
    return "argument", function.rpartition(".")[2] or "argument"


def _assigned_role(assignment: SyntaxNode, child: SyntaxNode) -> tuple[str, str]:
    left = dotted(_field(assignment, "left")).rpartition(".")[2] or "value"
    return ("type" if child == assignment.child_by_field_name("type") else "value"), left


_ROLES: dict[str, Callable[[SyntaxNode, SyntaxNode], tuple[str, str]]] = {
    "keyword_argument": lambda parent, _: ("argument", _text(_field(parent, "name"))),
    "default_parameter": lambda parent, _: ("default", _text(_field(parent, "name"))),
    "typed_default_parameter": lambda parent, _: ("default", _text(_field(parent, "name"))),
    "argument_list": _positional_role,
    "assignment": _assigned_role,
    "augmented_assignment": lambda parent, _: ("operand", dotted(_field(parent, "left")).rpartition(".")[2] or "value"),
    "subscript": lambda *_: ("index", "index"),
    "slice": lambda *_: ("index", "index"),
    "pair": lambda parent, child: ("key" if child == _field(parent, "key") else "entry", "entry"),
    "type": lambda *_: ("type", "type"),
}


def comments(tree: Tree) -> Counter[bytes]:
    """Count the comments of a source."""
    return Counter(node.text or b"" for node in _descend(tree.root_node) if node.type == "comment")
