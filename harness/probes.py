"""The probes: what an output must not depend on is exchanged, and a predictor that has not seen the original is asked again.

An output may depend on its own inputs only. So recorded calls go to a second predictor, fresh and without memory of the first, first
with what must not matter exchanged, then as they were: whatever an output owed to later positions, other rows, earlier calls or chance
is not there, and shows. Inputs are exchanged and not cut off, since equal shapes round equally: cut off, a diverged but causal model
fails as well (measured on bytelm with ten times the learning rate).

Not covered: what depends on a position or row that no drawn question touches. Before a keep nearly all calls are asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.values import Status

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

CAUSAL, BATCH, NORMALISED = (
    "causal",
    "batch",
    "normalised",
)  # as targets.manifest.Probe, which a scorer would import slowly
TOLERANCE = 1e-3  # of the spread of the outputs; float32 noise between batch shapes is near 1e-5
_ALONE = 10.0  # times that for a batch of one row, where other kernels round in another order
_UNIT_MASS = 1e-3  # how far from 1 probabilities may sum: it is worth 0.0014 bits
_RAREST = -30.0  # nats: 1e-13, below which a probability is worth nothing but its being small
_LEAST_NATS = 1e-3  # a difference that is not worth looking at, whatever the spread
_N_CUTS = 3  # per row of a probed call: positions from which on the inputs are exchanged


class ScoreError(Exception):
    """A measurement that is void."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Call(NamedTuple):
    """One question of the score function and its answer."""

    number: int
    inputs: Array
    outputs: Array


def probe(
    sample: Sequence[Call], predict: Callable[[Array], Array], chance: random.Random, probes: Collection[str]
) -> None:
    """Put recorded calls to a predictor that has not seen them.

    Raises: ScoreError: an answer differs by more than TOLERANCE of the spread of the outputs.
    """
    tolerances = [_tolerance(call.outputs) for call in sample]
    exchanges = 0
    for call, tolerance in zip(sample, tolerances, strict=True):
        if CAUSAL in probes:
            exchanges += _probe_causality(call, predict, _cuts(call, chance), tolerance)
        if BATCH in probes:
            exchanges += _probe_batch(call, predict, chance, tolerance)
    # Twice where it is the first question: two fresh processes draw the same random numbers first.
    for call, tolerance in [*zip(sample, tolerances, strict=True)] * (1 if exchanges else 2):
        if place := _difference(call.outputs, predict(call.inputs), tolerance):
            said = f"determinism probe failed: output {place} of call {call.number}"
            raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said} changes when a fresh process gets the same inputs")


def check_normalised(outputs: Array, call: int) -> None:
    """Refuse log-probabilities that promise more, or less, than one.

    Raises: ScoreError: those of some row and position do not sum to 1.
    """
    with np.errstate(over="ignore"):
        mass = np.exp(outputs, dtype=np.float64).sum(axis=-1)
    worst = np.unravel_index(np.abs(mass - 1.0).argmax(), mass.shape) if mass.size else ()
    if mass.size and not abs(mass[worst] - 1.0) <= _UNIT_MASS:
        said = f"normalisation probe failed: the probabilities at {tuple(map(int, worst))} of call {call}"
        raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said} sum to {mass[worst]:.6g}; return log-probabilities")


def _cuts(call: Call, chance: random.Random) -> Array:
    """Draw some positions for each row, ascending: a predictor that remembers has then not yet seen what it needs.

    For each row its own, so that a look-ahead at a few positions has nowhere to be. Returns: (questions, rows).
    """
    if call.inputs.ndim < 2 or call.outputs.shape[1:2] != call.inputs.shape[1:2]:
        raise ScoreError(Status.INVALID_METRIC, f"outputs {call.outputs.shape} have no position for each input")
    n_rows, n_positions = call.inputs.shape[:2]
    n_cuts = min(_N_CUTS, n_positions - 1)
    drawn = [sorted(chance.sample(range(1, n_positions), n_cuts)) for _ in range(n_rows)]
    return np.array(drawn, int).reshape(n_rows, n_cuts).T


