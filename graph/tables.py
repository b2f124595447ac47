"""What is known of all files before any value is followed: modules, names, classes with their bases, functions.

It answers what an import path leads to, which classes an attribute is looked up in, and what a file gets from the others. Two
tables can be compared, so that after an edit only what depends on a difference is solved again.
"""

from __future__ import annotations

import builtins
from functools import cached_property
from typing import TYPE_CHECKING

from graph.facts import Access, ClassFacts, FileFacts, FunctionFacts, Name
from graph.values import Constraint, Tag, Value, value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BUILTINS = frozenset(dir(builtins))
_ALIASES = 20  # steps that a chain of aliases and re-exports may have


class Tables:
    """The declarations of all files."""

    def __init__(self, files: Mapping[str, FileFacts]) -> None:
        self.modules = {facts.module: facts for path, facts in files.items() if path.endswith(".py")}
        self.packages = {m.rsplit(".", k)[0] for m in self.modules for k in range(1, m.count(".") + 1)}
        self._stars = {  # module -> the modules whose public names it imports with a star
            module: tuple(self.find_module(i.base, module) for i in facts.imports if i.name == "*")
            for module, facts in self.modules.items()
        }
        self.classes: dict[str, ClassFacts] = {}
        self.functions: dict[str, FunctionFacts] = {}
        for facts in files.values():
            self.classes.update(facts.classes)
            self.functions.update(facts.functions)
        self.outside = frozenset().union(*(facts.outside for facts in files.values()))
        self.labels = frozenset(slot.rpartition(":")[2].rpartition(".")[2] for slot in self.classes)
        self.called = frozenset().union(*(facts.called & self.labels for facts in files.values()))
        self.visited: set[str] = set()  # modules whose names were asked for, for whoever asks to note and clear
        self._lineages: dict[str, tuple[str, ...]] = {}
        self._attributes: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {}
        self._public: dict[str, tuple[str, ...]] = {}
        self._followed: dict[
            tuple[str, int], int
        ] = {}  # bindings that are being followed -> those before that are left

    # --- modules and names --------------------------------------------------------------------------------------------------------

    def find_module(self, name: str, importer: str) -> str:
        """Find a module as the interpreter would: from the root, from the folder of a script, from a `src` folder; never itself."""
        if name != importer and (name in self.modules or name in self.packages):
            return name
        folder = importer
        while "." in folder:
            folder = folder.rpartition(".")[0]
            found = f"{folder}.{name}"
            if folder not in self.modules and found != importer and (found in self.modules or found in self.packages):
                return found
        found = f"src.{name}"
        return found if found in self.modules or found in self.packages else ""

    def names_of(self, module: str) -> Mapping[str, tuple[Name, ...]]:
        """Return the names that a module binds itself."""
        facts = self.modules.get(module)
        return facts.names[module] if facts is not None and module in facts.names else {}

    def public(self, module: str) -> tuple[str, ...]:
        """Return what `from module import *` brings."""
        if module not in self._public:
            self._public[module] = ()
            facts = self.modules.get(module)
            if facts is not None:
                found = dict.fromkeys((*facts.names.get(module, ()), *self._starred(module)))
                public = tuple(name for name in found if not name.startswith("_"))
                self._public[module] = facts.exports if facts.exports is not None else public
        return self._public[module]

    def declares(self, module: str, name: str) -> bool:
        """Whether a module has a name, its own or by a star import."""
        return name in self.names_of(module) or any(name in self.public(star) for star in self._stars.get(module, ()))

    def _starred(self, module: str) -> Iterator[str]:
        """Walk the names that the star imports of a module bring."""
        return (name for star in self._stars.get(module, ()) for name in self.public(star))

    def resolve(self, dotted: str, scope: str, steps: int = _ALIASES) -> Value | None:
        """Follow a dotted name by declarations alone: to a class, a function, a module or an external."""
        head, *rest = dotted.split(".")
        found = self._lookup(head, scope, steps)
        for part in rest:
            found = self._member(found, part, steps) if found is not None else None
        return found

    def _lookup(self, name: str, scope: str, steps: int) -> Value | None:
        module = scope.partition(":")[0]
        facts = self.modules.get(module)
        self.visited.add(module)
        if not steps or facts is None:
            return None
        first, current = scope, scope
        while True:
            names = facts.names.get(current, {})
            if name in names and (current == first or current not in facts.classes):  # class scopes are closed
                return self._follow(names[name], current, steps)
            if current == module:
                break
            inner = current.partition(":")[2].rpartition(".")[0].partition("/")[0]
            current = f"{module}:{inner}" if inner else module
        if self.declares(module, name):
            star = next(star for star in self._stars[module] if name in self.public(star))
            return self._lookup(name, star, steps - 1)
        return value(Tag.EXTERNAL, f"builtins.{name}") if name in _BUILTINS else None

    def _follow(self, names: tuple[Name, ...], scope: str, steps: int) -> Value | None:
        """Return what the last binding that leads somewhere leads to; an alias of its own name means the bindings before it."""
        key = (scope, id(names))
        outer = self._followed.get(key, len(names))
        try:
            for index in range(outer - 1, -1, -1):
                self._followed[key] = index
                found = self._led_to(names[index], scope, steps)
                if found is not None:
                    return found
            return None
        finally:
            self._followed[key] = outer
            if outer == len(names):
                del self._followed[key]

    def _led_to(self, name: Name, scope: str, steps: int) -> Value | None:
        match name.kind:
            case "class":
                return value(Tag.CLASS, name.target)
            case "function":
                return value(Tag.FUNCTION, name.target)
            case "import" | "module":
                return self.imported(name.target, scope.partition(":")[0], steps - 1, named=name.kind == "import")
            case "alias":
                return self.resolve(name.target, scope, steps - 1) if steps > 1 else None
        return None

    def imported(self, target: str, importer: str, steps: int = _ALIASES, *, named: bool = True) -> Value | None:
        """Follow an absolute import path: `named`, a name of a module of ours first; then a module; else it is external."""
        base, _, name = target.rpartition(".")
        module = self.find_module(base, importer) if base else ""
        if named and module and self.declares(module, name) and steps:
            own = self.modules[module].names.get(module, {}).get(name, ())
            if not all(b.kind == "import" and b.target == target for b in own) or not own:
                return self._lookup(name, module, steps)
        found = self.find_module(target, importer)
        if found:
            return value(Tag.MODULE, found)
        if module:
            return self._lookup(name, module, steps) if self.declares(module, name) else None
        return value(Tag.EXTERNAL, target)

    def _member(self, owner: Value, name: str, steps: int) -> Value | None:
        if owner.tag is Tag.EXTERNAL:
            return value(Tag.EXTERNAL, f"{owner.name}.{name}")
        if owner.tag is Tag.MODULE:
            if self.declares(owner.name, name):
                return self._lookup(name, owner.name, steps - 1)
            inner = f"{owner.name}.{name}"
            return value(Tag.MODULE, inner) if inner in self.modules or inner in self.packages else None
        if owner.tag is Tag.CLASS:
            for base in self.lineage(owner.name):
                names = self.modules[base.partition(":")[0]].names.get(base, {}) if base in self.classes else {}
                if name in names:
                    return self._follow(names[name], base, steps)
        return None

    # --- classes ------------------------------------------------------------------------------------------------------------------

    def bases(self, slot: str) -> tuple[Value, ...]:
        """Return the bases of a class that declarations alone give: classes of ours and externals."""
        facts = self.classes[slot]
        found = (self.resolve(base, facts.scope) for base in facts.bases)
        return tuple(b for b in found if b is not None and b.tag in (Tag.CLASS, Tag.EXTERNAL) and b.name != slot)

    def lineage(self, slot: str) -> tuple[str, ...]:
        """Return a class and its bases in the order in which attributes are looked up: slots of ours, import paths of externals."""
        if slot not in self.classes:
            return (slot,)
        if slot not in self._lineages:
            self._lineages[slot] = (slot,)  # a cycle of bases ends here
            bases = [base.name for base in self.bases(slot)]
            self._lineages[slot] = (slot, *_linearized([list(self.lineage(base)) for base in bases] + [bases]))
        return self._lineages[slot]

    def external_bases(self, slot: str) -> tuple[str, ...]:
        """Return the import paths of the external bases of a class."""
        return tuple(base for base in self.lineage(slot) if base not in self.classes and base != "builtins.object")

    def is_module(self, slot: str) -> bool:
        """Whether calling an instance runs its forward: the class is a torch module."""
        return any(base.endswith("Module") or ".nn." in base for base in self.external_bases(slot))

    def is_enum(self, slot: str) -> bool:
        """Whether the names of a class body are its instances."""
        return any(base.startswith("enum.") for base in self.external_bases(slot))

    def body_owner(self, slot: str, name: str, *, after: str = "") -> str:
        """Return the first class along the bases whose body binds a name, behind `after` where it is given; else nothing."""
        line = self.lineage(slot)
        if after:
            line = line[line.index(after) + 1 :] if after in line else ()
        return next((c for c in line if c in self.classes and name in self.classes[c].body), "")

    def attribute_owners(self, slot: str, name: str) -> tuple[str, ...]:
        """Return the classes along the bases that may hold an attribute of that name on their instances: all of ours, or none."""
        if slot not in self._attributes:
            ours = tuple(c for c in self.lineage(slot) if c in self.classes)
            names = frozenset().union(*(self.classes[c].attributes.union(self.classes[c].fields) for c in ours))
            self._attributes[slot] = ours, names
        ours, names = self._attributes[slot]
        return ours if name in names or name in self.outside else ()

    @cached_property
    def subclasses(self) -> Mapping[str, tuple[str, ...]]:
        """Return the classes below each class."""
        found: dict[str, list[str]] = {}
        for slot in sorted(self.classes):
            for base in self.lineage(slot)[1:]:
                found.setdefault(base, []).append(slot)
        return {slot: tuple(below) for slot, below in found.items()}

    def instances(self, slot: str) -> tuple[str, ...]:
        """Return the classes that an instance said to be of this class has: the class, or those below it when nothing makes it."""
        below = self.subclasses.get(slot, ())
        label = slot.rpartition(":")[2].rpartition(".")[2]
        never = below and (self.classes[slot].abstract or label not in self.called)
        leaves = [c for c in below if not self.subclasses.get(c)] if never else []
        made = [c for c in leaves if c.rpartition(":")[2].rpartition(".")[2] in self.called]
        return tuple(made or leaves) or (slot,)

    def fields(self, slot: str) -> tuple[str, ...] | None:
        """Return the fields that the made-up constructor of a dataclass takes, in order; None when the class has none."""
        line = [c for c in self.lineage(slot) if c in self.classes]
        if not any(self.classes[c].dataclass for c in line):
            return None
        return tuple(dict.fromkeys(name for c in reversed(line) for name in self.classes[c].fields))

    # --- what a file gets from the others -----------------------------------------------------------------------------------------

    def link(self, facts: FileFacts) -> Iterator[Constraint]:
        """Walk the constraints of a file that depend on what other files declare."""
        for item in facts.imports:
            if item.name == "*":
                module = self.find_module(item.base, facts.module)
                own = facts.names.get(facts.module, {})
                yield from ((f"{module}:>{n}", f"{facts.module}:>{n}") for n in self.public(module) if n not in own)
            elif item.cell:
                yield from self._import(facts.module, item.cell, item.base, item.name)
        for name in sorted(facts.free):
            if name in _BUILTINS and not self.declares(facts.module, name):
                yield f"{facts.module}:>{name}", value(Tag.EXTERNAL, f"builtins.{name}")
        yield from self._receivers(facts)

    def _import(self, module: str, cell: str, base: str, name: str) -> Iterator[Constraint]:
        found = self.find_module(base, module)
        if not name:
            yield cell, value(Tag.MODULE, found) if found else value(Tag.EXTERNAL, base)
            return
        if found and self.declares(found, name):
            yield f"{found}:>{name}", cell
            return
        inner = self.find_module(f"{base}.{name}", module)
        if inner:
            yield cell, value(Tag.MODULE, inner)
        elif not found:
            yield cell, value(Tag.EXTERNAL, f"{base}.{name}")

    def _receivers(self, facts: FileFacts) -> Iterator[Constraint]:
        for function in facts.functions.values():
            if function.owner and function.parameters and function.access is not Access.STATIC:
                tag = Tag.CLASS if function.access is Access.CLASS else Tag.INSTANCE
                name = function.slot.rpartition(".")[2]
                slots = (
                    self.subclasses.get(function.owner, ())
                    if name == "__init_subclass__"
                    else self.instances(function.owner)
                )
                yield from ((function.parameters[0].cell, value(tag, slot)) for slot in slots)

    # --- differences --------------------------------------------------------------------------------------------------------------

    def changed_since(self, old: Tables) -> Mapping[str, frozenset[str] | None]:
        """Return the functions, classes and modules whose declarations differ; of a class or module the names, or None for all."""
        found: dict[str, frozenset[str] | None] = dict.fromkeys(
            s for s in self.functions.keys() | old.functions if not _equal(self.functions.get(s), old.functions.get(s))
        )
        for module in self.modules.keys() | old.modules:
            new_names, old_names = self.names_of(module), old.names_of(module)
            starred = frozenset(self._starred(module)) ^ frozenset(old._starred(module))
            if starred or (new_names is not old_names and new_names != old_names):
                found[module] = starred | (new_names.keys() ^ old_names.keys())
        for inner in (self.modules.keys() | self.packages) ^ (old.modules.keys() | old.packages):
            package, _, name = inner.rpartition(".")
            found[package] = (found.get(package) or frozenset()) | {name}
        if self.classes != old.classes or self.called != old.called or self._names_differ(old):
            for slot in self.classes.keys() | old.classes:
                names = self._class_difference(old, slot)
                if names is None or names:
                    for below in (slot, *self.subclasses.get(slot, ()), *old.subclasses.get(slot, ())):
                        known = found.get(below, frozenset())
                        found[below] = None if names is None or known is None else names | known
        return found

    def _class_difference(self, old: Tables, slot: str) -> frozenset[str] | None:
        """Return the names of a class that are looked up differently; None where any may be."""
        new_facts, old_facts = self.classes.get(slot), old.classes.get(slot)
        if new_facts is None or old_facts is None:
            return None
        if self.lineage(slot) != old.lineage(slot) or self.instances(slot) != old.instances(slot):
            return None
        if new_facts.dataclass != old_facts.dataclass or new_facts.fields != old_facts.fields:
            return None
        return (new_facts.body ^ old_facts.body) | (new_facts.attributes ^ old_facts.attributes)

    def _names_differ(self, old: Tables) -> bool:
        return self.modules.keys() != old.modules.keys() or any(
            facts is not old.modules[m] and not says_the_same(facts, old.modules[m])
            for m, facts in self.modules.items()
        )


def says_the_same(new: FileFacts, old: FileFacts) -> bool:
    """Whether two versions of a file mean the same to other files: names of the module and of its classes, bases, exports, stars."""
    scopes = (new.module, *new.classes)
    return (
        new.module == old.module and new.classes == old.classes and new.exports == old.exports
        and all(new.names.get(scope) == old.names.get(scope) for scope in scopes)
        and [i for i in new.imports if i.name == "*"] == [i for i in old.imports if i.name == "*"]
    )  # fmt: skip


def _equal(new: FunctionFacts | None, old: FunctionFacts | None) -> bool:
    return new is old or new == old


def _linearized(lines: list[list[str]]) -> Iterator[str]:
    """Merge the lookup orders of several bases (C3); where they contradict each other the first wins."""
    lines = [line for line in lines if line]
    while lines:
        head = next((line[0] for line in lines if not any(line[0] in other[1:] for other in lines)), lines[0][0])
        yield head
        lines = [rest for line in lines if (rest := [c for c in line if c != head])]
