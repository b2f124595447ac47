"""Structural features of a program: how far apart two versions are, and whether they are the same one.

`features` counts what a program is made of: the imports that it uses, its control structure, its resolved callees, its operators,
and with little weight the shapes of its expressions and its literals. `distance` is a weighted L1 distance of the logarithms of
these counts: a pseudo-metric in which the first occurrence of an operator, a loop or an import counts most (0.69 of its weight,
the eleventh 0.09). Names do not count: a local is named by the head of the definition that reaches it in straight-line order, a
function of the sources by how much it takes and what it returns last, a class by its constructor and its base, an import by its
full path. So renames, import aliases, comments, formatting, docstrings, annotations and the order of commutative operands are at
distance 0 exactly, and so is an import that nothing uses.

Limits. Branches are not joined: after an `if` the last definition in the text reaches. Two locals with equal heads, two functions
with equal signatures, and independent statements may be exchanged at distance 0; a literal moves by half an octave or not at all.
Variables of a module look alike from inside functions. Code that nothing calls counts fully, except behind a return. Attributes,
and keywords of callees outside the sources, keep their names. Identity is `canonical_digest`.

Source: pq-grams (Augsten et al. 2005) are the published cousin of the edges and shapes; Lehman and Stanley 2011, novelty search.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from graph.canonical import canonical_unit
from graph.reader import count_unit
from graph.units import CACHED_FILES, known_names, located, read_modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from graph.reader import Names
    from graph.units import Known, Module, Paths, Symbol

# What a feature of a category weighs: a library first used is the larger step than a loop, that than a callee, that than a literal.
_WEIGHTS = {"import": 5.0, "control": 3.0, "call": 2.0, "operator": 2.0, "edge": 0.25, "shape": 0.25, "literal": 0.25}


@dataclass(frozen=True, eq=False)
class Features:
    """Feature -> count, file by file. A feature is a category and what was counted: `call torch.nn.functional.gelu`.

    Files that two programs share are the same objects in both, so what is between them costs no more than the others.
    """

    parts: tuple[Mapping[str, int], ...]

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Feature -> count over all files."""
        return _sum(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Features) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]  # a value that is compared by its mappings, as they are


def features(files: Mapping[str, bytes]) -> Features:
    """Count the features of a program, path -> bytes; top-level statements that were counted before are not read again.

    Raises: GraphError: a Python file does not parse.
    """
    modules = read_modules(files)
    known = known_names(modules)
    parts = []
    for module in modules:
        with located(module.path):
            parts.append(_count_module(module, known))
    return Features(tuple(parts))


def distance(a: Features, b: Features) -> float:
    """Return how far apart two programs are: at least 0, symmetric, with the triangle inequality.

    Units: about 0.3 for a literal, 1 for an operator, 3 for a callee, 5 for a loop or a library, 1000 for another repository.
    """
    return norm(displacement(a, b))


def displacement(of: Features, base: Features) -> dict[str, float]:
    """Return where a program lies as seen from another: feature -> weighted change of the logarithm, without zeros.

    The L1 distance of two displacements from one base is the distance of the two programs, at the price of what changed.
    """
    shared = {id(part) for part in of.parts} & {id(part) for part in base.parts}
    others = [part for part in of.parts if id(part) in shared]
    after, before = (_sum(part for part in each.parts if id(part) not in shared) for each in (of, base))
    changed = {feature for feature, _ in after.items() ^ before.items()}
    return {feature: _step(feature, after, before, sum(part.get(feature, 0) for part in others)) for feature in changed}


def norm(place: Mapping[str, float]) -> float:
    """Return the L1 norm of a displacement: exact, whatever the order of features."""
    return math.fsum(map(abs, place.values()))


def by_category(place: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Part a displacement by what was counted, the category that moved most first; of each, the largest steps first."""
    parts: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for feature, step in sorted(place.items(), key=lambda item: (-abs(item[1]), item[0])):
        category, _, counted = feature.partition(" ")
        parts[category][counted] = step
    return dict(sorted(parts.items(), key=lambda item: (-norm(item[1]), item[0])))


def breakdown(a: Features, b: Features) -> dict[str, dict[str, float]]:
    """Say what the distance from one program to another is made of: category -> what was counted -> signed step.

    The norms of the categories add up to the distance. Both levels begin with what counts most.
    """
    return by_category(displacement(b, a))


def canonical_digest(files: Mapping[str, bytes]) -> str:
    """Name a program up to the names of locals, docstrings, comments and formatting; everything else, each literal too, counts.

    Locals are the variables that functions and comprehensions assign. Parameters are not: a caller may name them.
    Raises: GraphError: a Python file does not parse.
    """
    contents = {path: data for path, data in files.items() if not path.endswith(".py")}
    for module in read_modules(files):
        with located(module.path):
            contents[module.path] = b"".join(canonical_unit(unit.text) for unit in module.units)
    hasher = blake2b(digest_size=16)
    for path, content in sorted(contents.items()):
        hasher.update(f"{path}\0{len(content)}\0".encode() + content)
    return hasher.hexdigest()


def _step(feature: str, after: Mapping[str, int], before: Mapping[str, int], both: int) -> float:
    """Return the weighted step of a feature that both programs have so often in what they share."""
    change = math.log1p(both + after.get(feature, 0)) - math.log1p(both + before.get(feature, 0))
    return _WEIGHTS[feature.partition(" ")[0]] * change


def _sum(parts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


@lru_cache(maxsize=CACHED_FILES)
def _count_module(module: Module, known: Known) -> Mapping[str, int]:
    """Count a module, or find that nothing changed: neither its own text nor what its words stand for."""
    own = [
        (name, known.symbols[path]) for path in module.names.stated if (name := path.removeprefix(f"{module.name}."))
    ]
    dotted = [(word, known.paths[word]) for word in sorted(module.words & known.paths.keys())]
    return _count_units(module, tuple(own), tuple(dotted))


@lru_cache(maxsize=CACHED_FILES)
def _count_units(module: Module, own: Names, dotted: tuple[tuple[str, Paths], ...]) -> Mapping[str, int]:
    """Count unit by unit; the roles of module-level variables go from one to the next."""
    names, paths = dict(own), dict(dotted)
    bound: dict[str, Symbol] = {}
    counts: Counter[str] = Counter()
    for unit in module.units:
        here = tuple((word, names[word]) for word in sorted(unit.words & names.keys()))
        seen = tuple(paths[word] for word in sorted(unit.words & paths.keys()))
        before = tuple((word, bound[word]) for word in sorted(unit.words & bound.keys()))
        unit_counts, after = count_unit(unit.text, module.package, (here, seen), before)
        bound.update(after)
        counts.update(unit_counts)
    return counts
