"""Campaigns that never ran, for tests of what reads a campaign: real ledgers and real object stores with any fate in them."""

from __future__ import annotations

import math
import random
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from graph.snapshot import Snapshot
from harness.ledger import Ledger
from harness.objects import ObjectStore
from harness.record import Proposal, Settings
from harness.values import Outcome, Reward, Status
from harness.verdict import incumbent_of, judge, noise_of, screen
from mutator.edit import Edit, print_script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BASELINE, NOISE = 2.3140, 0.0087
HOSTILE = (
    """</script><img src=x onerror="window.executed=1">'"><script>window.executed=1</script>{{ 7*7 }}\x1b[31m\u202e"""
)
SETTINGS = Settings("/home/ada/targets/bytelm", "digest", "bytelm", "val_bpb", "minimize", "ppo", 7, 40, 2, 5)
ISOLATION = "landlock+seccomp+rlimits"
SOURCES = {
    "config.py": b"""\
from dataclasses import dataclass


@dataclass
class Config:
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    window: int = 64
    dropout: float = 0.1
    learning_rate: float = 0.003
    weight_decay: float = 0.1
    warmup: float = 0.05
    beta2: float = 0.95
""",
    "layers.py": b"""\
import torch.nn.functional as F
from torch import nn


class MLP(nn.Module):
    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        self.up = nn.Linear(width, ratio * width)  # (B, T, width) -> (B, T, ratio * width)
        self.down = nn.Linear(ratio * width, width)

    def forward(self, x):
        return self.down(F.gelu(self.up(x)))
""",
    "optim.py": b"""\
import torch


def build_optimizer(model, config):
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, config.beta2))
""",
}
_FORWARD = "layers:MLP.forward/call.F.gelu"
# kind, site, choice, file, pattern, replacement, mean gain
EDITS = (
    (
        "swap-optimizer",
        "optim:build_optimizer/call.AdamW",
        "to=Lion",
        "optim.py",
        r"torch\.optim\.AdamW",
        "Lion",
        -0.01,
    ),
    ("swap-activation", _FORWARD, "to=F.silu", "layers.py", r"F\.gelu", "F.silu", 0.004),
    ("swap-activation", _FORWARD, "to=relu_squared", "layers.py", r"F\.gelu\((.*)\)\)", r"F.relu(\1).square())", 0.02),
    (
        "set-argument",
        "layers:MLP.__init__/call.Linear",
        "bias=false",
        "layers.py",
        r"width\)  #",
        "width, bias=False)  #",
        0.003,
    ),
    (
        "insert-norm",
        "layers:MLP.forward/return",
        "what=rms",
        "layers.py",
        r"up\(x\)",
        "up(F.rms_norm(x, x.shape[-1:]))",
        0.03,
    ),
    ("drop-argument", "optim:build_optimizer/call.AdamW", "name=betas", "optim.py", r", betas=\(.*?\)\)", ")", -0.006),
)


class Fabrication:
    """Writes a campaign as the loop does: program version, proposal, runs, verdict."""

    def __init__(self, folder: Path, settings: Settings = SETTINGS, metrics: tuple[float, ...] = ()) -> None:
        self.store = ObjectStore(folder)
        self.ledger = Ledger.create(folder, settings)
        self.best = Snapshot(SOURCES)
        self.commits = {self.best.digest: self.store.commit(SOURCES, None, "baseline")}
        self.number = self.parent = 0
        self.sign = 1.0 if settings.direction == "maximize" else -1.0
        baseline = [ran(metric, seed=index) for index, metric in enumerate(metrics)]
        for index, outcome in enumerate(baseline):
            self.ledger.add_baseline(index, outcome)
        if len(baseline) > 1:
            self.noise, self.incumbent = noise_of(baseline), incumbent_of(baseline)

    def propose(self, edits: Edit | tuple[Edit, ...], files: Mapping[str, bytes]) -> Snapshot:
        self.number += 1
        script = edits if isinstance(edits, tuple) else (edits,)
        snapshot = self.best.with_files({**self.best.files, **files}, edit=print_script(script))
        parent = self.commits[self.best.digest]
        self.commits.setdefault(snapshot.digest, self.store.commit(snapshot.files, parent, f"trial {self.number}"))
        self.ledger.add_proposal(
            Proposal(self.number, self.parent, script, snapshot.digest, self.commits[snapshot.digest])
        )
        return snapshot

    def judge(self, snapshot: Snapshot, outcomes: list[Outcome], reason: str = "") -> None:
        for index, outcome in enumerate(outcomes):
            self.ledger.add_run(self.number, index, outcome)
        verdict = judge(outcomes, self.incumbent, self.noise, sign=self.sign)
        measured = math.isfinite(verdict.z)
        terms = (
            (("metric", math.asinh(verdict.z)), ("novelty", 0.12), ("complexity", -0.03))
            if measured
            else (("failure", -5.0),)
        )
        trial = self.ledger.add_verdict(self.number, replace(verdict, reason=reason or verdict.reason), Reward(terms))
        if trial.kept:
            self.best, self.parent, self.incumbent = snapshot, self.number, incumbent_of(outcomes)

    def finish(self, reason: str) -> None:
        self.ledger.stop(reason)
        self.ledger.close()


