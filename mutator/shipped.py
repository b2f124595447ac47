"""The kinds that ship with codegraft, one per file of mutator/kinds, and those that installed packages add.

A package adds kinds by an entry point of the group `codegraft.kinds` that names an instance:

    [project.entry-points."codegraft.kinds"]
    swap-pooling = "my_package.kinds:SWAP_POOLING"
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

import mutator.kinds
from mutator.edit import EditError
from mutator.grammar import Grammar
from mutator.kind import EditKind, Family

GROUP = "codegraft.kinds"
# A kind that changes nothing pays only by what it makes reachable.
_PRESERVING = 0.1


@cache
def default_grammar() -> Grammar:
    """Return every kind: the shipped ones by family and name, then those of installed packages by name.

    Raises: EditError: an entry point does not load, or is no edit kind; two kinds have one name.
    """
    order = list(Family)
    shipped = sorted(_shipped(), key=lambda kind: (order.index(kind.family), kind.name))
    priors = {kind.name: _PRESERVING for kind in shipped if kind.preserves}
    return Grammar(tuple(shipped), priors) + Grammar(_installed())


def _shipped() -> tuple[EditKind, ...]:
    found = iter_modules(mutator.kinds.__path__)
    return tuple(import_module(f"{mutator.kinds.__name__}.{each.name}").KIND for each in found)


def _installed() -> tuple[EditKind, ...]:
    found: list[EditKind] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            kind = entry.load()
        except Exception as error:  # whatever the package does when it is imported
            raise EditError(
                f"{entry.name}: cannot be loaded from {entry.value} ({error}); fix or uninstall it"
            ) from error
        if not isinstance(kind, EditKind):
            raise EditError(f"{entry.name}: {entry.value} is no EditKind; let the entry point name an instance of one")
        found.append(kind)
    return tuple(found)
