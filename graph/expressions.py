"""Expressions as constraints: which cell holds the value of an expression, and how values come there."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from graph.facts import CallSite, Element, Touch
from graph.options import REGISTERING
from graph.origins import SUFFIXES
from graph.places import key_of
from graph.scopes import Scopes
from graph.values import (
    Argument,
    Arguments,
    Call,
    Dunder,
    GetMember,
    Item,
    Iterate,
    Keep,
    Load,
    Open,
    Super,
    SuperOf,
    Tag,
    Update,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graph.frames import Frame

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.FloorDiv: "floordiv", ast.Mod: "mod", ast.Pow: "pow",
    ast.MatMult: "matmul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor", ast.LShift: "lshift", ast.RShift: "rshift",
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.In: "contains",
    ast.NotIn: "contains", ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert",
}  # fmt: skip
_CONTAINERS = (Tag.LIST, Tag.DICT, Tag.NAMESPACE)


class Expressions(Scopes):
    """Reads expressions of one file in their scope."""

    def expression(self, node: ast.expr | None) -> str:
        """Read an expression and return the cell of its value; empty when it can hold nothing that matters."""
        if node is None:
            return ""
        method = _METHODS.get(type(node))
        if method is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.expression(child)
            return ""
        return method(self, node)

    def constant(self, node: ast.Constant) -> str:
        """Read a constant that may be a key."""
        key = key_of(node)
        return self.hold(f"{self.module}:={key}", value(Tag.CONSTANT, key)) if key else ""

    def attribute(self, node: ast.Attribute) -> str:
        """Read an attribute."""
        return self.load(self.expression(node.value), node.attr)

    def load(self, base: str, attr: str) -> str:
        """Read an attribute of what a cell holds."""
        if not base:
            return ""
        into = f"{base}.{attr}"
        self.watch(base, Load(attr, into, self.statement))
        self.out.touches.append(Touch(self.statement, base, attr, writes=False))
        return into

    def call(self, node: ast.Call) -> str:
        """Read a call: its callee, its arguments, and what happens to them."""
        site = self.slot_of_call(node)
        function = node.func
        callee = self.expression(function)
        arguments = self.arguments(node)
        self._set_by_name(node, callee, arguments)
        text = self.text_of(function)
        self.out.called.add(text.rpartition(".")[2])
        if not site:  # inside an f-string: the statement runs it
            site, into = self.statement, self.fresh()
        else:
            into = site
            self.out.sites.append(CallSite(site, callee, self._written(function), arguments, text))
        if (isinstance(function, ast.Name) and not self._special(function.id, node, arguments, into)) or not isinstance(
            function, ast.Name
        ):
            self.watch(callee, Call(arguments, site, into))
        self.called_class(node, into)
        return into

    def _set_by_name(self, node: ast.Call, callee: str, arguments: Arguments) -> None:
        """Read setattr(x, "name", value), x.register_buffer("name", value) and the like: they set that attribute."""
        match node:
            case ast.Call(func=ast.Name(id="setattr"), args=[receiver, ast.Constant(value=str(name)), _]):
                self.set_attribute(receiver, arguments[0].cell, name, arguments[2].cell)
            case ast.Call(
                func=ast.Attribute(value=receiver, attr=method), args=[ast.Constant(value=str(name)), _, *_]
            ) if method in REGISTERING:
                self.set_attribute(receiver, callee.removesuffix(f".{method}"), name, arguments[1].cell)
            case ast.Call(func=ast.Attribute(attr="add_argument")):
                self._declare_option(node, self.slot_of_call(node))

    def _written(self, function: ast.expr) -> str:
        if isinstance(function, ast.Attribute):
            return "member"
        return "name" if isinstance(function, ast.Name) else "other"

    def arguments(self, node: ast.Call) -> Arguments:
        """Read the arguments of a call."""
        found = [
            Argument(
                "*" if isinstance(part, ast.Starred) else "",
                self.expression(part.value if isinstance(part, ast.Starred) else part),
            )
            for part in node.args
        ]
        return (*found, *(Argument(part.arg or "**", self._keyword(part)) for part in node.keywords))

    def _keyword(self, node: ast.keyword) -> str:
        """Read the value of a keyword; one that states a key of a dictionary is where that value came from."""
        cell, option = self.expression(node.value), self.option_at(node)
        if option is None:
            return cell
        return self.join((cell, self.hold(f"{option.slot}'", value(Tag.ORIGIN, option.slot))))

    def _declare_option(self, node: ast.Call, site: str) -> None:
        """An option is a dictionary of one entry, which the parser takes over."""
        option = self.option_at(node)
        if option is not None:
            container, key = f"{site}'option", repr(option.label)
            self.hold(container, value(Tag.DICT, container))
            self.hold(f"{container}[key]", value(Tag.CONSTANT, key))
            self.hold(f"{container}[{key}]", value(Tag.ORIGIN, option.slot))

    def _special(self, name: str, node: ast.Call, arguments: Arguments, into: str) -> bool:
        """Read a builtin whose meaning is in the syntax: super() and getattr(); the call itself is an external one as well."""
        if name == "super" and name in self.out.free:
            self._super(arguments, into)
        elif name == "getattr" and name in self.out.free and len(node.args) > 1:
            key = key_of(node.args[1])
            if key.startswith("'"):
                self.watch(arguments[0].cell, Load(key.strip("'"), into, self.statement))
                self.out.touches.append(Touch(self.statement, arguments[0].cell, key.strip("'"), writes=False))
                self.out.elements.append(Element(self.statement, arguments[0].cell, into))
            else:
                self.watch(arguments[0].cell, GetMember(into, arguments[1].cell))
            self.flow(arguments[2].cell if len(arguments) > 2 else "", into)
        return False

    def _super(self, arguments: Arguments, into: str) -> None:
        if len(arguments) > 1:  # super(class, receiver)
            self.watch(arguments[0].cell, SuperOf(arguments[1].cell, into))
            return
        frame: Frame | None = self.frame
        while frame is not None and not (frame.kind == "function" and frame.parent and frame.parent.kind == "class"):
            frame = frame.parent
        if frame is None or frame.parent is None:
            return
        parameters = self.out.functions[frame.slot].parameters
        if parameters:
            self.watch(parameters[0].cell, Super(frame.parent.slot, into))

    def sequence(self, node: ast.List | ast.Tuple | ast.Set) -> str:
        """Read a list, tuple or set."""
        cells = [self.expression(part) for part in node.elts]
        if isinstance(node, ast.Tuple) and node.elts and not any(cells):
            return ""
        into = self.fresh()
        self.hold(into, value(Tag.LIST, into, len(node.elts)))
        place: int | None = 0
        for part, cell in zip(node.elts, cells, strict=True):
            if isinstance(part, ast.Starred):
                self.watch(cell, Iterate(f"{into}[*]", self.statement))
                self.flow(f"{into}[*]", f"{into}[]")
                place = None
            else:
                self.element(into, "*" if place is None else str(place), cell)
                place = None if place is None else place + 1
        return into

    def element(self, container: str, key: str, cell: str) -> None:
        """Put the values of a cell into a container."""
        if key[:1] in "'\"":
            self.hold(f"{container}[key]", value(Tag.CONSTANT, key))
        if cell:
            self.flow(cell, f"{container}[{key}]")
            self.flow(f"{container}[{key}]", f"{container}[]")

    def starred(self, node: ast.Starred) -> str:
        """Read what a star unpacks."""
        return self.expression(node.value)

    def dictionary(self, node: ast.Dict) -> str:
        """Read a dictionary."""
        into = self.fresh()
        self.hold(into, value(Tag.DICT, into))
        for key, part in zip(node.keys, node.values, strict=True):
            cell = self.expression(part)
            if key is None:
                self.watch(cell, Update(into))
                continue
            by = self.expression(key)
            known = key_of(key)
            if known or not by:
                self.element(into, known or "*", cell)
                self._state_key(into, key, known)
            else:
                self.store_item(into, key, by, cell)
        return into

    def _state_key(self, container: str, node: ast.expr, key: str) -> None:
        option = self.option_at(node)
        if option is not None:
            self.hold(f"{container}[{key}]", value(Tag.ORIGIN, option.slot))
            self.hold(f"{container}[]", value(Tag.ORIGIN, option.slot))

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> str:
        """Read a comprehension, whose names live in it alone."""
        before = self.frame.overlay
        self.frame.overlay = dict(before)
        for generator in node.generators:
            elements = self.iterate(self.expression(generator.iter))
            self._comprehension_target(generator.target, elements)
            for test in generator.ifs:
                self.expression(test)
        key = self.expression(node.key) if isinstance(node, ast.DictComp) else ""
        element = self.expression(node.value if isinstance(node, ast.DictComp) else node.elt)
        self.frame.overlay = before
        into = self.fresh()
        self.hold(into, value(Tag.DICT if isinstance(node, ast.DictComp) else Tag.LIST, into))
        self.element(into, "*", element)
        self.flow(key, f"{into}[key]")
        return into

    def _comprehension_target(self, target: ast.expr, cell: str) -> None:
        """Bind the names of a comprehension, which live in it alone."""
        for name in (part.id for part in ast.walk(target) if isinstance(part, ast.Name)):
            self.frame.overlay[name] = self.fresh(f"{name}%")
        self.assign(target, cell)

    def iterate(self, cell: str) -> str:
        """Return the cell of the elements of what a cell holds."""
        if not cell:
            return ""
        self.watch(cell, Iterate(f"{cell}[@]", self.statement))
        return f"{cell}[@]"

    def subscript(self, node: ast.Subscript) -> str:
        """Read an element or a slice."""
        base = self.expression(node.value)
        by = self.expression(node.slice)
        if not base:
            return ""
        key = key_of(node.slice)
        if isinstance(node.slice, ast.Slice):
            into = f"{base}[:{self._bound(node.slice.lower)}]"
            self.watch(base, Item(f":{self._bound(node.slice.lower)}", into, self.statement))
        elif key or not by:
            into = f"{base}[{key}]"
            self.watch(base, Item(key, into, self.statement))
        else:
            counted = self.counts(node.slice)
            into = f"{base}[{'#' if counted else '='}{by}]"
            self.watch(base, Item("*" if counted else "", into, self.statement, by))
        self.out.elements.append(Element(self.statement, base, into))
        return into

    def _bound(self, node: ast.expr | None) -> str:
        return "0" if node is None else key_of(node) if key_of(node).isdigit() else ""

    def conditional(self, node: ast.IfExp) -> str:
        """Read a conditional expression: either side."""
        self.expression(node.test)
        return self.join((self.expression(node.body), self.expression(node.orelse)))

    def boolean(self, node: ast.BoolOp) -> str:
        """Read `and` and `or`: any part."""
        return self.join([self.expression(part) for part in node.values])

    def binary(self, node: ast.BinOp) -> str:
        """Read an operator, or a chain of them."""
        chain: list[ast.BinOp] = [node]
        while isinstance(chain[-1].left, ast.BinOp):  # a long sum is deep on its left
            chain.append(chain[-1].left)
        left = self.expression(chain[-1].left)
        for part in reversed(chain):
            left = self.operator(part.op, left, self.expression(part.right))
        return left

    def operator(self, operator: ast.AST, left: str, right: str, *, augmented: bool = False) -> str:
        """Read an operator: containers stay what they are, tensors too, and our own classes run their methods."""
        if not left and not right:
            return ""
        name, into = _OPERATORS[type(operator)], self.fresh()
        for cell in (left, right):
            self.watch(cell, Keep(into, (*_CONTAINERS, Tag.MADE, Tag.ORIGIN, Tag.FILE)))
        for dunder in (f"__{name}__", *((f"__i{name}__",) if augmented else ())):
            self.watch(left, Dunder(dunder, (Argument("", right),), into, self.statement))
        if right:
            self.watch(right, Dunder(f"__r{name}__", (Argument("", left),), into, self.statement))
        if name == "truediv" and right.rstrip("'\"").endswith(SUFFIXES):
            self.watch(right, Open(into, self.module.rpartition(".")[0].replace(".", "/")))
        return into

    def truth(self, node: ast.expr) -> None:
        """Read a condition: it asks its value whether it is true."""
        cell = self.expression(node)
        if isinstance(node, (ast.Name, ast.Attribute)):
            self.watch(cell, Dunder("__bool__", (), "", self.statement))

    def comparison(self, node: ast.Compare) -> str:
        """Read comparisons, which may run methods."""
        cells = [self.expression(node.left), *(self.expression(part) for part in node.comparators)]
        for operator, left, right in zip(node.ops, cells, cells[1:], strict=False):
            name = _OPERATORS.get(type(operator))
            if name == "contains":
                self.watch(right, Dunder("__contains__", (Argument("", left),), self.fresh(), self.statement))
            elif name:
                self.watch(left, Dunder(f"__{name}__", (Argument("", right),), self.fresh(), self.statement))
        return ""

    def unary(self, node: ast.UnaryOp) -> str:
        """Read a sign."""
        cell, name = self.expression(node.operand), _OPERATORS.get(type(node.op))
        if not cell or name is None:
            return ""
        into = self.fresh()
        self.watch(cell, Dunder(f"__{name}__", (), into, self.statement))
        self.watch(cell, Keep(into, (Tag.MADE, Tag.ORIGIN)))
        return into

    def function_value(self, node: ast.Lambda) -> str:
        """Read a lambda."""
        slot = self.lambda_function(node)
        return self.hold(f"{slot}^", value(Tag.FUNCTION, slot))

    def walrus_value(self, node: ast.NamedExpr) -> str:
        """Read `name := value`."""
        cell = self.expression(node.value)
        self.assign(node.target, cell, node.value)
        return cell

    def awaited(self, node: ast.Await) -> str:
        """Read what is awaited, as if it were there."""
        return self.expression(node.value)

    def yielded(self, node: ast.Yield) -> str:
        """Read what a generator gives."""
        self.result(self.expression(node.value), yields=True)
        return ""

    def yielded_from(self, node: ast.YieldFrom) -> str:
        """Read what a generator passes on."""
        self.result(self.iterate(self.expression(node.value)), yields=True)
        return ""


_METHODS: Mapping[type[ast.expr], Callable[..., str]] = {
    ast.Name: Expressions.name,
    ast.Constant: Expressions.constant,
    ast.Attribute: Expressions.attribute,
    ast.Call: Expressions.call,
    ast.List: Expressions.sequence,
    ast.Tuple: Expressions.sequence,
    ast.Set: Expressions.sequence,
    ast.Starred: Expressions.starred,
    ast.Dict: Expressions.dictionary,
    ast.ListComp: Expressions.comprehension,
    ast.SetComp: Expressions.comprehension,
    ast.GeneratorExp: Expressions.comprehension,
    ast.DictComp: Expressions.comprehension,
    ast.Subscript: Expressions.subscript,
    ast.IfExp: Expressions.conditional,
    ast.BoolOp: Expressions.boolean,
    ast.BinOp: Expressions.binary,
    ast.Compare: Expressions.comparison,
    ast.UnaryOp: Expressions.unary,
    ast.Lambda: Expressions.function_value,
    ast.NamedExpr: Expressions.walrus_value,
    ast.Await: Expressions.awaited,
    ast.Yield: Expressions.yielded,
    ast.YieldFrom: Expressions.yielded_from,
}
