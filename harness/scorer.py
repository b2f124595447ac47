"""The scorer's driver: the frozen score function, in a process that edited code never entered, and the probes.

`score` gets a predict function that asks a predictor process, so the held-out targets stay here. All that comes back is an array
of numbers, or the measurement is void. What was asked is sampled, and put once more to a second predictor by `harness.probes`.
"""

from __future__ import annotations

import json
import math
import random
import select
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.frames import CutOff, FrameError, receive_array, send_array
from harness.probes import NORMALISED, Call, ScoreError, check_normalised, probe
from harness.trial import FIRST_FD, load_entry
from harness.values import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

SCORED = b"scored\n"  # said when what comes now is the probes
MAX_KEPT_BYTES = 256 << 20  # of recorded outputs, for each shard; one call is always kept


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


class Predictor:
    """A predictor process, seen as a function."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self._channel = channel
        self._name = name

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs for a batch, checked to be numbers, finite, and one row per input.

        Raises: ScoreError: they are not, or there are none.
        """
        outputs = self._ask(inputs)
        if outputs.shape[:1] != inputs.shape[:1]:
            raise _invalid(f"outputs have shape {outputs.shape} for inputs of shape {inputs.shape}")
        if not np.isfinite(outputs).all():
            n_bad = int((~np.isfinite(outputs)).sum())
            raise _invalid(f"{n_bad} of {outputs.size} outputs are not finite")
        return outputs

    def _ask(self, inputs: Array) -> Array:
        try:
            if self._has_spoken():
                raise _invalid(f"the {self._name} answered what it was not asked")
            send_array(self._channel, inputs)
            outputs = receive_array(self._channel)
        except CutOff:
            outputs = None
        except FrameError as error:
            raise _invalid(f"the {self._name} answered with no array: {error}") from error
        except OSError:
            outputs = None
        if outputs is None:
            raise ScoreError(Status.FAILED, f"the {self._name} ended before it answered")
        return outputs

    def _has_spoken(self) -> bool:
        """Say whether there is something to read before a question: an end, which reads as none, does not count."""
        readable, _, _ = select.select([self._channel], [], [], 0)
        return bool(readable) and bool(self._channel.recv(1, socket.MSG_PEEK))


class Recorder:
    """A predict function for the score function that keeps a random sample of the calls (reservoir sampling)."""

    def __init__(self, predict: Callable[[Array], Array], chance: random.Random, n_kept: int) -> None:
        self.sample: list[Call] = []
        self.n_calls = 0
        self._predict = predict
        self._chance = chance
        self._n_kept = n_kept

    def __call__(self, inputs: Array) -> Array:
        """Return the outputs for a batch. Raises: ScoreError."""
        inputs = np.asarray(inputs)
        outputs = self._predict(inputs)
        n_kept = max(1, min(self._n_kept, MAX_KEPT_BYTES // max(1, outputs.nbytes)))
        place = self.n_calls if self.n_calls < n_kept else self._chance.randrange(self.n_calls + 1)
        if place < n_kept:
            self.sample[place : place + 1] = [Call(self.n_calls, inputs.copy(), outputs.copy())]
        self.n_calls += 1
        return outputs


def run_scorer(task: str) -> None:
    """Score each shard, probe, and write the result as JSON: {"metrics": numbers} or {"status": ..., "detail": ...}.

    Between the two it says SCORED and waits for a byte: the second predictor is asked when the first one is gone.
    Descriptors from FIRST_FD on: the result, the predictor to score, the predictor to probe.
    """
    asked = Task(**json.loads(task))
    result, scored, probed = (socket.socket(fileno=FIRST_FD + i) for i in range(3))

    def change_turns() -> None:
        result.sendall(SCORED)
        result.recv(1)

    said: dict[str, object]
    try:
        first, second = Predictor(scored, "predictor"), Predictor(probed, "second predictor")
        said = {"metrics": _measure(asked, first, second, change_turns)}
    except ScoreError as error:
        said = {"status": error.status, "detail": error.detail}
    except MemoryError:
        said = {
            "status": Status.INVALID_METRIC,
            "detail": "the outputs do not fit into the memory that the manifest allows",
        }
    result.sendall(json.dumps(said).encode())


def _measure(asked: Task, scored: Predictor, probed: Predictor, change_turns: Callable[[], None]) -> list[float]:
    chance = random.Random(asked.key)
    recorders = [Recorder(scored, chance, asked.n_probed) for _ in asked.shards]
    metrics = [_score(asked, recorder, Path(shard)) for recorder, shard in zip(recorders, asked.shards, strict=True)]
    change_turns()
    for recorder in recorders:
        probe(recorder.sample, probed, chance, asked.probes)
    return metrics


def _score(asked: Task, recorder: Recorder, shard: Path) -> float:
    def predict(inputs: Array) -> Array:
        outputs = recorder(inputs)
        if NORMALISED in asked.probes:
            check_normalised(outputs, recorder.n_calls - 1)
        return outputs

    try:
        found = load_entry(asked.entry)(predict, shard)
    except (ScoreError, MemoryError):
        raise
    except Exception as error:  # whatever it raises about outputs that it cannot use
        raise _invalid(f"{asked.entry} raised {type(error).__name__}: {error}") from error
    if not isinstance(found, Mapping):
        raise _invalid(f"{asked.entry} returned {found!r:.80}; return numbers by name, as in {{{asked.metric!r}: 0.5}}")
    if asked.metric not in found:
        names = ", ".join(map(str, found)) or "nothing"
        raise _invalid(
            f"{asked.entry} returned {names:.80}, not {asked.metric}; write one of them as the manifest's metric"
        )
    value = found[asked.metric]
    if not isinstance(value, Real) or isinstance(value, bool):
        raise _invalid(f"{asked.entry} returned {value!r:.80} for {asked.metric}; return a number")
    if not math.isfinite(value):
        raise _invalid(f"{asked.metric} is {value}")
    return float(value)


def _invalid(detail: str) -> ScoreError:
    return ScoreError(Status.INVALID_METRIC, detail)
