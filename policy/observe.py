"""What the network sees before a decision: tokens for the campaign, the edit kinds, the sites and the last trials, and the options.

`observe` turns a scene and a memory into an `Observation`, which is all that a decision depends on and so all that learning needs
later. At most MAX_OPTIONS edits enter: of a larger scene a sample without replacement, drawn anew at every trial in proportion to
prior times expected improvement, so that every legal edit keeps a chance.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from policy.content import CHOICE_WIDTH, CODE_WIDTH, SITE_WIDTH, encode_edits
from policy.draw import draw_without_replacement
from policy.memory import squash
from policy.tally import identify

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from random import Random

    from torch import Tensor

    from mutator.edit import Edit
    from policy.content import Rows
    from policy.memory import Memory
    from policy.protocol import Scene
    from policy.tally import Tally

MAX_OPTIONS = 256  # attention is quadratic in the sites, of which there are at most as many
MAX_TRIALS = 32  # the last trials are tokens of their own; older ones live on in the tallies and the surrogate

TALLY_WIDTH = 6
SCENE_WIDTH = TALLY_WIDTH + 3
KIND_WIDTH = CODE_WIDTH + TALLY_WIDTH
PLACE_WIDTH = SITE_WIDTH + TALLY_WIDTH
OPTION_WIDTH = CHOICE_WIDTH + TALLY_WIDTH + 3


@dataclass(frozen=True, slots=True)
class Observation:
    """One decision. K kinds, S sites, H past trials, M options; float32 unless said otherwise."""

    edits: tuple[Edit, ...]  # the options
    scene: Tensor  # (1, SCENE_WIDTH)
    kinds: Tensor  # (K, KIND_WIDTH)
    sites: Tensor  # (S, PLACE_WIDTH)
    trials: Tensor  # (H, TRIAL_WIDTH), newest first
    options: Tensor  # (M, OPTION_WIDTH)
    kind_of: Tensor  # (M,) int64: the row of the option's kind
    site_of: Tensor  # (M,) int64: the row of its site
    log_prior: Tensor  # (M,) kinds by their priors, then uniform over the kind's sites, then over the choices
    log_improvement: Tensor  # (M,) log expected improvement, by the surrogate


def observe(scene: Scene, edits: Sequence[Edit], memory: Memory, stream: Random) -> Observation:
    """Look at a scene's edits, at least one; the stream decides which enter when there are too many."""
    content = encode_edits(scene.graph, edits)
    belief = memory.believe(edits, content)
    surrogate = torch.stack([belief.mean, belief.deviation, belief.log_improvement], 1).float().numpy()  # (M, 3)
    log_prior = _spread(edits, scene.priors)
    weights = (log_prior + surrogate[:, 2]).tolist()
    entering = sorted(draw_without_replacement(weights, MAX_OPTIONS, stream))
    n_edits, edits = len(edits), tuple(edits[i] for i in entering)
    content, surrogate = content[entering], surrogate[entering]
    kinds, first_of_kind, kind_of = np.unique([e.kind for e in edits], return_index=True, return_inverse=True)
    sites, first_of_site, site_of = np.unique([e.site for e in edits], return_index=True, return_inverse=True)
    of_kinds = _encode_tallies(memory.kinds[str(kind)] for kind in kinds)
    of_sites = _encode_tallies(memory.sites[str(site)] for site in sites)
    of_edits = _encode_tallies(memory.edits[identify(edit)] for edit in edits)
    parts = (
        _encode_scene(scene, n_edits, memory),
        np.concatenate([content[first_of_kind, :CODE_WIDTH], of_kinds], 1),
        np.concatenate([content[first_of_site, CODE_WIDTH:-CHOICE_WIDTH], of_sites], 1),
        memory.recall(MAX_TRIALS),
        np.concatenate([content[:, -CHOICE_WIDTH:], of_edits, surrogate / 4], 1),
        kind_of,
        site_of,
        log_prior[entering],
        surrogate[:, 2],
    )
    return Observation(edits, *(torch.from_numpy(part) for part in parts))


def _encode_scene(scene: Scene, n_edits: int, memory: Memory) -> Rows:
    """Return (1, SCENE_WIDTH): how far the campaign is, how long it will be, how much there is to choose from, what it earned."""
    progress = min(1.0, scene.number / max(1, scene.n_trials))
    sizes = [progress, math.log1p(scene.n_trials) / 5, math.log1p(n_edits) / 5]
    return np.append(np.array(sizes, np.float32), _encode_tallies([memory.overall]))[None]


def _encode_tallies(tallies: Iterable[Tally]) -> Rows:
    """Return (len(tallies), TALLY_WIDTH)."""
    return np.array(
        [
            (math.log1p(t.n) / 3, t.n_ok / max(1, t.n), t.n_kept / max(1, t.n), *map(squash, (t.mean, t.best, t.last)))
            for t in tallies
        ],
        np.float32,
    )


def _spread(edits: Sequence[Edit], priors: Mapping[str, float]) -> Rows:
    """Return the log-probability of each edit when a kind is picked by its prior, then a site of it, then a choice, uniformly: (M,)."""
    choices = Counter((edit.kind, edit.site) for edit in edits)
    sites = Counter(kind for kind, _ in choices)
    weights = {kind: priors.get(kind, 1.0) for kind in sites}
    total = sum(weights.values())
    shares = [weights[edit.kind] / total / sites[edit.kind] / choices[edit.kind, edit.site] for edit in edits]
    return np.log(np.array(shares, np.float32))
