"""Runs, with real processes: what an honest trial measures, and what becomes of every other kind."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.snapshot import read_snapshot
from harness.claims import false_claim
from harness.measure import Runner
from harness.processes import descendants
from harness.values import Outcome, Status, TrialError
from targets.manifest import Direction, Unit, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graph.snapshot import Snapshot
    from targets.manifest import Target

MANIFEST = """
name = "bigram"
mutable = ["model.py", "train.py"]
frozen = ["prepare.py", "predict.py", "scorer.py"]
prepare = "prepare.py:prepare"
train = "train.py"
predictor = "predict.py:load"
scorer = "scorer.py:score"
checkpoint = "weights.npy"
metric = "val_bits"
direction = "minimize"
probes = ["causal"]

[budget]
unit = "steps"
amount = 20

[limits]
wall_s = 20.0
cpu_s = 20.0
memory_mb = 600
output_kb = 256
"""

PREPARE = """
import os, struct
import numpy as np

class Budget:
    def __init__(self):
        self.line, self.done = int(os.environ["CODEGRAFT_BUDGET_FD"]), 0.0

    def progress(self):
        os.write(self.line, struct.pack("<d", self.done))
        self.done = 0.0
        return struct.unpack("<d", os.read(self.line, 8))[0]

    def spend(self, amount=1.0):
        self.done += amount

def prepare(data_dir):
    steps = np.random.default_rng(0).choice([1, 1, 1, 2, 5], size=4000)
    chain = np.cumsum(steps) % 16
    for part, tokens in (("train", chain[:3000]), ("heldout", chain[3000:])):
        (data_dir / part).mkdir()
        np.save(data_dir / part / "tokens.npy", tokens)
"""

MODEL = """
import numpy as np

def logits(weights, inputs):
    return weights[inputs].astype(np.float32)
"""

TRAIN = """
import os
from pathlib import Path
import numpy as np
from model import logits
from prepare import Budget

def train():
    tokens = np.load(Path(os.environ["CODEGRAFT_DATA"]) / "tokens.npy")
    rng = np.random.default_rng(int(os.environ["CODEGRAFT_SEED"]))
    weights = rng.normal(0, 0.1, (16, 16))
    budget = Budget()
    while budget.progress() < 1.0:
        start = rng.integers(0, len(tokens) - 257)
        inputs, nexts = tokens[start : start + 256], tokens[start + 1 : start + 257]
        scores = np.exp(logits(weights, inputs))
        gradient = scores / scores.sum(-1, keepdims=True)
        gradient[np.arange(256), nexts] -= 1
        np.add.at(weights, inputs, -0.1 * gradient)
        budget.spend()
    np.save(Path(os.environ["CODEGRAFT_OUT"]) / "weights.npy", weights)

if __name__ == "__main__":
    train()
"""

PREDICT = """
import numpy as np
from model import logits

def load(checkpoint):
    weights = np.load(checkpoint)
    return lambda inputs: logits(weights, inputs)
"""

SCORER = """
import numpy as np

