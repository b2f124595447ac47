"""The scorer's driver: the frozen score function, in a process that edited code never entered, and the probes.

`score` gets a predict function that asks a predictor process, so the held-out targets stay here. What it asked is sampled
and put once more to a second predictor, fresh and without memory of the first: with other later inputs before the whole ones,
so whatever an output depended on besides its own inputs (later positions, earlier calls, chance) is not there, and shows.
Later inputs are exchanged and not cut off, since equal shapes round equally: cut off, a diverged but causal model fails as well
(measured on bytelm with ten times the learning rate).
"""

from __future__ import annotations

import json
import math
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from harness.frames import FrameError, receive_array, send_array
from harness.trial import FIRST_FD, load_entry
from harness.values import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

TOLERANCE = 1e-3  # of the spread of the outputs; float32 noise between batch shapes is near 1e-5
MAX_KEPT_BYTES = 256 << 20  # of recorded outputs, for each shard; one call is always kept
N_CUTS = 3  # per probed call: positions from which on the inputs are exchanged


@dataclass(frozen=True, slots=True)
class Task:
    """What a scorer is asked to do. Crosses a process boundary as JSON."""

    entry: str  # `file.py:function` of the score function
    metric: str
    shards: tuple[str, ...]  # folders, each scored by itself
    probes: tuple[str, ...]
    n_probed: int  # calls of each shard
    key: str  # seeds the choice of what is probed

    def to_json(self) -> str:
        """Print the task for `run_scorer`."""
        return json.dumps(asdict(self))


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


class Predictor:
    """A predictor process, seen as a function."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self._channel = channel
        self._name = name

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs for a batch, checked to be numbers, finite, and one row per input.

        Raises: ScoreError: they are not, or there are none.
        """
        try:
            send_array(self._channel, inputs)
            outputs = receive_array(self._channel)
        except FrameError as error:
            raise ScoreError(Status.INVALID_METRIC, f"the {self._name} answered with no array: {error}") from error
        except OSError:
            outputs = None
        if outputs is None:
            raise ScoreError(Status.FAILED, f"the {self._name} ended before it answered")
        if outputs.shape[:1] != inputs.shape[:1]:
            raise ScoreError(
                Status.INVALID_METRIC, f"outputs have shape {outputs.shape} for inputs of shape {inputs.shape}"
            )
        if not np.isfinite(outputs).all():
            n_bad = int((~np.isfinite(outputs)).sum())
            raise ScoreError(Status.INVALID_METRIC, f"{n_bad} of {outputs.size} outputs are not finite")
        return outputs


