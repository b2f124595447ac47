"""What a run is measured on: the shard that was asked for and no other, and data that are really held out."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from graph.snapshot import read_snapshot
from harness.measure import Runner
from harness.scorer import MAX_KEPT_BYTES, Recorder
from harness.sources import open_sources
from harness.values import Scoring, Status, TrialError
from targets.manifest import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from targets.manifest import Target

TOY = open_sources("toy")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner(TOY.trainable) as runner:
        yield runner


def variant(folder: Path, **edits: tuple[str, str]) -> Target:
    """Write the toy target with one replacement in each of the named files."""
    for path, data in TOY.snapshot.files.items():
        old, new = edits.get(path.removesuffix(".py"), ("", ""))
        assert old in data.decode()
        (folder / path).write_text(data.decode().replace(old, new, 1) if old else data.decode())
    old, new = edits.get("manifest", ("", ""))
    (folder / "codegraft.toml").write_text((TOY.root / "codegraft.toml").read_text().replace(old, new, 1))
    return load_target(folder)


def sources(target: Target) -> Snapshot:
    return read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)


# --- shards


def test_a_search_measures_the_held_out_data_alone(runner: Runner) -> None:
    outcome = runner.run(TOY.snapshot, 1)
    assert outcome.ok, outcome
    assert math.isnan(outcome.second)


def test_a_gate_measures_the_same_and_a_second_shard(runner: Runner) -> None:
    search, gate = runner.run(TOY.snapshot, 1), runner.run(TOY.snapshot, 1, scoring=Scoring.GATE)
    assert gate.ok, gate
    assert gate.metric == search.metric
    assert math.isfinite(gate.second)
    assert gate.second != gate.metric
    assert gate.second == pytest.approx(gate.metric, rel=0.3)


def test_the_final_test_is_other_data(runner: Runner) -> None:
    gate, final = (runner.run(TOY.snapshot, 1, scoring=scoring) for scoring in (Scoring.GATE, Scoring.FINAL))
    assert final.ok, final
    assert final.metric not in (gate.metric, gate.second)
    assert math.isnan(final.second)


def test_a_target_without_more_shards_has_no_second_metric_and_no_final_test(tmp_path: Path) -> None:
    target = variant(tmp_path, prepare=('"second": 512, "final": 512', ""))
    with Runner(target) as runner:
        outcome = runner.run(sources(target), 1, scoring=Scoring.GATE)
        assert outcome.ok, outcome
        assert math.isnan(outcome.second)
        with pytest.raises(TrialError, match=r"has no final test; let prepare write a folder final"):
            runner.run(sources(target), 1, scoring=Scoring.FINAL)


@pytest.mark.parametrize("part", ["second", "final"])
def test_a_scorer_reads_only_what_it_is_given(tmp_path: Path, part: str) -> None:
    peek = 'squares = 0.0\n    if heldout.name == "heldout": np.load(heldout.parent / "PART" / "table.npy")'
    target = variant(tmp_path, scorer=("squares = 0.0", peek.replace("PART", part)))
    with Runner(target) as runner:
        outcome = runner.run(sources(target), 1)
        other = runner.run(sources(target), 1, scoring=Scoring.FINAL)
    if "landlock" in outcome.isolation:
        assert outcome.status is Status.INVALID_METRIC
        assert "PermissionError" in outcome.detail
        assert other.ok, other  # the control: the same scorer, given what it reads


def test_more_calls_are_probed_before_a_keep(tmp_path: Path) -> None:
    """The second predictor, which is the one that counts here, draws other numbers after its eighth answer."""
    target = variant(tmp_path)
    drifting = (
        TOY.snapshot.files["model.py"]
        .decode()
        .replace(
            "        return self.features(x) @",
            "        self.n = getattr(self, 'n', 0) + 1\n        x = x + (self.n > 8)\n        return self.features(x) @",
        )
    )
    snapshot = sources(target).with_files({"model.py": drifting.encode()}, edit="test")
    with Runner(target) as runner:
        assert runner.run(snapshot, 1).ok
        gate = runner.run(snapshot, 1, scoring=Scoring.GATE)
    assert gate.status is Status.INTEGRITY_VIOLATION, gate
    assert "probe failed" in gate.detail


def test_what_is_kept_for_the_probes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.scorer.MAX_KEPT_BYTES", 2000)
    assert MAX_KEPT_BYTES > 2000
    chance = random.Random(0)
    recorder = Recorder(lambda x: x, chance, 32)  # type: ignore[arg-type]
    for _ in range(50):
        recorder(np.zeros(100))
    assert len(recorder.sample) == 2


# --- what is probed cannot be known


def test_no_trial_can_tell_which_calls_are_probed(runner: Runner) -> None:
    key = runner._data.train.parent / "key"
    assert len(key.read_text()) == 32
    peek = f"open({str(key)!r}).read()"
    train = TOY.snapshot.files["train.py"].decode().replace("    save_file(", f"    {peek}\n    save_file(")
    outcome = runner.run(TOY.snapshot.with_files({"train.py": train.encode()}, edit="test"), 1)
    if "landlock" in outcome.isolation:
        assert outcome.status is Status.FAILED
        assert "PermissionError" in outcome.detail or "FileNotFoundError" in outcome.detail  # behind bubblewrap


# --- predictors that do not play by the rules


def in_the_predictor(code: str, answer: str = "self.features(x) @") -> Snapshot:
    """Edit the model so that it runs code before it answers, but not in the training."""
    lines = f"if 'CODEGRAFT_OUT' not in os.environ:\n            {code}\n        return {answer}"
    model = TOY.snapshot.files["model.py"].decode().replace("return self.features(x) @", lines)
    frame = "import json, os, struct, time\n\ndef frame(header, data=b''):\n    text = json.dumps(header).encode()\n"
    frame += "    return struct.pack('<I', len(text)) + text + data\n\n"
    return TOY.snapshot.with_files({"model.py": model.replace("import numpy as np\n", f"import numpy as np\n{frame}")
                                    .encode()}, edit="test")  # fmt: skip


@pytest.fixture(scope="module")
def hasty_runner() -> Iterator[Runner]:
    limits = TOY.trainable.limits.model_copy(update={"wall_s": 1.5, "memory_mb": 400})
    with Runner(TOY.trainable.model_copy(update={"limits": limits})) as runner:
        yield runner


ANSWER = "frame({'dtype': 'float64', 'shape': [len(x)]}, np.zeros(len(x)).tobytes())"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (f"os.write(4, 2 * {ANSWER})", Status.INVALID_METRIC, "the predictor answered what it was not asked"),
        ("os.write(4, b'\\xff' * 8)", Status.INVALID_METRIC, "frame header has 4294967295 bytes"),
        ("os.write(4, frame({'dtype': 'object', 'shape': [1]}))", Status.INVALID_METRIC, "dtype is 'object'"),
        ("os.write(4, frame({'dtype': 'float64', 'shape': [1 << 36]}))", Status.INVALID_METRIC, "send at most"),
        ("os.write(4, frame({'dtype': 'float64', 'shape': [-1]}))", Status.INVALID_METRIC, "sizes of at least 0"),
        ("os.write(4, frame({'dtype': 'bool', 'shape': [1 << 26]}, bytes(9))); os._exit(0)", Status.FAILED, "ended before"),
        ("return np.array([None] * len(x))", Status.FAILED, "dtype is 'object'"),
        ("return np.array(['1e-9'] * len(x))", Status.FAILED, "dtype is 'str"),
        ("return np.zeros(len(x), complex)", Status.FAILED, "dtype is 'complex128'"),
        ("return np.float64('nan') * x[:, 0]", Status.INVALID_METRIC, "128 of 128 outputs are not finite"),
        ("return -np.float64('inf') + x[:, 0]", Status.INVALID_METRIC, "128 of 128 outputs are not finite"),
        ("return np.zeros((0, 3))", Status.INVALID_METRIC, "outputs have shape (0, 3) for inputs of shape (128, 3)"),
        ("return np.zeros(())", Status.INVALID_METRIC, "outputs have shape ()"),
        ("return np.zeros((len(x), 0))", Status.INVALID_METRIC, "predict returned shape (128, 0)"),
        ("return np.zeros((len(x), 1 << 19))", Status.OOM, "MemoryError"),
        ("os.write(4, frame({'dtype': 'bool', 'shape': [128, 1 << 22]}, b'')); time.sleep(99)", Status.INVALID_METRIC, "memory"),
        ("os.write(4, b'\\x40\\0'); time.sleep(99)", Status.TIMEOUT, "ran longer than 1.5 s"),
        ("time.sleep(99)", Status.TIMEOUT, "ran longer than 1.5 s"),
        ("os.close(4); time.sleep(99)", Status.TIMEOUT, "ran longer than 1.5 s"),
        ("os._exit(0)", Status.FAILED, "ended before it answered"),
    ],
)  # fmt: skip
def test_a_predictor_that_breaks_the_protocol_ends_by_name(
    hasty_runner: Runner, code: str, status: Status, said: str
) -> None:
    outcome = hasty_runner.run(in_the_predictor(code), 1)
    assert outcome.status is status, outcome
    assert said in outcome.detail
    assert math.isnan(outcome.metric)
    assert math.isnan(outcome.second)


def test_an_answer_is_taken_as_it_was_given(runner: Runner) -> None:
    """A buffer that is overwritten by the next answer, and one that is read backwards, are copied on the way."""
    honest = runner.run(TOY.snapshot, 1).metric
    reused = (
        "self.kept = getattr(self, 'kept', np.zeros(4096)); self.kept[:len(x)] = self.features(x) @ self.weights['v']"
    )
    answers = f"{reused} + self.weights['b']; return self.kept[:len(x)]"
    assert runner.run(in_the_predictor(answers), 1).metric == honest
    backwards = "return (self.features(x) @ self.weights['v'] + self.weights['b'])[::-1].copy()[::-1]"
    assert runner.run(in_the_predictor(backwards), 1).metric == honest


def test_a_layer_that_normalises_over_the_batch_is_caught_in_the_shipped_target(runner: Runner) -> None:
    outcome = runner.run(in_the_predictor("x = (x - x.mean(0)) / x.std(0)"), 1)
    assert outcome.status is Status.INTEGRITY_VIOLATION, outcome
    assert "batch probe failed" in outcome.detail


def test_what_a_score_function_returns_must_be_a_number(tmp_path: Path) -> None:
    target = variant(tmp_path, scorer=("squares / len(table)}", '"1e-9"}'))
    with Runner(target) as runner:
        outcome = runner.run(sources(target), 1)
    assert outcome.status is Status.INVALID_METRIC
    assert "returned '1e-9' for val_loss; return a number" in outcome.detail


# --- data that are not held out


def shards(folder: Path, more: str) -> Target:
    return variant(folder, prepare=("def function(", f"def more(data_dir):\n    prepare(data_dir)\n    {more}\n\n\ndef function("),
                   manifest=("prepare.py:prepare", "prepare.py:more"))  # fmt: skip


@pytest.mark.parametrize("part", ["heldout", "second", "final"])
def test_training_on_a_held_out_file_is_refused(tmp_path: Path, part: str) -> None:
    copy = f"(data_dir / 'train' / 'x.npy').write_bytes((data_dir / '{part}' / 'table.npy').read_bytes())"
    with pytest.raises(TrialError, match=rf"wrote train/x.npy and {part}/table.npy with the same bytes"):
        Runner(shards(tmp_path, copy)).__enter__()


def test_shards_that_are_the_same_are_refused(tmp_path: Path) -> None:
    copy = "(data_dir / 'second' / 'table.npy').write_bytes((data_dir / 'heldout' / 'table.npy').read_bytes())"
    with pytest.raises(TrialError, match="wrote the same files as heldout and as second"):
        Runner(shards(tmp_path, copy)).__enter__()


def test_an_empty_file_in_both_is_no_overlap(tmp_path: Path) -> None:
    touch = "[(data_dir / part / 'empty').touch() for part in SIZES]"
    with Runner(shards(tmp_path, touch)) as runner:
        assert runner._data.second is not None


def test_another_prepare_of_the_same_file_has_other_data(tmp_path: Path) -> None:
    target = shards(tmp_path, "(data_dir / 'train' / 'mark').write_text('more')")
    with Runner(target) as runner:
        assert (runner._data.train / "mark").exists()
    plain = target.model_copy(update={"prepare": target.prepare._replace(function="prepare")})
    with Runner(plain) as runner:
        assert not (runner._data.train / "mark").exists()