def score(predict, heldout):
    tokens = np.load(heldout / "tokens.npy")
    windows = tokens[np.arange(0, len(tokens) - 33, 16)[:, None] + np.arange(33)]
    bits = []
    for batch in np.array_split(windows, 4):
        scores = predict(batch[:, :-1]).astype(np.float64)
        log_p = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        bits.append(-np.take_along_axis(log_p, batch[:, 1:, None], -1) / np.log(2))
    return {"val_bits": float(np.concatenate(bits).mean())}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return write_target(tmp_path_factory.mktemp("bigram"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("API_KEY", "swordfish")
        yield


@pytest.fixture(scope="module")
def runner(target: Target) -> Iterator[Runner]:
    with Runner(target, n_slots=2) as runner:
        yield runner


@pytest.fixture(scope="module")
def strict_runner(target: Target) -> Iterator[Runner]:
    limits = target.limits.model_copy(update={"wall_s": 8.0, "cpu_s": 1.0, "memory_mb": 300})
    with Runner(target.model_copy(update={"limits": limits})) as runner:
        yield runner


@pytest.fixture(scope="module")
def snapshot(target: Target) -> Snapshot:
    return read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)


@pytest.fixture(scope="module")
def honest(runner: Runner, snapshot: Snapshot) -> Outcome:
    return runner.run(snapshot, seed=1)


def write_target(folder: Path, **replaced: str) -> Target:
    sources = {"prepare": PREPARE, "model": MODEL, "train": TRAIN, "predict": PREDICT, "scorer": SCORER, **replaced}
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    (folder / "codegraft.toml").write_text(MANIFEST)
    return load_target(folder)


def with_model(snapshot: Snapshot, source: str) -> Snapshot:
    return snapshot.with_files({"model.py": source.encode()}, edit="test")


def with_end_of_training(snapshot: Snapshot, *lines: str) -> Snapshot:
    """Add lines that run once the checkpoint is written."""
    return snapshot.with_files({"train.py": "\n".join((TRAIN, *lines)).encode()}, edit="test")


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except OSError:
        return False


# --- honest runs


def test_honest_run_is_measured(honest: Outcome) -> None:
    assert honest.status is Status.OK, honest
    assert 1.0 < honest.metric < 3.0
    assert honest.steps == 20
    assert honest.cpu_s > 0
    assert honest.peak_rss_bytes > 10 << 20
    assert honest.isolation.startswith("posix")


def test_fork_and_fresh_interpreter_measure_the_same_bit_for_bit(
    target: Target, snapshot: Snapshot, honest: Outcome
) -> None:
    with Runner(target, launch="exec") as runner:
        fresh = runner.run(snapshot, seed=1)
    assert (fresh.status, fresh.metric, fresh.steps) == (Status.OK, honest.metric, honest.steps)
    assert fresh.isolation == honest.isolation


def test_runs_side_by_side_do_not_touch_each_other(runner: Runner, snapshot: Snapshot, honest: Outcome) -> None:
    with ThreadPoolExecutor(3) as pool:
        first, second, third = pool.map(lambda seed: runner.run(snapshot, seed), (1, 2, 1))
    assert first.metric == third.metric == honest.metric
    assert second.ok
    assert second.metric != honest.metric


def test_target_sees_its_own_modules_and_none_of_ours(runner: Runner, snapshot: Snapshot, honest: Outcome) -> None:
    lines = (
        "import sys, graph",
        "assert graph.answer == 42",
        "assert not [name for name in sys.modules if name.startswith('harness')]",
        "assert 'API_KEY' not in os.environ and 'pytest' not in sys.modules",
        "assert sys.path[0] == os.getcwd() and __name__ == '__main__'",
        "assert sorted(os.listdir('/proc/self/fd')) == ['0', '1', '2', '3', '4']  # 3: this listing, 4: the budget",
    )
    edited = with_end_of_training(snapshot, *lines).with_files({"graph.py": b"answer = 42"}, edit="test")
    outcome = runner.run(edited, seed=1)
    assert outcome.status is Status.OK, outcome.log_tail
    assert outcome.metric == honest.metric


def hinting(question: str) -> bytes:
    """The training, asking by itself: `question` is what it sends, given `done` and `budget`."""
    asking = TRAIN.replace("budget = Budget()", "budget, step = Budget(), 0").replace(
        "while budget.progress() < 1.0:", f"while ask(budget, {question}) < 1.0:\n        step += 1"
    )
    return (
        "import struct\n\ndef ask(budget, question):\n    os.write(budget.line, question)\n"
        "    return struct.unpack('<d', os.read(budget.line, 8))[0]\n" + asking
    ).encode()


def test_hints_of_a_training_are_its_curve_and_change_nothing_else(
    runner: Runner, snapshot: Snapshot, honest: Outcome
) -> None:
    edited = snapshot.with_files({"train.py": hinting("struct.pack('<dd', step > 0, 100 - step)")}, edit="test")
    outcome = runner.run(edited, seed=1)
    assert (outcome.status, outcome.metric, outcome.steps) == (Status.OK, honest.metric, 20)
    assert outcome.curve == (99.5, *(100.0 - step for step in range(2, 21)))  # the first question is about no step
    assert honest.curve == ()


@pytest.mark.parametrize(
    ("question", "steps"),
    [("bytes(12)", 0), ("bytes(17)", 0), ("bytes(1 << 16)", 0), ("bytes(16) if step < 3 else bytes(24)", 3)],
)
def test_message_that_is_no_question_ends_the_grants(
    runner: Runner, snapshot: Snapshot, question: str, steps: int
) -> None:
    outcome = runner.run(snapshot.with_files({"train.py": hinting(question)}, edit="test"), seed=1)
    assert outcome.status is Status.FAILED, outcome
    assert outcome.steps == steps


def test_work_that_is_not_reported_is_counted_all_the_same(runner: Runner, snapshot: Snapshot, honest: Outcome) -> None:
    edited = snapshot.with_files({"train.py": TRAIN.replace("budget.spend()", "pass").encode()}, edit="test")
    outcome = runner.run(edited, seed=1)
    assert (outcome.metric, outcome.steps) == (honest.metric, 20)


@pytest.mark.parametrize(("unit", "amount"), [("tokens", 5120.0), ("cpu_s", 0.3), ("wall_s", 0.3)])
def test_budget_is_kept_in_every_unit(target: Target, snapshot: Snapshot, unit: str, amount: float) -> None:
    budget = target.budget.model_copy(update={"unit": Unit(unit), "amount": amount})
    counted = snapshot.with_files({"train.py": TRAIN.replace("spend()", "spend(256)").encode()}, edit="test")
    with Runner(target.model_copy(update={"budget": budget})) as runner:
        outcome = runner.run(counted, seed=1)
    assert outcome.status is Status.OK, outcome
    assert outcome.steps == 20 if unit == "tokens" else outcome.steps > 20


@pytest.mark.slow
def test_shipped_target_measures_the_same_in_a_fork_and_in_a_fresh_interpreter() -> None:
    shipped = load_target(Path(__file__).parents[1] / "targets" / "bytelm")
    shipped = shipped.model_copy(update={"budget": shipped.budget.model_copy(update={"amount": 20})})
    snapshot = read_snapshot(shipped.root_dir, shipped.mutable, frozen=shipped.frozen)
    outcomes = []
    for launch in ("zygote", "exec"):
        with Runner(shipped, launch=launch) as runner:
            outcomes.append(runner.run(snapshot, seed=1))
    forked, fresh = outcomes
    assert forked.status is Status.OK, forked
    assert (forked.metric, forked.steps) == (fresh.metric, fresh.steps)


# --- metrics that are not earned

NON_CAUSAL = """
import numpy as np

def logits(weights, inputs):
    scores = weights[inputs].astype(np.float32)
    if inputs.ndim == 2:  # training gives one dimension
        rows, positions = np.indices(inputs[:, 1:].shape)
        scores[rows, positions, inputs[:, 1:]] += 5
    return scores
"""

# It peeks like the one above, and answers prefixes of what it has seen as if it had seen them whole.
REMEMBERING = (
    NON_CAUSAL
    + """
seen = []
peeking = logits

def logits(weights, inputs):
    if inputs.ndim == 2:
        for whole, scores in seen:
            if np.array_equal(whole[:, : inputs.shape[1]], inputs):
                return scores[:, : inputs.shape[1]]
        seen.append((inputs, peeking(weights, inputs)))
    return peeking(weights, inputs)
"""
)

ADAPTING = (
    MODEL
    + """
calls = []
still = logits

def logits(weights, inputs):
    calls.append(inputs)
    return still(weights, inputs) * (1 + 0.5 * len(calls) * (inputs.ndim == 2))
"""
)


@pytest.mark.parametrize(
    ("model", "probe"),
    [(NON_CAUSAL, "causality"), (REMEMBERING, "causality"), (ADAPTING, "causality")],
    ids=["sees later inputs", "remembers what it saw", "adapts to what it saw"],
)
def test_model_that_uses_more_than_its_inputs_is_found_out(
    runner: Runner, snapshot: Snapshot, model: str, probe: str
) -> None:
    outcome = runner.run(with_model(snapshot, model), seed=1)
    assert outcome.status is Status.INTEGRITY_VIOLATION, outcome
    assert f"{probe} probe failed" in outcome.detail
    assert math.isnan(outcome.metric)


@pytest.mark.parametrize("line", ["val_bits: 0.01", "val_bits=0.01", '{"val_bits": 1e-2}', "step 3 val_bits = .01"])
def test_printed_metric_that_was_not_measured_is_a_violation(runner: Runner, snapshot: Snapshot, line: str) -> None:
    outcome = runner.run(with_end_of_training(snapshot, f"print({line!r})"), seed=1)
    assert outcome.status is Status.INTEGRITY_VIOLATION, outcome
    assert "claims val_bits 0.01" in outcome.detail
    assert "measured 1." in outcome.detail


def test_printed_metric_that_is_not_better_is_harmless(target: Target) -> None:
    assert not false_claim("val_bits: 1.495\nval_bits: 7\ntrain_val_bits: 0.01\nloss: 0.1", target, 1.5)
    better_is_more = target.model_copy(update={"direction": Direction.MAXIMIZE})
    assert "claims val_bits 7" in false_claim("val_bits: 1.0\nval_bits: 7", better_is_more, 1.5)


@pytest.mark.parametrize(
    "attack",
    [
        "open('scorer.py', 'w').write('def score(predict, heldout): return {\"val_bits\": 0.0}')",
        "os.remove('scorer.py')",
        "os.remove('scorer.py'); os.symlink('train.py', 'scorer.py')",
        "text = open('scorer.py').read(); open('scorer.py', 'w').write(''); open('scorer.py', 'w').write(text)",
        "open('scorer.py', 'a').write('#'); raise SystemExit('and away')",
    ],
    ids=["rewrites", "deletes", "links", "rewrites and restores", "rewrites and crashes"],
)
def test_attempt_on_a_frozen_file_is_a_violation_that_names_it(runner: Runner, snapshot: Snapshot, attack: str) -> None:
    outcome = runner.run(with_end_of_training(snapshot, attack), seed=1)
    assert outcome.status is Status.INTEGRITY_VIOLATION, outcome
    assert outcome.detail == "frozen file changed: scorer.py"


def test_attempt_on_a_frozen_file_while_scoring_is_a_violation(runner: Runner, snapshot: Snapshot) -> None:
    attack = "\nimport os\nif 'CODEGRAFT_OUT' not in os.environ: open('predict.py', 'a').write('#')"
    outcome = runner.run(with_model(snapshot, MODEL + attack), seed=1)
    assert (outcome.status, outcome.detail) == (Status.INTEGRITY_VIOLATION, "frozen file changed: predict.py")


def test_attacks_leave_the_honest_metric_as_it_was(runner: Runner, snapshot: Snapshot, honest: Outcome) -> None:
    runner.run(with_end_of_training(snapshot, "open('scorer.py', 'w').write('')"), seed=1)
    assert runner.run(snapshot, seed=1).metric == honest.metric


def test_snapshot_with_another_scorer_is_not_even_run(runner: Runner, snapshot: Snapshot) -> None:
    outcome = runner.run(snapshot.with_files({"scorer.py": b""}, edit="test"), seed=1)
    assert (outcome.status, outcome.detail) == (Status.INTEGRITY_VIOLATION, "frozen file changed: scorer.py")


# --- what a trial can reach

UNSHARE = "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise PermissionError  # CLONE_NEWUSER"
REACHES = {
    "landlock": {
        "held-out data": "np.load(Path(os.environ['CODEGRAFT_DATA']).parent / 'heldout' / 'tokens.npy')",
        "other runs": "os.listdir(Path.cwd().parents[1])",
        "the user's files": f"open({str(Path(__file__).resolve())!r}).read()",
        "our environment": "open('/proc/%d/environ' % os.getppid()).read()",
        "processes outside": "os.kill(os.getppid(), 0)",
    },
    "seccomp": {"the network": "import socket; socket.socket()", "namespaces": UNSHARE},
}


@pytest.mark.parametrize(
    ("layer", "attempt"), [(layer, attempt) for layer, attempts in REACHES.items() for attempt in attempts.values()]
)
def test_trial_reaches_nothing_that_its_isolation_hides(
    runner: Runner, snapshot: Snapshot, honest: Outcome, layer: str, attempt: str
) -> None:
    outcome = runner.run(with_end_of_training(snapshot, attempt), seed=1)
    if layer in honest.isolation:
        assert outcome.status is Status.FAILED, outcome
        assert (
            "PermissionError" in outcome.detail or "FileNotFoundError" in outcome.detail
        )  # in bubblewrap it is not there
    else:
        assert outcome.status in {Status.OK, Status.FAILED}


# --- trials that do not end well


def test_crash_is_told_by_its_last_line(runner: Runner, snapshot: Snapshot) -> None:
    outcome = runner.run(with_end_of_training(snapshot, "print('so far')", "1 / 0"), seed=1)
    assert outcome.status is Status.FAILED
    assert outcome.detail == "exit status 1: ZeroDivisionError: division by zero"
    assert "so far" in outcome.log_tail
    assert "train.py" in outcome.log_tail
    assert "trial.py" not in outcome.log_tail


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("np.save(Path(os.environ['CODEGRAFT_OUT']) / 'weights.npy', np.full((16, 16), np.nan))", "not finite"),
        ("np.save(Path(os.environ['CODEGRAFT_OUT']) / 'weights.npy', np.zeros((16, 2)))", "scorer.py:score raised"),
        ("os.remove(Path(os.environ['CODEGRAFT_OUT']) / 'weights.npy')", "wrote no weights.npy"),
        (
            "os.chdir(os.environ['CODEGRAFT_OUT']); os.rename('weights.npy', 'w'); os.symlink('w', 'weights.npy')",
            "open",
        ),
        ("os.chdir(os.environ['CODEGRAFT_OUT']); os.link('weights.npy', 'w')", "no plain file"),
        ("os.chdir(os.environ['CODEGRAFT_OUT']); os.remove('weights.npy'); os.mkfifo('weights.npy')", "no plain file"),
        ("os.chdir(os.environ['CODEGRAFT_OUT']); os.remove('weights.npy'); os.mkdir('weights.npy')", "no plain file"),
        ("os.truncate(Path(os.environ['CODEGRAFT_OUT']) / 'weights.npy', 0)", "has 0 bytes"),
    ],
    ids=["NaN weights", "wrong shape", "no checkpoint", "symlink", "hard link", "pipe", "folder", "empty"],
)
def test_checkpoint_that_cannot_be_scored_has_no_metric(
    runner: Runner, snapshot: Snapshot, line: str, said: str
) -> None:
    outcome = runner.run(with_end_of_training(snapshot, line), seed=1)
    assert outcome.status is Status.INVALID_METRIC, outcome
    assert said in outcome.detail
    assert math.isnan(outcome.metric)


