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
from hashlib import blake2b
from typing import TYPE_CHECKING

from graph.canonical import canonical_unit
from graph.reader import count_unit
from graph.units import Symbol, known_names, located, read_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from graph.units import Module

    _Symbols = Mapping[str, Symbol]

# What a feature of a category weighs: a library first used is the larger step than a loop, that than a callee, that than a literal.
_WEIGHTS = {"import": 5.0, "control": 3.0, "call": 2.0, "operator": 2.0, "edge": 0.25, "shape": 0.25, "literal": 0.25}


@dataclass(frozen=True, slots=True)
class Features:
    """Feature -> count over all files. A feature is a category and what was counted: `call torch.nn.functional.gelu`."""

    counts: Mapping[str, int]


def features(files: Mapping[str, bytes]) -> Features:
    """Count the features of a program, path -> bytes; top-level statements that were counted before are not read again.

    Raises: GraphError: a Python file does not parse.
    """
    modules = read_modules(files)
    known = known_names(modules)
    paths: defaultdict[str, list[str]] = defaultdict(list)  # by their last word
    for path in known:
        paths[path.rpartition(".")[2]].append(path)
    counts: Counter[str] = Counter()
    for module in modules:
        with located(module.path):
            for unit_counts in _count_module(module, known, paths):
                counts.update(unit_counts)
    return Features(dict(counts))


def distance(a: Features, b: Features) -> float:
    """Return how far apart two programs are: at least 0, symmetric, with the triangle inequality.

    Units: about 0.3 for a literal, 1 for an operator, 3 for a callee, 5 for a loop or a library, 1000 for another repository.
    """
    return math.fsum(map(abs, displacement(a, b).values()))


def displacement(of: Features, base: Features) -> dict[str, float]:
    """Return where a program lies as seen from another: feature -> weighted change of the logarithm, without zeros.

    The L1 distance of two displacements from one base is the distance of the two programs, at the price of what changed.
    """
    changed = {feature for feature, _ in of.counts.items() ^ base.counts.items()}
    return {feature: _WEIGHTS[feature.partition(" ")[0]] * _log_change(of, base, feature) for feature in changed}


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


def _log_change(of: Features, base: Features, feature: str) -> float:
    return math.log1p(of.counts.get(feature, 0)) - math.log1p(base.counts.get(feature, 0))


def _count_module(module: Module, known: _Symbols, paths: Mapping[str, list[str]]) -> Iterator[Mapping[str, int]]:
    """Count unit by unit; the roles of module-level variables go from one to the next."""
    own = {name for unit in module.units for name, _ in unit.names}
    bound: dict[str, Symbol] = {}
    for unit in module.units:
        names = [(word, known[f"{module.name}.{word}"]) for word in sorted(unit.words & own)]
        dotted = [(path, known[path]) for word in sorted(unit.words & paths.keys()) for path in paths[word]]
        before = tuple((word, bound[word]) for word in sorted(unit.words & bound.keys()))
        counts, after = count_unit(unit.text, module.package, (*names, *dotted), before)
        bound.update(after)
        yield counts