def ran(metric: float, seed: int) -> Outcome:
    log = f"step 100 loss {metric + 0.4:.4f}\nstep 600 loss {metric:.4f}\nsaved model.safetensors\n"
    return Outcome(Status.OK, metric, seed, 6.1, 5.8, 412 << 20, 600, log_tail=log, isolation=ISOLATION)


def broke(status: Status, detail: str, log_tail: str) -> Outcome:
    return Outcome(
        status,
        seed=1,
        wall_s=0.9,
        cpu_s=0.8,
        peak_rss_bytes=301 << 20,
        detail=detail,
        log_tail=log_tail,
        isolation=ISOLATION,
    )


FAILURES = (
    broke(Status.FAILED, "RuntimeError in layers.py:11", "RuntimeError: mat1 and mat2 shapes cannot be multiplied\n"),
    broke(Status.INVALID_METRIC, "val_bpb is nan", "step 40 loss nan\n"),
    broke(Status.INTEGRITY_VIOLATION, "causality probe failed: position 17 changes when later inputs are removed", ""),
    broke(Status.TIMEOUT, "120.0 s of wall time are used up at step 212", "step 212 loss 2.9113\n"),
)


def random_edit(rng: random.Random, files: Mapping[str, bytes]) -> tuple[Edit, str, bytes, float]:
    """Draw an edit with its effect: half literals, half typed kinds, as a campaign does."""
    while True:
        if rng.random() < 0.6:
            name, value = rng.choice(re.findall(r"(\w+): (?:int|float) = ([\d.]+)", files["config.py"].decode()))
            scale = rng.choice([0.5, 0.8, 1.25, 2.0])
            to = max(1, round(int(value) * scale)) if value.isdigit() else round(float(value) * scale, 6)
            edit = Edit("scale-literal", f"config:Config/{name}", (("by", scale),), f"{rng.getrandbits(32):08x}")
            path, pattern, new, effect = "config.py", rf"({name}: \w+ = )[\d.]+", rf"\g<1>{to}", rng.gauss(-0.02, 0.03)
        else:
            kind, site, choice, path, pattern, new, effect = rng.choice(EDITS)
            name, value = choice.split("=")
            edit = Edit(kind, site, ((name, value),), f"{rng.getrandbits(32):08x}")
        changed = re.sub(pattern, new, files[path].decode(), count=1).encode()
        if changed != files[path]:
            return edit, path, changed, effect


def write_rich(folder: Path, *, n_trials: int, settings: Settings = SETTINGS) -> None:
    """Write a campaign with every fate in it; trial 23 is hostile in every string, trial 31 diverged."""
    rng = random.Random(3)
    campaign = Fabrication(folder, settings, tuple(BASELINE + rng.gauss(0, NOISE) for _ in range(5)))
    level = BASELINE  # the true metric of the incumbent
    for number in range(1, n_trials + 1):
        edit, path, changed, effect = random_edit(rng, campaign.best.files)
        if number == 23:
            try_hostile(campaign)
            continue
        snapshot = campaign.propose(edit, {path: changed})
        if number == 31 or rng.random() < 0.15:
            campaign.judge(snapshot, [ran(129.4, seed=0) if number == 31 else rng.choice(FAILURES)])
            continue
        outcomes = [ran(level - effect + rng.gauss(0, NOISE), seed=0)]
        if screen(outcomes[0], campaign.incumbent, campaign.noise, sign=campaign.sign):
            outcomes += [ran(level - effect + rng.gauss(0, NOISE), seed=seed) for seed in (1, 2, 3)]
        campaign.judge(snapshot, outcomes)
        level -= effect if campaign.best is snapshot else 0.0
    campaign.finish(f"all {n_trials} trials are done")