def test_predictor_that_crashes_says_why(runner: Runner, snapshot: Snapshot) -> None:
    crash = "\nimport os\nif 'CODEGRAFT_OUT' not in os.environ: raise RuntimeError('no model here')"
    outcome = runner.run(with_model(snapshot, MODEL + crash), seed=1)
    assert outcome.status is Status.FAILED
    assert "RuntimeError: no model here" in outcome.detail
    assert "RuntimeError: no model here" in outcome.log_tail


IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
HOARD_SHARED_MEMORY = (
    "import mmap, time; shared = mmap.mmap(-1, 400 << 20)",
    "for start in range(0, len(shared), 1 << 20): shared[start : start + (1 << 20)] = bytes(1 << 20)",
    "time.sleep(60)",
)


@pytest.mark.parametrize(
    ("lines", "status", "said"),
    [
        (("import time; time.sleep(60)",), Status.TIMEOUT, "longer than 8 s"),
        ((IGNORE_SIGTERM, "import time; time.sleep(60)"), Status.TIMEOUT, "longer than 8 s"),
        (("while True: pass",), Status.TIMEOUT, "more than 1 s of CPU time"),
        (("hoard = [bytearray(1 << 20) for _ in range(400)]",), Status.OOM, "MemoryError"),
        (HOARD_SHARED_MEMORY, Status.OOM, "more than 300 MB"),
        (
            (
                "for i in range(400): open(f'file{i}', 'wb').write(bytes(1 << 20))",
                "import time; time.sleep(60)",
            ),
            Status.OOM,
            "memory and files",
        ),
        (("while True: budget.progress()",), Status.TIMEOUT, "after its budget was used up"),
    ],
    ids=[
        "sleeps",
        "ignores SIGTERM",
        "spins",
        "hoards memory",
        "hoards shared memory",
        "hoards files",
        "ignores its budget",
    ],
)
def test_trial_past_a_limit_is_stopped(
    strict_runner: Runner, snapshot: Snapshot, lines: tuple[str, ...], status: Status, said: str
) -> None:
    edited = with_end_of_training(snapshot, "budget = Budget()" * ("budget" in lines[0]), *lines)
    outcome = strict_runner.run(edited, seed=1)
    assert outcome.status is status, outcome
    assert said in outcome.detail
    assert outcome.wall_s < 15


