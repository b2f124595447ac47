"""The reader: one walk over one unit that counts its features and keeps the roles of the names in reach (see graph.features)."""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections import Counter
from contextlib import contextmanager
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, ClassVar

from graph.units import (
    CACHED_UNITS,
    COMPREHENSIONS,
    FUNCTIONS,
    Symbol,
    absolute,
    bindings,
    imported,
    signature,
    tree_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from graph.units import Paths

Names = tuple[tuple[str, Symbol], ...]

_COMMUTATIVE = frozenset({"Add", "Mult", "BitOr", "BitAnd", "BitXor", "And", "Or", "Eq", "NotEq"})
_BUILTINS = frozenset(dir(builtins))
_WRAPPED = re.compile(r"^(iter|item|with):")
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)

_FREE, _SELF, _PARAMETER, _LOCAL = Symbol("free"), Symbol("self"), Symbol("parameter"), Symbol("local")


@lru_cache(maxsize=CACHED_UNITS)
def count_unit(
    text: str, package: str, known: tuple[Names, tuple[Paths, ...]], bound: Names
) -> tuple[Mapping[str, int], Names]:
    """Count the features of one unit.

    `known` says what its words stand for in its module, and what paths that end in them stand for; `bound` gives the roles of
    module-level variables before it. Returns feature -> count, and these roles after it.
    """
    names, paths = known
    reader = _Reader(package, dict(chain(names, *(each.symbols for each in paths))), dict(bound))
    reader.read(tree_of(text).body, "module")
    return reader.counts, tuple(reader.module.items())


