"""What the network sees before a decision: tokens for the campaign, the edit kinds, the sites and the last trials, and the options.

`observe` turns a scene, its options and a memory into an `Observation`, which is all that a decision depends on and so all that learning
needs later. Tokens know how they are related: attention is biased by it, the way Graphormer does (Ying et al. 2021, arXiv:2106.05234).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.content import CHOICE_WIDTH, CODE_WIDTH, SITE_WIDTH, encode_edits, note
from policy.memory import TRIAL_WIDTH, squash
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from graph.code_graph import CodeGraph
    from mutator.edit import Edit
    from policy.content import Rows
    from policy.memory import Memory
    from policy.options import Options
    from policy.protocol import Scene
    from policy.tally import Tally

MAX_TRIALS = 32  # the last edits that were tried are tokens of their own; older ones live on in tallies and beliefs

TALLY_WIDTH = 6
SCENE_WIDTH = TALLY_WIDTH + 3
KIND_WIDTH = CODE_WIDTH + TALLY_WIDTH
PLACE_WIDTH = SITE_WIDTH + TALLY_WIDTH
OPTION_WIDTH = CHOICE_WIDTH + TALLY_WIDTH + 4
_NOTHING = (0.0,) * TALLY_WIDTH
_SPREAD = 4.0  # sizes of beliefs, which the network sees in units of order one


class Relation(IntEnum):
    """How two tokens are related; none is 0, and the last one that holds counts."""

    SAME_UNIT = 1  # two sites in one class or function
    WIRED = 2  # two sites one edge of the code graph apart, or with a neighbour in common
    OPEN = 3  # a kind and a site: there is an option
    SAME_KIND = 4  # a kind and a trial of it, or two trials
    SAME_SITE = 5  # a site and a trial of it, or two trials


@dataclass(frozen=True, slots=True)
class Observation:
    """One decision. K kinds, S sites, H past trials, M options; float32 unless said otherwise."""

    scene: Tensor  # (1, SCENE_WIDTH)
    kinds: Tensor  # (K, KIND_WIDTH)
    sites: Tensor  # (S, PLACE_WIDTH)
    trials: Tensor  # (H, TRIAL_WIDTH), newest first
    options: Tensor  # (M, OPTION_WIDTH)
    kind_of: Tensor  # (M,) int64: the row of the option's kind
    site_of: Tensor  # (M,) int64: the row of its site
    log_prior: Tensor  # (M,) kinds by their priors, then uniform over the kind's sites, then over the choices
    log_improvement: Tensor  # (M,) log expected improvement
    relations: Tensor  # (1 + K + S + H, the same) int64: Relation of two tokens, or 0


def observe(scene: Scene, options: Options, memory: Memory) -> Observation:
    """Look at a scene's options, at least one."""
    edits = options.edits
    graphs = {parent.number: parent for parent in scene.parents}
    content = np.concatenate(
        [encode_edits(graphs[number].graph, part) for number, part in _by_parent(options)], axis=0
    )  # options of one parent are next to each other
    kinds, first_of_kind, kind_of = np.unique([e.kind for e in edits], return_index=True, return_inverse=True)
    sites, first_of_site, site_of = np.unique([e.site for e in edits], return_index=True, return_inverse=True)
    of_kinds = _encode_tallies(memory.kinds[str(kind)] for kind in kinds)
    of_sites = _encode_tallies(memory.sites[str(site)] for site in sites)
    of_edits = _encode_tallies(memory.edits[identify(edit)] for edit in edits)
    log_improvement = options.log_improvement
    belief = np.stack([options.mean, options.deviation, log_improvement, options.behind], 1) / _SPREAD
    recalled = memory.recall(MAX_TRIALS)
    relations = _relate(
        scene.graph,
        [str(kind) for kind in kinds],
        [str(site) for site in sites],
        [(trial.kind, trial.site) for trial in recalled],
        (kind_of, site_of),
    )
    parts = (
        _encode_scene(scene, len(options), memory),
        np.concatenate([content[first_of_kind, :CODE_WIDTH], of_kinds], 1),
        np.concatenate([content[first_of_site, CODE_WIDTH:-CHOICE_WIDTH], of_sites], 1),
        np.array([trial.row for trial in recalled], np.float32).reshape(len(recalled), TRIAL_WIDTH),
        np.concatenate([content[:, -CHOICE_WIDTH:], of_edits, belief.astype(np.float32)], 1),
        kind_of,
        site_of,
        _spread(options),
        log_improvement.astype(np.float32),
        relations,
    )
    return Observation(*(torch.from_numpy(part) for part in parts))