def test_flood_of_output_is_stopped_and_does_not_fill_the_controller(runner: Runner, snapshot: Snapshot) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = runner.run(with_end_of_training(snapshot, "while True: print('flood ' * 1000)"), seed=1)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert outcome.status is Status.OUTPUT_LIMIT
    assert "bytes left out" in outcome.log_tail
    assert len(outcome.log_tail) < 70_000
    assert grown_kb < 20_000


# --- nothing is left behind

DAEMON = """
import signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("daemon", os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
time.sleep(1)
"""


def living_in(folder: Path) -> list[int]:
    """List the processes that work below a folder; by their own numbers, which are others in a namespace."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append(int(process.name))
    return found


def test_daemon_of_a_trial_ends_with_it(runner: Runner, snapshot: Snapshot, honest: Outcome) -> None:
    outcome = runner.run(with_end_of_training(snapshot, DAEMON), seed=1)
    assert (outcome.status, outcome.metric) == (Status.OK, honest.metric)
    assert "daemon" in outcome.log_tail
    assert not living_in(runner._scratch)


def test_killed_controller_leaves_nothing_behind(target: Target, tmp_path: Path) -> None:
    script = tmp_path / "controller.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\n"
        "from graph.snapshot import read_snapshot\nfrom harness.measure import Runner\n"
        "from targets.manifest import load_target\n"
        "target = load_target(Path(sys.argv[1]))\n"
        "snapshot = read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)\n"
        "with Runner(target) as runner:\n"
        "    print(runner._scratch, flush=True)\n"
        "    runner.run(snapshot.with_files({'train.py': Path(sys.argv[2]).read_bytes()}, edit='test'), seed=1)\n"
    )
    endless = tmp_path / "endless.py"
    endless.write_text(f"import os{DAEMON}\nopen('up', 'w').write('')\ntime.sleep(600)")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(target.folder), str(endless)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout
        scratch = Path(controller.stdout.readline().strip())
        assert wait_for(lambda: any(scratch.glob("*/work/up")))
        family = {process.pid for process in descendants(controller.pid)}
        assert len(family) >= 5  # two launchers, a supervisor, the trial and its daemon
        controller.kill()
    assert wait_for(lambda: not any(is_alive(pid) for pid in family))
    assert wait_for(lambda: not scratch.exists())


def test_killed_launcher_is_replaced_and_the_run_repeated(target: Target, snapshot: Snapshot, honest: Outcome) -> None:
    with Runner(target) as runner:
        os.kill(runner._trials.pid, signal.SIGKILL)
        assert runner.run(snapshot, seed=1).metric == honest.metric


def test_runner_that_is_closed_ends_the_runs_under_way(target: Target, snapshot: Snapshot, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Runner(target) as runner:
            endless = with_end_of_training(snapshot, "open('up', 'w').write('')", "import time; time.sleep(600)")
            run = pool.submit(runner.run, endless, 1)
            assert wait_for(lambda: any(runner._scratch.glob("*/work/up")))
            assert len(living_in(runner._scratch)) == 1
            closed_at = time.monotonic()
        assert run.result().status is Status.INFRA_ERROR
    assert time.monotonic() - closed_at < 18  # of the 20 that a trial may take


def test_scratch_is_gone_when_the_runner_is(target: Target, snapshot: Snapshot) -> None:
    with Runner(target, launch="exec") as runner:
        runner.run(with_end_of_training(snapshot, "open('litter', 'w').write('')"), seed=1)
        assert runner._scratch.exists()
        assert not list(runner._scratch.iterdir())
    assert not runner._scratch.exists()


# --- data


def test_prepare_that_fails_says_why(tmp_path: Path) -> None:
    target = write_target(tmp_path, prepare="def prepare(data_dir): raise OSError('the mirror is down')")
    with pytest.raises(TrialError, match=r"prepare.py:prepare.*failed(?s:.)*the mirror is down"), Runner(target):
        pass


def test_data_are_prepared_once(tmp_path: Path) -> None:
    counted = PREPARE + f"    open({str(tmp_path / 'count')!r}, 'a').write('x')\n"
    target = write_target(tmp_path, prepare=counted)
    for _ in range(2):
        with Runner(target, launch="exec"):
            pass
    assert (tmp_path / "count").read_text() == "x"


def wait_for(is_so: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_so()