class Recorder:
    """A predict function for the score function that keeps a random sample of the calls (reservoir sampling)."""

    def __init__(self, predict: Predictor, chance: random.Random, n_kept: int) -> None:
        self.sample: list[Call] = []
        self._predict = predict
        self._chance = chance
        self._n_kept = n_kept
        self._n_calls = 0

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs for a batch. Raises: ScoreError."""
        inputs = np.asarray(inputs)
        outputs = self._predict(inputs)
        n_kept = max(1, min(self._n_kept, MAX_KEPT_BYTES // max(1, outputs.nbytes)))
        place = self._n_calls if self._n_calls < n_kept else self._chance.randrange(self._n_calls + 1)
        if place < n_kept:
            self.sample[place : place + 1] = [Call(self._n_calls, inputs.copy(), outputs.copy())]
        self._n_calls += 1
        return outputs


def run_scorer(task: str) -> None:
    """Score each shard, probe, and write the result as JSON: {"metrics": numbers} or {"status": ..., "detail": ...}.

    Descriptors from FIRST_FD on: the result, the predictor to score, the predictor to probe.
    """
    asked = Task(**json.loads(task))
    result, scored, probed = (socket.socket(fileno=FIRST_FD + i) for i in range(3))
    said: dict[str, object]
    try:
        said = {"metrics": _measure(asked, Predictor(scored, "predictor"), Predictor(probed, "second predictor"))}
    except ScoreError as error:
        said = {"status": error.status, "detail": error.detail}
    result.sendall(json.dumps(said).encode())


def _measure(asked: Task, scored: Predictor, probed: Predictor) -> list[float]:
    chance = random.Random(asked.key)
    recorders = [Recorder(scored, chance, asked.n_probed) for _ in asked.shards]
    metrics = [_score(asked, recorder, Path(shard)) for recorder, shard in zip(recorders, asked.shards, strict=True)]
    for recorder in recorders:
        probe(recorder.sample, probed, chance, is_causal="causal" in asked.probes)
    return metrics


def _score(asked: Task, predict: Recorder, shard: Path) -> float:
    try:
        value = float(load_entry(asked.entry)(predict, shard)[asked.metric])
    except ScoreError:
        raise
    except Exception as error:  # whatever it raises about outputs that it cannot use
        raise ScoreError(Status.INVALID_METRIC, f"{asked.entry} raised {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise ScoreError(Status.INVALID_METRIC, f"{asked.metric} is {value}")
    return value


def probe(sample: list[Call], predict: Predictor, chance: random.Random, *, is_causal: bool) -> None:
    """Put recorded calls to a predictor that has not seen them.

    Raises: ScoreError: an answer differs by more than TOLERANCE of the spread of the outputs.
    """
    tolerances = [_tolerance(call.outputs) for call in sample]
    for call, tolerance in zip(sample, tolerances, strict=True) if is_causal else ():
        _probe_causality(call, predict, _cuts(call, chance), tolerance)
    # Twice where it is the first question: two fresh processes draw the same random numbers first.
    for call, tolerance in [*zip(sample, tolerances, strict=True)] * (1 if is_causal else 2):
        if place := _difference(call.outputs, predict(call.inputs), tolerance):
            said = f"determinism probe failed: output {place} of call {call.number}"
            raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said} changes when a fresh process gets the same inputs")


def _cuts(call: Call, chance: random.Random) -> list[int]:
    """Draw some positions, ascending: a predictor that remembers has then not yet seen what it needs."""
    if call.inputs.ndim < 2 or call.outputs.shape[1:2] != call.inputs.shape[1:2]:
        raise ScoreError(Status.INVALID_METRIC, f"outputs {call.outputs.shape} have no position for each input")
    n_positions = call.inputs.shape[1]
    return sorted(chance.sample(range(1, n_positions), min(N_CUTS, n_positions - 1)))


def _probe_causality(call: Call, predict: Predictor, cuts: list[int], tolerance: float) -> None:
    for cut in cuts:
        answer = predict(_exchange_later(call.inputs, cut))
        if place := _difference(call.outputs[:, :cut], answer[:, :cut], tolerance):
            said = f"causality probe failed: position {place[1]} of row {place[0]}, call {call.number}"
            raise ScoreError(Status.INTEGRITY_VIOLATION, f"{said}, changes with the inputs from {cut} on")


def _exchange_later(inputs: Array, cut: int) -> Array:
    """Give every row the later inputs of the row before it; a single row has its own backwards."""
    exchanged = inputs.copy()
    others = np.roll(inputs, 1, axis=0) if len(inputs) > 1 else inputs[:, ::-1]
    exchanged[:, cut:] = others[:, cut:]
    return exchanged


def _difference(expected: Array, answer: Array, tolerance: float) -> tuple[int, ...] | None:
    """Return where two answers differ most, if they differ by more than rounding does."""
    if answer.shape != expected.shape:
        return (0,) * expected.ndim
    distance = np.subtract(answer, expected, dtype=np.float64)
    np.abs(distance, out=distance)
    if distance.max(initial=0.0) <= tolerance:
        return None
    return tuple(map(int, np.unravel_index(distance.argmax(), distance.shape)))


def _tolerance(outputs: Array) -> float:
    """Return the difference that rounding may make.

    The spread of the median class, not the largest output: a huge constant for a class that never occurs costs a model
    nothing, and would otherwise make every difference small.
    """
    n_classes = outputs.shape[-1] if outputs.ndim > 2 else 1
    spread = np.median(outputs.reshape(-1, n_classes).std(axis=0, dtype=np.float64)) if outputs.size else 0.0
    rounding = np.finfo(np.float32).eps * np.abs(outputs).max(initial=0.0)
    return float(max(TOLERANCE * spread, rounding))