def try_hostile(campaign: Fabrication) -> None:
    edit = Edit(HOSTILE, HOSTILE, ((HOSTILE, HOSTILE),), HOSTILE)
    name = HOSTILE.replace("/", "") + ".py"
    source = HOSTILE.encode() + b"\xff\n" + SOURCES["layers.py"]
    snapshot = campaign.propose(edit, {"layers.py": source, name: HOSTILE.encode()})
    printed = HOSTILE + "\udcff"  # what surrogateescape makes of a byte that is no UTF-8
    broken = Outcome(Status.FAILED, detail=printed, log_tail=printed * 3, isolation=HOSTILE)
    campaign.judge(snapshot, [broken], reason=HOSTILE)


# --- any campaign ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a campaign: the baseline's runs, then trials with their runs, and whether each is judged."""

    direction: str
    baseline: tuple[Outcome, ...]
    trials: tuple[
        tuple[int, tuple[Edit, ...], tuple[Outcome, ...], bool], ...
    ]  # the gap before its number, script, runs, judged
    reason: str | None


@contextmanager
def fabricated(plan: Plan) -> Iterator[Path]:
    """Write the ledger and the object store of a planned campaign, in memory where that can be; a failed baseline has no trials."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        _fabricate(Path(folder), plan)
        yield Path(folder)


def _fabricate(folder: Path, plan: Plan) -> None:
    settings = replace(SETTINGS, direction=plan.direction)
    campaign = Fabrication(folder, settings)
    for index, outcome in enumerate(plan.baseline):
        campaign.ledger.add_baseline(index, replace(outcome, seed=index))
    if len(plan.baseline) > 1 and all(outcome.ok for outcome in plan.baseline):
        baseline = campaign.ledger.record.baseline
        campaign.noise, campaign.incumbent = noise_of(baseline), incumbent_of(baseline)
        for gap, script, outcomes, is_judged in plan.trials:
            campaign.number += gap
            snapshot = campaign.propose(script, {"config.py": f"{campaign.number}".encode()})
            seeds = [seed for seed, _ in campaign.incumbent.metrics]
            runs = [replace(outcome, seed=seed) for seed, outcome in zip(seeds, outcomes, strict=False)]
            if is_judged and runs:
                campaign.judge(snapshot, runs)
            else:
                for index, outcome in enumerate(runs):
                    campaign.ledger.add_run(campaign.number, index, outcome)
    if plan.reason is not None:
        campaign.ledger.stop(plan.reason)
    campaign.ledger.close()


def plans() -> st.SearchStrategy[Plan]:
    """Draw campaigns with any text in any place, any number that can be measured, and any ending."""
    text = st.text(max_size=12) | st.sampled_from([HOSTILE, "=1+1", "\t\n\r", "\udcff", '"', "-", "@", "\x00"])
    # An edit's URI cannot hold halves of surrogate pairs, so no ledger has such an edit.
    name = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.sampled_from([HOSTILE, "=1+1", '"', "-x"])
    metric = st.floats(-1e6, 1e6)
    any_float = st.floats()
    measured = st.builds(
        Outcome,
        status=st.just(Status.OK),
        metric=metric,
        wall_s=st.floats(0.0, 9.0),
        cpu_s=st.floats(0.0, 9.0),
        peak_rss_bytes=st.integers(0, 1 << 40),
        steps=st.integers(0, 1 << 40),
        log_tail=text,
        second=any_float,
        curve=st.lists(any_float, max_size=4).map(tuple),
        phases=st.lists(st.tuples(name, st.floats(0.001, 9.0)), max_size=3, unique_by=lambda pair: pair[0]).map(tuple),
    )
    status = st.sampled_from([status for status in Status if status is not Status.OK])
    broken = st.builds(Outcome, status=status, wall_s=st.floats(0.0, 9.0), detail=text, log_tail=text)
    scalar = name | st.just("") | st.integers() | st.floats() | st.booleans()
    choice = st.dictionaries(name, scalar, max_size=2).map(lambda found: tuple(sorted(found.items())))
    kind = st.sampled_from(["set-literal", "swap-activation"]) | name
    edit = st.builds(Edit, kind=kind, site=name, choice=choice, anchor=name)
    script = st.lists(edit, min_size=1, max_size=3).map(tuple)
    trial = st.tuples(st.integers(0, 2), script, st.lists(measured | broken, max_size=2).map(tuple), st.booleans())
    return st.builds(
        Plan,
        direction=st.sampled_from(["minimize", "maximize"]),
        baseline=st.lists(measured, min_size=2, max_size=3).map(tuple)
        | st.lists(measured | broken, max_size=2).map(tuple),
        trials=st.lists(trial, max_size=5).map(tuple),
        reason=st.none() | text,
    )
