"""The door to measuring: a Runner trains a snapshot, scores what came out of it, and says what happened as an Outcome.

    with Runner(load_target(folder), n_slots=2) as runner:
        outcome = runner.run(snapshot, seed=1)

Four kinds of process besides the controller: `prepare` once per campaign, then for each run a training in the sandbox
without the held-out data, two predictors in the sandbox with the checkpoint and inputs only, and a scorer with pristine
frozen files and the held-out data. The metric is what the scorer measured; what a trial prints never becomes one.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import sys
from contextlib import ExitStack
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from graph.snapshot import read_snapshot
from harness.briefs import Briefs, environment, third_party_imports
from harness.cgroup import Campaign
from harness.checkpoint import checkpoint_fault
from harness.claims import false_claim, implausible, reported_metric
from harness.data import kept_as, prepare_data
from harness.isolation import AUTO, IN_IMAGE, Layer, choose, refuse_less
from harness.launcher import Launcher, Surroundings
from harness.orders import KILLED, QUESTIONS, Allowance, Bounds, Ending, Order
from harness.predictor import serve_predictor, serve_second_predictor
from harness.scorer import SCORED, run_scorer
from harness.slots import Machine, Slots
from harness.start import Way, look, start_first
from harness.stopwatch import Stopwatch
from harness.values import Outcome, Scoring, Smoke, Status, TrialError
from harness.workspace import Workspace, make_scratch, stray_paths
from targets.manifest import Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from graph.snapshot import Snapshot
    from harness.isolation import Plan
    from harness.launcher import Run
    from harness.stopping import StoppingRule
    from targets.manifest import Target

Launch = Literal["zygote", "exec"]

_EACH_STEP = "ask before every step and spend what it took, as class Budget in targets/toy/prepare.py does"
_UNASKED = f"the training never asked for its budget; {_EACH_STEP}"
LEAST_SPENT = (
    0.5  # of the budget when it was asked for last: less is work that nobody counts, or a training that gave up
)
_FORGEABLE = (
    "tier is self-reported: the metric is what the training prints, and an edit can print anything; "
    "write a scorer, or allow it with --allow-self-reported"
)
_NO_SMOKE = "not tried: a self-reported training need not say where its first steps end"
SMOKE_STEPS = 3
_SCORING, _PREDICTING = ("numpy", run_scorer.__module__), ("numpy", serve_predictor.__module__)  # what drivers import


class Runner:
    """Measures snapshots of one target; safe to use from many threads."""

    def __init__(  # noqa: PLR0913 - all but the first have defaults, and callers name them
        self,
        target: Target,
        *,
        n_slots: int = 1,
        launch: Launch = "zygote",
        isolation: str = AUTO,
        required: str = "posix",
        gpus: Sequence[str] = (),
        announce: Callable[[str], object] = lambda line: None,
        allow_self_reported: bool = False,
    ) -> None:
        """Be ready to enter.

        n_slots: how many runs may be under way at the same time; more wait.
        gpus: what CUDA_VISIBLE_DEVICES says in the runs of each slot; without any, what it says here.
        launch: fork trials from a process that has imported the target's libraries, or start a fresh interpreter each.
        isolation: what `harness.isolation.choose` reads: auto, a level, layers, or a container.
        required: one of `harness.isolation.REQUIREMENTS`; with less, nothing starts.
        announce: told, in a line, when something is done in another way than asked for.
        allow_self_reported: whether a target may do whose metric is what the training prints.

        Raises: TrialError: the target is one, and it may not.
        """
        if target.tier is Tier.SELF_REPORTED and not allow_self_reported:
            raise TrialError(f"{target.folder}: {_FORGEABLE}")
        self._target = target
        self._launch = launch
        self._isolation = isolation
        self._required = required
        self._announce = announce
        if gpus and isolation.startswith(IN_IMAGE):
            raise TrialError("gpus: are not passed into containers; leave out --gpus, or the container")
        self._slots = Slots(n_slots, gpus)
        self._pristine = read_snapshot(target.root_dir, target.frozen, frozen=target.frozen)
        limits = target.limits
        self._bounds = Bounds(
            limits.wall_s, limits.cpu_s, limits.memory_mb << 20, limits.output_kb << 10, threads=limits.threads
        )
        self._context = ExitStack()

    def __enter__(self) -> Self:
        """Start the launchers and prepare the data, if no campaign has before.

        Raises: TrialError: this is not Linux, prepare failed, the machine gives less isolation than is wanted or required, or
            it has less memory than the slots may use.
        """
        if sys.platform != "linux":
            raise TrialError(f"harness: runs on Linux only (pidfd, /proc), and this is {sys.platform}; use a container")
        machine = Machine.look()
        self._slots.refuse_overcommitment(self._bounds.memory_bytes, machine)
        if crowding := self._slots.crowding(self._bounds.threads, machine):
            self._announce(crowding)
        plan = choose(self._isolation)
        with ExitStack() as context:
            self._scratch = make_scratch()
            context.callback(shutil.rmtree, self._scratch, ignore_errors=True)
            groups = context.enter_context(Campaign()).folder if Layer.CGROUP in plan.layers else None
            # Scoring has a launcher of its own, which never starts edited code and never imports torch.
            outside = Surroundings(plan.inside, groups=groups, is_grouped=False)
            self._clean = context.enter_context(Launcher(_SCORING, self._scratch, environment(threads=1), outside))
            self._clean.wait_until_ready()
            self._data = prepare_data(self._target, self._pristine, self._clean)
            self._briefs = Briefs(self._target, self._data, self._bounds, self._slots)
            self._trials = context.enter_context(self._start_trials(plan, groups))
            if self._required != "posix":
                refuse_less(look(self._trials, self._scratch, self._bounds), self._required)
            self._context = context.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def _start_trials(self, plan: Plan, groups: Path | None) -> Launcher:
        preload = sorted({*_PREDICTING, *third_party_imports(self._target)}) if self._launch == "zygote" else ()
        train = self._data.train
        within = plan.surroundings(train.parent, train, groups)
        ways = [Way("", preload, within)]
        if self._isolation == AUTO and Layer.BUBBLEWRAP in plan.layers:
            less = plan.without(Layer.BUBBLEWRAP).surroundings(train.parent, train, groups)
            ways.append(Way("without bubblewrap", preload, less))
        if preload:
            ways.append(Way("without preloaded libraries", (), within))
        env = {**environment(threads=1), "TMPDIR": str(self._scratch)}  # torch asks for one; inside, /tmp is read-only
        return start_first(ways, self._scratch, env, self._announce)

    @property
    def has_test(self) -> bool:
        """Whether the target has a final test."""
        return self._data.final is not None

    @property
    def has_second(self) -> bool:
        """Whether the target has a second shard of held-out data."""
        return self._data.second is not None

    def run(
        self, snapshot: Snapshot, seed: int, *, scoring: Scoring = Scoring.SEARCH, rule: StoppingRule | None = None
    ) -> Outcome:
        """Train the snapshot and score it. A fault of the machine is tried once more; all else is an Outcome.

        rule: says at every mark of the budget whether the training goes on.
        Raises: TrialError: the final test is asked for, and the target has none.
        """
        if scoring is Scoring.FINAL and not self.has_test:
            raise TrialError(
                f"{self._target.folder}: has no final test; let prepare write a folder final, like heldout"
            )
        if fault := self._forbidden(snapshot):
            return Outcome(Status.INTEGRITY_VIOLATION, seed=seed, detail=fault)
        watch = Stopwatch()
        with self._slots.take():
            watch.waited()
            outcome = self._measure(snapshot, seed, scoring, rule, watch)
            if outcome.status is Status.INFRA_ERROR:
                self._trials.replace()  # whatever is wrong with it, the next runs have another one
                watch.waited()
                outcome = self._measure(snapshot, seed, scoring, rule, watch)
        return replace(outcome, phases=watch.laps)

    def smoke(self, snapshot: Snapshot, seed: int) -> Smoke:
        """Train the snapshot for three steps and look at what came out, before a budget is spent on it.

        Three, because the first often has a learning rate of zero. Equal fingerprints of two snapshots under one seed mean that the
        edits between them did nothing in these steps: they change nothing, or only what happens later.
        """
        if fault := self._forbidden(snapshot):
            return Smoke(Outcome(Status.INTEGRITY_VIOLATION, seed=seed, detail=fault), "")
        if self._target.tier is Tier.SELF_REPORTED:
            return Smoke(Outcome(Status.OK, seed=seed, detail=_NO_SMOKE), "")
        watch = Stopwatch()
        with self._slots.take():
            watch.waited()
            outcome, checkpoint = self._train(snapshot, seed, Allowance(QUESTIONS, SMOKE_STEPS))
            watch.lap("smoke")
        digest = blake2b(checkpoint, digest_size=16).hexdigest() if outcome.ok else ""
        return Smoke(replace(outcome, phases=watch.laps), digest)

    def _forbidden(self, snapshot: Snapshot) -> str:
        """Say why a snapshot is not even run; empty when it is."""
        if strays := stray_paths(snapshot.files):
            return f"snapshot names files outside its folder: {', '.join(strays)}"
        changed = [path for path, data in self._pristine.files.items() if snapshot.files.get(path) != data]
        return _changed(changed) if changed else ""

    def _measure(
        self, snapshot: Snapshot, seed: int, scoring: Scoring, rule: StoppingRule | None, watch: Stopwatch
    ) -> Outcome:
        budget = self._target.budget
        try:
            with self._copy(snapshot) as space:
                watch.lap("copy")
                ceiling = self._target.tier is Tier.SELF_REPORTED
                outcome, checkpoint = self._trained(space, seed, Allowance(budget.unit, budget.amount, ceiling), rule)
                watch.lap("train")
                if outcome.ok and self._target.tier is Tier.SELF_REPORTED:
                    return self._believe(outcome)
                if checkpoint is not None:
                    outcome = self._score(outcome, snapshot, checkpoint, scoring)
                    watch.lap("score")
                return outcome
        except OSError as error:
            return Outcome(Status.INFRA_ERROR, seed=seed, detail=f"{type(error).__name__}: {error}")

    def _train(self, snapshot: Snapshot, seed: int, allowance: Allowance) -> tuple[Outcome, bytes]:
        """Train in a working copy and read the checkpoint; a fault of the machine is an Outcome as well."""
        try:
            with self._copy(snapshot) as space:
                outcome, checkpoint = self._trained(space, seed, allowance)
                return outcome, checkpoint.read_bytes() if checkpoint is not None else b""
        except OSError as error:
            return Outcome(Status.INFRA_ERROR, seed=seed, detail=f"{type(error).__name__}: {error}"), b""

    def _trained(
        self, space: Workspace, seed: int, allowance: Allowance, rule: StoppingRule | None = None
    ) -> tuple[Outcome, Path | None]:
        """Train in a working copy. Returns: what happened, and the checkpoint if there is one to score."""
        order = replace(self._briefs.training(space, seed, allowance), asks=rule is not None)
        ending = self._trials.start(order).wait(rule)
        outcome = _outcome(ending, seed, self._target.tier)
        if outcome.status is Status.INFRA_ERROR:  # the copy may be gone with what ran in it
            return outcome, None
        if changed := space.changed_frozen():
            return replace(outcome, status=Status.INTEGRITY_VIOLATION, detail=_changed(changed)), None
        if not outcome.ok or self._target.tier is Tier.SELF_REPORTED:
            return outcome, None
        if not outcome.steps:
            return replace(outcome, status=Status.FAILED, detail=_UNASKED), None
        if ending.spent < LEAST_SPENT:
            said = f"the training ended after {100 * ending.spent:.3g} % of its budget; {_EACH_STEP}"
            return replace(outcome, status=Status.FAILED, detail=said), None
        checkpoint, fault = space.harvest(str(self._target.checkpoint), max_bytes=self._bounds.memory_bytes)
        if fault := fault or checkpoint_fault(checkpoint):
            return replace(outcome, status=Status.INVALID_METRIC, detail=fault), None
        return outcome, checkpoint

    def _believe(self, outcome: Outcome) -> Outcome:
        """Take the metric that the training printed, which nothing supports."""
        metric, fault = reported_metric(outcome.log_tail, self._target)
        return replace(outcome, status=Status.INVALID_METRIC if fault else Status.OK, metric=metric, detail=fault)

    def _score(self, outcome: Outcome, snapshot: Snapshot, checkpoint: Path, scoring: Scoring) -> Outcome:
        """Let a scorer question two predictors, and put what it found into the outcome of the training."""
        with ExitStack() as context:
            desk = context.enter_context(Workspace(self._scratch, self._pristine.files))
            rooms = [context.enter_context(self._room(snapshot)) for _ in range(2)]
            orders = (
                self._briefs.scorer(desk, scoring, key=f"{self._data.key} {snapshot.digest} {outcome.seed}"),
                self._briefs.predictor(rooms[0], checkpoint, serve_predictor),
                self._briefs.predictor(rooms[1], checkpoint, serve_second_predictor),
            )
            result, (scorer, *predictors) = self._start_scoring(context, *orders)
            found = _hear(result, predictors)
            fault = _fault(found, scorer.wait())
            if fault and fault.status is Status.FAILED:
                endings = [predictor.wait() for predictor in predictors]
                fault = next((ending for ending in endings if not ending.ok), fault)
            for predictor in predictors:
                predictor.cancel()
            for predictor in predictors:
                predictor.wait()
            changed = [path for room in rooms for path in room.changed_frozen()]
        if changed:
            return replace(outcome, status=Status.INTEGRITY_VIOLATION, detail=_changed(changed))
        if fault:
            log = fault.log or outcome.log_tail
            return replace(outcome, status=fault.status, detail=f"scoring: {fault.detail}", log_tail=log)
        measured, *others = json.loads(found)["metrics"]
        if fault_of_metric := implausible(self._target, measured, *others):
            return replace(outcome, status=Status.INVALID_METRIC, detail=f"scoring: {fault_of_metric}")
        if claim := false_claim(outcome.log_tail, self._target, measured):
            return replace(outcome, status=Status.INTEGRITY_VIOLATION, detail=claim)
        return replace(outcome, metric=measured, second=others[0] if others else math.nan)

    def _start_scoring(self, context: ExitStack, scorer: Order, *predictors: Order) -> tuple[socket.socket, list[Run]]:
        """Start the processes with sockets between them. Returns: where the scorer writes its result, and the runs."""
        result, result_end = socket.socketpair()
        context.enter_context(result)
        questions, answers = zip(*(socket.socketpair() for _ in predictors), strict=True)
        # Each end must be open in one process only, or the other side would not see that process end.
        with ExitStack() as ends:
            for end in (result_end, *questions, *answers):
                ends.enter_context(end)
            runs = [self._clean.start(scorer, [end.fileno() for end in (result_end, *questions)])]
            runs += [self._trials.start(order, [end.fileno()]) for order, end in zip(predictors, answers, strict=True)]
        return result, [context.enter_context(run) for run in runs]

    def _room(self, snapshot: Snapshot) -> Workspace:
        """Make the place of a predictor: a copy of the sources, or none for one that runs an exported graph."""
        return Workspace(self._scratch, {}) if self._target.tier is Tier.EXPORTED else self._copy(snapshot)

    def _copy(self, snapshot: Snapshot) -> Workspace:
        places = {path: self._data.train / kept_as(path) for path in self._target.data}
        return Workspace(self._scratch, snapshot.files, frozen=self._target.frozen, links=places)


def _outcome(ending: Ending, seed: int, tier: Tier) -> Outcome:
    return Outcome(
        status=ending.status,
        seed=seed,
        wall_s=ending.wall_s,
        cpu_s=ending.cpu_s,
        peak_rss_bytes=ending.peak_rss_bytes,
        steps=ending.steps,
        detail=ending.detail,
        log_tail=ending.log,
        isolation=ending.isolation,
        curve=ending.curve,
        doomed_at=ending.doomed_at,
        tier=tier,
    )


def _hear(result: socket.socket, predictors: list[Run]) -> bytes:
    """Return what the scorer found. When it has scored, the first predictor is ended and taken off the list before it may go on."""
    with result.makefile("rb") as lines:
        for line in lines:
            if line != SCORED:
                return line
            first = predictors.pop(0)
            first.cancel()
            first.wait()
            result.sendall(b".")
    return b""


def _fault(found: bytes, scorer: Ending) -> Ending | None:
    """Return what the scorer found wrong, or what went wrong with it; None when it found a metric."""
    if not found:
        is_of_outputs = scorer.status is Status.TIMEOUT or (  # too slow to ask, or too large to hold
            scorer.status is Status.OOM and not scorer.detail.startswith(KILLED)
        )
        status = scorer.status if is_of_outputs else Status.INFRA_ERROR
        return replace(scorer, status=status, detail=f"the scorer gave no result: {scorer.detail}")
    said = json.loads(found)
    return None if "metrics" in said else Ending(Status(said["status"]), said["detail"])


def _changed(paths: Iterable[str]) -> str:
    return f"frozen file changed: {', '.join(sorted(set(paths)))}"