def hide(observation: Observation, part: str) -> Observation:
    """Return what is seen where a part of it is not shown, for ablations: "history", "beliefs" or "relations"."""
    zero, n_shown = torch.zeros_like, observation.relations.shape[0] - len(observation.trials)
    if part == "relations":
        return replace(observation, relations=zero(observation.relations))
    option = observation.options.clone()
    if part == "beliefs":
        option[:, CHOICE_WIDTH + TALLY_WIDTH :] = 0.0
        return replace(observation, options=option, log_improvement=zero(observation.log_improvement))
    if part != "history":
        raise ValueError(f"hide {part!r}: is no part of an observation; write history, beliefs or relations")
    option[:, CHOICE_WIDTH : CHOICE_WIDTH + TALLY_WIDTH] = 0.0
    scene, kinds, sites = (getattr(observation, name).clone() for name in ("scene", "kinds", "sites"))
    for tokens in (scene, kinds, sites):
        tokens[:, -TALLY_WIDTH:] = 0.0
    return replace(
        observation,
        scene=scene,
        kinds=kinds,
        sites=sites,
        trials=observation.trials[:0],
        options=option,
        relations=observation.relations[:n_shown, :n_shown],
    )


def _by_parent(options: Options) -> Iterable[tuple[int, list[Edit]]]:
    grouped: dict[int, list[Edit]] = {}
    for parent, edit in zip(options.parents, options.edits, strict=True):
        grouped.setdefault(parent, []).append(edit)
    return grouped.items()


def _relate(
    graph: CodeGraph,
    kinds: Sequence[str],
    sites: Sequence[str],
    trials: Sequence[tuple[str, str]],
    option_of: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.int64]:
    """Return the relations of all tokens: the scene, the kinds, the sites, the trials."""
    first_site = 1 + len(kinds)
    first_trial = first_site + len(sites)
    found = np.zeros((first_trial + len(trials),) * 2, np.int64)
    units = np.array([site.partition("/")[0] for site in sites])
    between = found[first_site:first_trial, first_site:first_trial]
    between[units[:, None] == units] = Relation.SAME_UNIT
    between[_wired(graph, sites)] = Relation.WIRED
    found[1 + option_of[0], first_site + option_of[1]] = Relation.OPEN
    names = [np.array([name for name, _ in trials]), np.array([site for _, site in trials])]
    for words, first, column, relation in (
        (kinds, 1, names[0], Relation.SAME_KIND),
        (sites, first_site, names[1], Relation.SAME_SITE),
    ):
        if len(trials):
            equal = np.array(words)[:, None] == column
            found[first : first + len(words), first_trial:][equal] = relation
            found[first_trial:, first_trial:][column[:, None] == column] = relation
    return np.maximum(found, found.T)


def _wired(graph: CodeGraph, sites: Sequence[str]) -> NDArray[np.bool_]:
    """Return which sites are neighbours in the graph, or have one in common: (S, S)."""
    columns: dict[str, int] = {}
    near = [[columns.setdefault(slot, len(columns)) for slot in _neighbours(graph, site)] for site in sites]
    touches = np.zeros((len(sites), len(columns)), np.float32)
    for row, slots in zip(touches, near, strict=True):
        row[slots] = 1.0
    wired: NDArray[np.bool_] = touches @ touches.T > 0
    return wired


def _neighbours(graph: CodeGraph, site: str) -> set[str]:
    """Return the slots that a site is wired to, and itself."""
    known = note(graph, "neighbours")
    if site not in known:
        there = {edge.target for edge in graph.out(site)} | {edge.source for edge in graph.into(site)}
        known[site] = {site} | {slot for slot in there if slot in graph.nodes}
    found: set[str] = known[site]
    return found


def _encode_scene(scene: Scene, n_options: int, memory: Memory) -> Rows:
    """Return (1, SCENE_WIDTH): how far the campaign is, how long it will be, how much there is to choose from, what it earned."""
    progress = min(1.0, scene.number / max(1, scene.n_trials))
    sizes = [progress, math.log1p(scene.n_trials) / 5, math.log1p(n_options) / 5]
    return np.append(np.array(sizes, np.float32), _encode_tallies([memory.overall]))[None]


def _encode_tallies(tallies: Iterable[Tally]) -> Rows:
    """Return (len(tallies), TALLY_WIDTH); zeros where nothing was tried, which is what most tallies say."""
    return np.array([_encode_tally(tally) if tally.n else _NOTHING for tally in tallies], np.float32)


def _encode_tally(t: Tally) -> tuple[float, ...]:
    return math.log1p(t.n) / 3, t.n_ok / t.n, t.n_kept / t.n, *map(squash, (t.mean, t.best, t.last))


def _spread(options: Options) -> Rows:
    """Return the log-probability of each option when a kind is picked by its prior, then a site of it, then a choice, uniformly: (M,)."""
    places = [(edit.kind, parent, edit.site) for parent, edit in zip(options.parents, options.edits, strict=True)]
    choices, of_kind = Counter(places), Counter(kind for kind, _, _ in set(places))
    weights = np.exp(options.log_prior)
    total = sum({place[0]: weight for place, weight in zip(places, weights, strict=True)}.values())
    shares = [
        weight / total / of_kind[place[0]] / choices[place] for place, weight in zip(places, weights, strict=True)
    ]
    return np.log(np.array(shares, np.float32))