class _Reader:
    """The walk, in source order. Labels of parents go down, shapes come up."""

    def __init__(self, package: str, known: Mapping[str, Symbol], bound: dict[str, Symbol]) -> None:
        self.counts: Counter[str] = Counter()
        self.module = bound
        self._package = package
        self._known = known
        self._scopes = [bound]  # innermost last
        self._fields: dict[str, Symbol] | None = None  # names of the class body that is being read

    def read(self, body: Iterable[ast.stmt], within: str) -> None:
        """Read statements in order, up to the first that ends the block."""
        for statement in body:
            self._STATEMENTS.get(type(statement), self._STATEMENTS[ast.stmt])(self, statement, within)
            if isinstance(statement, _ENDS):
                break

    def _shape(self, node: ast.AST, parent: str) -> str:
        return self._EXPRESSIONS.get(type(node), self._EXPRESSIONS[ast.AST])(self, node, parent)

    def _count(self, category: str, what: str) -> None:
        self.counts[f"{category} {what}"] += 1

    def _record(self, label: str, parent: str, parts: Iterable[str] = ()) -> str:
        """Count a node below its parent and return its shape: its label, or a digest of the label and the parts."""
        self._count("edge", f"{parent}>{label}")
        shape = "\0".join((label, *parts))
        if shape != label:
            shape = blake2b(shape.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            self._count("shape", shape)
        return shape

    def _control(self, label: str, within: str) -> str:
        self._count("control", f"{within}>{label}")
        return label

    def _operator(self, node: ast.AST) -> str:
        label = type(node).__name__
        self._count("operator", label)
        return label

    # Statements. `within` is the label of the enclosing block.

    def _plain(self, node: ast.stmt, within: str) -> None:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            self._any(node, within)

    def _weightless(self, node: ast.stmt, within: str) -> None:
        """Count nothing for `pass`, `global` and `nonlocal`."""

    def _import(self, node: ast.Import | ast.ImportFrom, within: str) -> None:
        if self._here is not self.module:
            self._here.update({name: self._importable(absolute(path, self._package)) for name, path in imported(node)})

    def _assign(self, node: ast.Assign | ast.AnnAssign, within: str) -> None:
        if node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            shape = self._shape(node.value, "assign")
            self._record("assign", within, (shape, *[self._shape(target, "assign") for target in targets]))
            for target in targets:
                self._bind(target, self._meaning(node.value))

    def _augment(self, node: ast.AugAssign, within: str) -> None:
        label = f"{self._operator(node.op)}="
        self._record(label, within, (self._shape(node.value, label), self._shape(node.target, label)))
        self._bind(node.target, Symbol("BinOp"))

    def _loop(self, node: ast.For | ast.AsyncFor, within: str) -> None:
        label = self._control("for", within)
        self._record(label, within, (self._shape(node.iter, label), self._shape(node.target, label)))
        self._bind(node.target, self._wrapped("iter", self._meaning(node.iter)))
        self.read(node.body, label)
        self.read(node.orelse, "else")

    def _branch(self, node: ast.If | ast.While, within: str) -> None:
        label = self._control("if" if isinstance(node, ast.If) else "while", within)
        self._record(label, within, (self._shape(node.test, label),))
        self.read(node.body, label)
        self.read(node.orelse, "else")

    def _with(self, node: ast.With | ast.AsyncWith, within: str) -> None:
        label = self._control("with", within)
        for item in node.items:
            self._record(label, within, (self._shape(item.context_expr, label),))
            if item.optional_vars is not None:
                self._bind(item.optional_vars, self._wrapped("with", self._meaning(item.context_expr)))
        self.read(node.body, label)

    def _try(self, node: ast.Try | ast.TryStar, within: str) -> None:
        label = self._control("try", within)
        self.read(node.body, label)
        for handler in node.handlers:
            self._control("except", label)
            if handler.type is not None:
                self._shape(handler.type, "except")
            if handler.name is not None:
                self._here[handler.name] = Symbol("exception")
            self.read(handler.body, "except")
        self.read(node.orelse, "else")
        self.read(node.finalbody, "finally")

    def _match(self, node: ast.Match, within: str) -> None:
        label = self._control("match", within)
        self._record(label, within, (self._shape(node.subject, label),))
        for case in node.cases:
            self._control("case", label)
            self._here.update({name: Symbol("match") for name, _ in bindings([case.pattern])})
            self._shape(case.pattern, "case")
            if case.guard is not None:
                self._shape(case.guard, "guard")
            self.read(case.body, "case")

    def _define(self, node: ast.FunctionDef | ast.AsyncFunctionDef, within: str) -> None:
        self._record("def", within, [self._shape(decorator, "decorator") for decorator in node.decorator_list])
        parameters = self._parameters(node.args, method=self._fields is not None)
        self._bind_definition(node)
        local = {name: _LOCAL for name, _ in bindings(node.body)}
        with self._scope({**local, **parameters}, later=True):
            self.read(node.body, "def")

    def _class(self, node: ast.ClassDef, within: str) -> None:
        above = (*node.decorator_list, *node.bases, *node.keywords)
        self._record("class", within, [self._shape(each, "class") for each in above])
        self._bind_definition(node)
        outer, self._fields = self._fields, {}
        self.read(node.body, "class")
        self._fields = outer

    # Expressions. Each returns its shape.

    def _any(self, node: ast.AST, parent: str) -> str:
        label = type(node).__name__
        children = (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context))
        return self._record(label, parent, [self._shape(child, label) for child in children])

    def _name(self, node: ast.Name, parent: str) -> str:
        stored = isinstance(node.ctx, ast.Store)
        return self._record("target" if stored else self._used(self._lookup(node.id)), parent)

    def _attribute(self, node: ast.Attribute, parent: str) -> str:
        symbol = self._symbol(node)
        if symbol is not None:
            return self._record(self._used(symbol), parent)
        label = f".{node.attr}"
        return self._record(label, parent, (self._shape(node.value, label),))

    def _call(self, node: ast.Call, parent: str) -> str:
        callee = self._callee(node.func)
        self._count("call", callee)
        # A parameter of our own function may be renamed with its keywords.
        ours = callee.startswith(("def/", "class/"))
        keywords = [(f"{'' if ours else each.arg}=", each.value) for each in node.keywords]
        named = sorted(label + self._shape(value, label) for label, value in keywords)
        arguments = [self._shape(each, callee) for each in node.args]
        return self._record("call", parent, (self._shape(node.func, "call"), *arguments, *named))

    def _binary(self, node: ast.BinOp, parent: str) -> str:
        return self._operation(self._operator(node.op), parent, (node.left, node.right))

    def _boolean(self, node: ast.BoolOp, parent: str) -> str:
        return self._operation(self._operator(node.op), parent, node.values)

    def _compare(self, node: ast.Compare, parent: str) -> str:
        label = ",".join([self._operator(each) for each in node.ops])
        return self._operation(label, parent, (node.left, *node.comparators))

    def _unary(self, node: ast.UnaryOp, parent: str) -> str:
        number = _number(node)
        if number is not None:
            return self._literal(number, parent)
        return self._operation(self._operator(node.op), parent, (node.operand,))

    def _operation(self, label: str, parent: str, operands: Iterable[ast.expr]) -> str:
        shapes = [self._shape(operand, label) for operand in operands]
        return self._record(label, parent, sorted(shapes) if label in _COMMUTATIVE else shapes)

    def _constant(self, node: ast.Constant, parent: str) -> str:
        if isinstance(node.value, (int, float, complex)) and not isinstance(node.value, bool):
            return self._literal(node.value, parent)
        if isinstance(node.value, (str, bytes)):
            self._count("literal", f"{parent} {_digest(repr(node.value))}")
            return self._record("text", parent)
        return self._record(repr(node.value), parent)

    def _literal(self, value: complex, parent: str) -> str:
        """Count a number in its half octave. Shapes do not see its size: scaling a literal is one small step."""
        self._count("literal", f"{parent} {_half_octave(value)}")
        return self._record("number", parent)

    def _text(self, node: ast.JoinedStr, parent: str) -> str:
        values = (each for each in node.values if not isinstance(each, ast.Constant))
        return self._record("text", parent, [self._shape(each, "format") for each in values])

    def _walrus(self, node: ast.NamedExpr, parent: str) -> str:
        shape = self._shape(node.value, "assign")
        self._bind(node.target, self._meaning(node.value))
        return self._record("assign", parent, (shape,))

    def _lambda(self, node: ast.Lambda, parent: str) -> str:
        with self._scope(self._parameters(node.args, method=False), later=False):
            return self._record("lambda", parent, (self._shape(node.body, "lambda"),))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, parent: str) -> str:
        label = type(node).__name__
        made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        parts = []
        with self._scope({}, later=False):
            for loop in node.generators:
                self._control("for", label)
                parts.append(self._shape(loop.iter, "for"))
                self._bind(loop.target, self._wrapped("iter", self._meaning(loop.iter)))
                parts += [self._shape(condition, self._control("if", label)) for condition in loop.ifs]
            return self._record(label, parent, (*parts, *[self._shape(each, label) for each in made]))

    # Names.

    @property
    def _here(self) -> dict[str, Symbol]:
        return self._scopes[-1] if self._fields is None else self._fields

    @contextmanager
    def _scope(self, names: Mapping[str, Symbol], *, later: bool) -> Iterator[None]:
        """Read inside a scope. Code that runs later, a function's, does not see what its module's variables are now."""
        outer = self._scopes, self._fields
        self._scopes = [*(scope for scope in self._scopes if not (later and scope is self.module)), dict(names)]
        self._fields = None
        yield
        self._scopes, self._fields = outer

    def _parameters(self, node: ast.arguments, *, method: bool) -> dict[str, Symbol]:
        for default in (*node.defaults, *(each for each in node.kw_defaults if each is not None)):
            self._shape(default, "default")
        positional, stars = (*node.posonlyargs, *node.args), (node.vararg, node.kwarg)
        each = [*positional, *node.kwonlyargs, *(star for star in stars if star is not None)]
        for _ in each:
            self._count("edge", "def>parameter")
        first = {positional[0].arg: _SELF} if method and positional else {}
        return {**dict.fromkeys((parameter.arg for parameter in each), _PARAMETER), **first}

    def _bind_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        if self._here is not self.module:  # else it is known already
            self._here[node.name] = signature(node)

    def _bind(self, target: ast.expr, symbol: Symbol) -> None:
        if isinstance(target, ast.Name):
            self._here[target.id] = symbol
        elif isinstance(target, ast.Starred):
            self._bind(target.value, symbol)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self._bind(element, self._wrapped("item", symbol))

    def _lookup(self, name: str) -> Symbol:
        scopes: tuple[Mapping[str, Symbol], ...] = (self._fields or {}, *reversed(self._scopes), self._known)
        for scope in scopes:
            if name in scope:
                return scope[name]
        return Symbol(f"builtins.{name}") if name in _BUILTINS else _FREE

    def _importable(self, path: str) -> Symbol:
        return self._known.get(path) or Symbol(path, path)

    def _symbol(self, node: ast.AST) -> Symbol | None:
        """Return what a name or a dotted name stands for; None for an attribute of a value."""
        if isinstance(node, ast.Name):
            return self._lookup(node.id)
        if not isinstance(node, ast.Attribute):
            return None
        owner = self._symbol(node.value)
        if owner is _SELF:
            return Symbol(f"self.{node.attr}")
        return self._importable(f"{owner.path}.{node.attr}") if owner is not None and owner.path else None

    def _used(self, symbol: Symbol) -> str:
        """Count the import that a symbol needs, if any, and return its role."""
        if symbol.path:
            self._count("import", symbol.path.rpartition(".")[0] or symbol.path)
        return symbol.role

    def _callee(self, function: ast.expr) -> str:
        symbol = self._symbol(function)
        kind = f".{function.attr}" if isinstance(function, ast.Attribute) else type(function).__name__
        return kind if symbol is None else symbol.role

    def _meaning(self, node: ast.expr) -> Symbol:
        """Return what a variable stands for that is bound to an expression: its head."""
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._symbol(node) or Symbol(self._callee(node))
        if isinstance(node, ast.Call):
            return Symbol(f"call:{self._callee(node.func)}")
        return Symbol("number" if _number(node) is not None else type(node).__name__)

    def _wrapped(self, how: str, symbol: Symbol) -> Symbol:
        return Symbol(f"{how}:{_WRAPPED.sub('', symbol.role)}")

    _STATEMENTS: ClassVar[dict[type[ast.AST], Callable[..., None]]] = {
        ast.stmt: _plain,
        **dict.fromkeys((ast.Pass, ast.Global, ast.Nonlocal), _weightless),
        **dict.fromkeys((ast.Import, ast.ImportFrom), _import),
        **dict.fromkeys((ast.Assign, ast.AnnAssign), _assign),
        ast.AugAssign: _augment,
        **dict.fromkeys((ast.For, ast.AsyncFor), _loop),
        **dict.fromkeys((ast.If, ast.While), _branch),
        **dict.fromkeys((ast.With, ast.AsyncWith), _with),
        **dict.fromkeys((ast.Try, ast.TryStar), _try),
        ast.Match: _match,
        **dict.fromkeys(FUNCTIONS, _define),
        ast.ClassDef: _class,
    }

    _EXPRESSIONS: ClassVar[dict[type[ast.AST], Callable[..., str]]] = {
        ast.AST: _any,
        ast.Name: _name,
        ast.Attribute: _attribute,
        ast.Call: _call,
        ast.BinOp: _binary,
        ast.BoolOp: _boolean,
        ast.Compare: _compare,
        ast.UnaryOp: _unary,
        ast.Constant: _constant,
        ast.JoinedStr: _text,
        ast.NamedExpr: _walrus,
        ast.Lambda: _lambda,
        **dict.fromkeys(COMPREHENSIONS, _comprehension),
    }


def _number(node: ast.expr) -> complex | None:
    """Return the value of a literal number, a sign included."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _number(node.operand)
        return None if inner is None else -inner
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, (int, float, complex)) and not isinstance(value, bool) else None


def _half_octave(value: complex) -> str:
    if isinstance(value, complex) or not value or math.isinf(value):
        return "complex" if isinstance(value, complex) else str(value)
    return f"{'-' if value < 0 else ''}{round(2 * math.log2(abs(value)))}"


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