def _probe_causality(call: Call, predict: Callable[[Array], Array], cuts: Array, tolerance: float) -> int:
    """Exchange the inputs of each row from its cut on. Returns: how many questions it asked."""
    for starts in cuts:
        later = np.arange(call.inputs.shape[1]) >= starts[:, None]  # (rows, positions)
        answer = predict(_exchange(call.inputs, later))
        if answer.shape == call.outputs.shape:
            answer = np.where(_like(later, answer), call.outputs, answer)
        if place := _difference(call.outputs, answer, tolerance):
            said = f"causality probe failed: position {place[1]} of row {place[0]}, call {call.number}"
            raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said}, changes with the inputs from {starts[place[0]]} on")
    return len(cuts)


def _exchange(inputs: Array, later: Array) -> Array:
    """Give every row the later inputs of the row before it; a single row has its own backwards."""
    others = np.roll(inputs, 1, axis=0) if len(inputs) > 1 else inputs[:, ::-1]
    return np.where(_like(later, inputs), others, inputs)


def _like(mask: Array, array: Array) -> Array:
    """Give a mask of rows and positions the dimensions that an array has beyond them."""
    return mask.reshape(mask.shape + (1,) * (array.ndim - 2))


def _probe_batch(call: Call, predict: Callable[[Array], Array], chance: random.Random, tolerance: float) -> int:
    """Move every row and put copies of one in the place of half of the others, then ask for one alone.

    Copies, because a layer that normalises over the batch hardly moves when it gets other rows of the same kind.
    Returns: how many questions it asked; none of a batch of one, where there are no other rows.
    """
    n_rows = len(call.inputs) if call.inputs.ndim else 0
    if n_rows < 2:
        return 0
    order = chance.sample(range(n_rows), n_rows)
    kept = order[: n_rows // 2]
    moved = [*kept, *[kept[0]] * (n_rows - len(kept))]
    for rows, asked, allowed in ((kept, moved, tolerance), (order[-1:], order[-1:], _ALONE * tolerance)):
        answer = predict(call.inputs[asked])
        if place := _difference(call.outputs[rows], answer[: len(rows)], allowed):
            among = "on other rows of its batch" if len(asked) > 1 else "on whether it is alone in its batch"
            said = f"batch probe failed: row {rows[place[0]]} of call {call.number}"
            raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said} depends {among}; is a layer left in training mode?")
    return 2


def _difference(expected: Array, answer: Array, tolerance: float) -> tuple[int, ...] | None:
    """Return where two answers differ most, if they differ by more than rounding does.

    Numbers for each position and class are compared as log-probabilities too, which have bounds: outputs as they are can be stretched
    where it costs nothing (an offset for all classes of a position, classes that never occur), until a look-ahead is small beside them.
    """
    if answer.shape != expected.shape:
        return (0,) * expected.ndim
    distance = np.subtract(answer, expected, dtype=np.float64)
    np.abs(distance, out=distance)
    if distance.any() and distance.max() <= tolerance and expected.ndim > 2 and expected.shape[-1] > 1:
        seen = _log_probabilities(expected)
        distance = np.abs(_log_probabilities(answer) - seen)
        tolerance = max(TOLERANCE * float(np.median(seen.reshape(-1, seen.shape[-1]).std(axis=0))), _LEAST_NATS)
    if distance.max(initial=0.0) <= tolerance:
        return None
    return tuple(map(int, np.unravel_index(distance.argmax(), distance.shape)))


def _log_probabilities(outputs: Array) -> Array:
    """Read outputs as logits; what is less likely than _RAREST counts as that."""
    logits = outputs.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return np.maximum(logits, _RAREST, out=logits)


def _tolerance(outputs: Array) -> float:
    """Return the difference that rounding may make.

    The spread of the median class, not the largest output: a huge constant for a class that never occurs costs a model
    nothing, and would otherwise make every difference small.
    """
    n_classes = outputs.shape[-1] if outputs.ndim > 2 else 1
    spread = np.median(outputs.reshape(-1, n_classes).std(axis=0, dtype=np.float64)) if outputs.size else 0.0
    rounding = np.finfo(np.float32).eps * np.abs(outputs).max(initial=0.0)
    return float(max(TOLERANCE * spread, rounding))
