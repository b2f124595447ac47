"""The probes by themselves, each next to the model that passes and to what happens without it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from harness.probes import BATCH, CAUSAL, NORMALISED, Call, ScoreError, check_normalised, probe
from harness.values import Status
from targets.manifest import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.random.default_rng(0).integers(0, 9, (4, 12))
Array = np.ndarray[Any, Any]


def causal(x: Array) -> Array:
    sums: Array = np.cumsum(x, axis=1)[..., None] * np.ones(5)
    return sums


def looking_ahead(x: Array) -> Array:
    peeked: Array = causal(x) + x.sum(1)[:, None, None]
    return peeked


def probe_model(
    asked: Callable[[Array], Array], answering: Callable[[Array], Array], probes: tuple[str, ...] = (CAUSAL,)
) -> None:
    probe([Call(3, X, asked(X))], answering, random.Random(0), probes)


def test_causal_model_passes_the_probes() -> None:
    probe_model(causal, causal)


def test_model_that_looks_ahead_passes_only_without_the_causal_probe() -> None:
    with pytest.raises(ScoreError, match=r"causality probe failed: position \d+ of row \d+, call 3"):
        probe_model(looking_ahead, looking_ahead)
    probe_model(looking_ahead, looking_ahead, ())


def test_look_ahead_by_one_at_one_position_in_ten_has_nowhere_to_be() -> None:
    x = np.random.default_rng(0).normal(size=(64, 40))

    def seldom(asked: Array) -> Array:
        answer = causal(asked)
        answer[:, 5::10] += asked[:, 6::10, None]
        return answer

    for chance in range(20):
        with pytest.raises(ScoreError, match="causality"):
            probe([Call(0, x, seldom(x))], seldom, random.Random(chance), (CAUSAL,))


def test_shift_of_all_outputs_does_not_hide_a_look_ahead() -> None:
    def shifted(x: Array) -> Array:
        scores = looking_ahead(x)
        scores[..., 0] -= 1e6  # a class that never occurs
        return scores

    with pytest.raises(ScoreError, match="causality"):
        probe_model(shifted, shifted)


def test_memory_of_the_first_predictor_would_hide_a_look_ahead() -> None:
    seen: list[Array] = []

    def remembering(x: Array) -> Array:
        for whole in seen:
            if np.array_equal(whole[:, 0], x[:, 0]):
                return looking_ahead(whole)
        seen.append(x)
        return looking_ahead(x)

    probe_model(remembering, remembering)  # one process is asked both times
    seen.clear()
    with pytest.raises(ScoreError, match="causality"):
        probe_model(looking_ahead, remembering)  # another one, which has seen nothing


def test_rounding_that_depends_on_the_shape_is_no_look_ahead() -> None:
    def diverged(x: Array) -> Array:
        return causal(x) * (1 + 0.5 * x.shape[1])

    probe_model(diverged, diverged)


def test_chance_in_the_outputs_is_found_even_when_it_starts_alike() -> None:
    def noisy() -> Callable[[Array], Array]:
        chance = np.random.default_rng(0)
        return lambda x: causal(x) + chance.normal(size=(*x.shape, 5))

    with pytest.raises(ScoreError, match="determinism probe failed"):
        probe_model(noisy(), noisy(), ())


def test_rounding_is_no_look_ahead() -> None:
    probe_model(causal, lambda x: causal(x) * (1 + 1e-7))


# --- rows of a batch


def each_by_itself(x: Array) -> Array:
    outputs: Array = x.sum(axis=1, keepdims=True) * np.ones(3)
    return outputs


def normalising_over_the_batch(x: Array) -> Array:
    """A batch normalisation that was left in training mode."""
    y = each_by_itself(x)
    outputs: Array = (y - y.mean(axis=0)) / (y.std(axis=0) + 1e-5)
    return outputs


def telling_neighbours(x: Array) -> Array:
    outputs: Array = each_by_itself(x) + 0.5 * np.roll(x[:, :1], -1, axis=0)
    return outputs


def counting_rows(x: Array) -> Array:
    outputs: Array = each_by_itself(x) + np.arange(len(x))[:, None]
    return outputs


def minding_its_size(x: Array) -> Array:
    outputs: Array = each_by_itself(x) * len(x)
    return outputs


@pytest.mark.parametrize(
    "model", [normalising_over_the_batch, telling_neighbours, counting_rows, minding_its_size], ids=lambda f: f.__name__
)
def test_a_row_that_depends_on_the_others_passes_only_without_the_batch_probe(model: Callable[[Array], Array]) -> None:
    with pytest.raises(ScoreError, match=r"batch probe failed: row \d+ of call 3 depends on") as caught:
        probe_model(model, model, (BATCH,))
    assert caught.value.status is Status.INTEGRITY_VIOLATION
    probe_model(model, model, ())


def test_rows_that_are_each_for_themselves_pass_the_batch_probe() -> None:
    probe_model(each_by_itself, lambda x: each_by_itself(x) * (1 + 1e-7), (BATCH,))
    probe_model(causal, causal, (CAUSAL, BATCH))


def test_looking_at_the_early_part_of_the_next_row_is_not_causal_for_the_batch() -> None:
    """Windows of a text overlap or follow each other, so the next row holds what this one is asked for."""

    def reading_on(x: Array) -> Array:
        answer: Array = causal(x) + np.roll(x[:, :1], -1, axis=0)[..., None]
        return answer

    probe_model(reading_on, reading_on, (CAUSAL,))  # no later position of any row is looked at
    with pytest.raises(ScoreError, match="batch probe failed"):
        probe_model(reading_on, reading_on, (CAUSAL, BATCH))


def test_a_single_row_has_no_batch_to_depend_on() -> None:
    one = X[:1]
    probe([Call(0, one, minding_its_size(one))], minding_its_size, random.Random(0), (BATCH,))


# --- probabilities


def log_softmax(x: Array) -> Array:
    outputs: Array = x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return outputs


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_probabilities_sum_to_one(dtype: type) -> None:
    outputs = log_softmax(np.random.default_rng(0).normal(size=(4, 7, 50)) * 20).astype(dtype)
    check_normalised(outputs, 0)


@pytest.mark.parametrize("shift", [np.log(277), np.log(1.01), -0.01], ids=["277", "1.01", "0.99"])
def test_probabilities_that_promise_more_than_one_are_a_violation_that_says_how_much(shift: float) -> None:
    outputs = log_softmax(np.zeros((4, 7, 50)))
    outputs[2, 5] += shift
    with pytest.raises(ScoreError, match=r"normalisation probe failed: the probabilities at \(2, 5\) of call 6 sum to"):
        check_normalised(outputs, 6)


def test_logits_are_not_normalised() -> None:
    with pytest.raises(ScoreError, match="return log-probabilities"):
        check_normalised(np.full((2, 3), 800.0), 0)


def test_no_probabilities_are_no_violation() -> None:
    check_normalised(np.zeros((0, 3)), 0)


def test_a_manifest_can_name_every_probe_and_no_other() -> None:
    assert {CAUSAL, BATCH, NORMALISED} == set(Probe)


def test_look_ahead_is_found_however_far_the_outputs_are_stretched() -> None:
    def look_ahead(inputs: np.ndarray, stretch: np.ndarray) -> np.ndarray:
        return np.eye(16)[np.roll(inputs, -1, axis=1)] * 9.0 + stretch

    inputs = np.random.default_rng(0).integers(0, 16, (8, 12))
    offsets = {"everywhere": np.full(16, 1e12), "never": np.where(np.arange(16) > 7, -1e12, 0.0)}
    offsets["here and there"] = np.where(np.arange(12)[:, None] % 2, 1e12, 0.0) * np.ones(16)
    for stretch in offsets.values():
        call = Call(0, inputs % 8, look_ahead(inputs % 8, stretch))
        with pytest.raises(ScoreError, match="causality probe failed"):
            probe([call], lambda asked, by=stretch: look_ahead(asked, by), random.Random(0), {CAUSAL})
