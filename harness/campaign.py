"""The campaign loop: baseline, then moves that are proposed, trained, judged, rewarded and remembered, several at the same time.

Trials overlap and yet count one after the other: trial n is proposed when trial n - window has been fed back, whatever has ended by then,
and verdicts and feedback come in the order of the numbers. So what a campaign does is a function of the target, the settings and what the
runs measured, their CPU time included; not of how many slots there are, which run ended first, or where the process was killed. A resume
walks the same course over the ledger: scenes and trials that are there recover the policy, and where the record ends the work goes on.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from harness.conclude import Conclusion
from harness.evidence import Evidence
from harness.executor import Executor
from harness.guards import Guards, no_room, reason_to_stop
from harness.lines import baseline_fault, baseline_line, noise_line, printed, recheck_line, trial_line
from harness.programs import Programs
from harness.record import Final, Proposal, Recheck
from harness.stopping import make_rule
from harness.values import Outcome, Scoring, Status, TrialError
from harness.verdict import Noise, judge, most_cost, noise_of, wanted
from harness.wishes import priors_of
from mutator.edit import print_script
from policy.protocol import PolicyError, Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from graph.snapshot import Snapshot
    from harness.conclude import FinalRun
    from harness.executor import Key
    from harness.ledger import Ledger
    from harness.measure import Runner
    from harness.objects import ObjectStore
    from harness.programs import Program
    from harness.record import Record
    from harness.stopping import StoppingRule
    from harness.values import Trial
    from harness.verdict import Wanted
    from policy.protocol import Move, Policy
    from targets.manifest import Target

INTERRUPTED = "interrupted; the same command goes on"
RECHECK_EVERY = 20  # trials; two runs, so 10 % of a campaign at most where a trial is one run
SMOKE_FROM_S = (
    60.0  # of a baseline run; the first steps show what a run shows as early itself, but for a crash at its end
)
_UNSEEN, _RECHECKED = 10_000, 20_000  # from here on are seeds of runs that confirm, by the number of the trial


@dataclass(frozen=True, slots=True)
class Session:
    """What may differ from one session of a campaign to the next without changing what it finds."""

    folder: Path
    announce: Callable[[str], None]
    n_slots: int = 1
    guards: Guards = field(default_factory=Guards)


class Campaign:
    """One search over one target. Everything that it knows follows from the ledger."""

    def __init__(self, target: Target, ledger: Ledger, store: ObjectStore, session: Session) -> None:
        """Know what the ledger says. Raises: TargetError: the manifest names kinds or units that do not exist."""
        self._target, self._ledger, self._store, self._session = target, ledger, store, session
        self._announce = session.announce
        self._settings = ledger.record.settings
        self._programs, self._priors = Programs(target, store), priors_of(target)
        self._noise = Noise(0.0, 0.0, 0)
        self._rivals: dict[int, Program] = {}  # of the trials under way: the incumbent when each was proposed
        self._submitted: set[Key] = set()
        self._early: dict[Key, Outcome] = {}  # runs that ended before an earlier run of their trial
        self._n_fed = 0  # trials that the policy knows
        self._smokes = False

    def run(self, runner: Runner, policy: Policy) -> Record:
        """Go on until the campaign ends, and say why it did.

        Raises: TrialError: the baseline fails, or the ledger belongs to other sources.
        """
        self._runner, self._policy = runner, policy
        self._executor = Executor(self._session.n_slots)
        try:
            self._baseline()
            self._recover()
            reason = self._search()
            if self._programs.incumbent.number and not reason.startswith("paused"):
                self._conclude()
        except KeyboardInterrupt:
            reason = INTERRUPTED
        finally:
            self._executor.close()
        if self._ledger.record.stop_reason != reason:
            self._ledger.stop(reason)
        return self._ledger.record

    # --- baseline ----------------------------------------------------------------------------------------------------------------

    def _baseline(self) -> None:
        """Measure the unedited target on its replicates; one that fails ends the campaign with what it printed."""
        done = len(self._ledger.record.baseline)
        for index in range(done, self._settings.replicates):
            self._submit((0, index), self._programs.root, self._settings.seed + index, Scoring.GATE)
        for index in range(done, self._settings.replicates):
            while (0, index) not in self._early:
                self._collect()
            self._add_baseline(index, self._early.pop((0, index)))
        baseline = self._ledger.record.baseline
        self._noise = noise_of(baseline)
        self._announce(noise_line(self._settings, self._noise))
        self._smokes = min(outcome.wall_s for outcome in baseline) >= SMOKE_FROM_S
        self._programs.begin(baseline)

    def _add_baseline(self, index: int, outcome: Outcome) -> None:
        self._ledger.add_baseline(index, outcome)
        self._announce(baseline_line(index, self._settings, outcome))
        if not outcome.ok:
            said = baseline_fault(outcome)
            self._ledger.stop(said)
            raise TrialError(f"{said}; repair the target first{printed(outcome)}")

    # --- search ------------------------------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Walk the course over what the ledger has, and bring policy and programs to where it ends."""
        proposals = {proposal.number: proposal for proposal in self._ledger.record.proposals}
        judged = {trial.number: trial for trial in self._ledger.record.trials}
        scenes, number = [], 1
        while True:
            following = proposals.get(number)
            if following is not None and following.known == self._n_fed:
                scenes.append(self._scene(number))
                self._rivals[number] = self._programs.incumbent
                self._take_up(following)
                number += 1
            elif trial := judged.get(self._n_fed + 1):
                self._absorb(trial)
            else:
                break
        self._policy.recover(scenes, self._ledger.record.trials)
        if judged:
            self._announce(f"resuming after {len(judged)} of {self._settings.n_trials} trials")
        for pending in self._rivals:
            self._start(pending)

    def _take_up(self, proposal: Proposal) -> None:
        """Take note of a proposal of an earlier session, which may have ended before it wrote that there is nothing to run."""
        if proposal.outcomes:
            self._programs.edit_again(proposal)
            return
        _, fault = self._programs.edit(proposal.parent, proposal.script)
        if fault is not None:
            self._ledger.add_run(proposal.number, 0, fault)

    def _search(self) -> str:
        n_before, began_s = self._n_fed, time.monotonic()
        reason, number = "", self._n_fed + len(self._rivals) + 1
        while True:
            self._recheck()
            n_left = self._settings.n_trials - number + 1
            reason = reason or self._reason_to_stop(n_before, n_left, time.monotonic() - began_s)
            may_propose = not reason and n_left and len(self._rivals) < self._settings.window
            if may_propose and (move := self._propose(number)):
                self._register(number, move)
                self._start(number)
                number += 1
            elif self._rivals:
                self._feed(self._n_fed + 1)
            elif not n_left:
                return f"finished: {self._settings.n_trials} trials"
            else:
                return (
                    reason or f"exhausted: policy {self._settings.policy} has nothing to try after {number - 1} trials"
                )

    def _reason_to_stop(self, n_before: int, n_left: int, elapsed_s: float) -> str:
        trials = self._ledger.record.trials
        said = no_room(self._session.folder)
        return said or reason_to_stop(
            self._session.guards, trials, n_before=n_before, n_left=n_left, elapsed_s=elapsed_s
        )

    def _propose(self, number: int) -> Move | None:
        """Ask the policy for a move; None where it has none.

        Raises: PolicyError: it proposed what the programs of the scene do not offer.
        """
        moves = self._policy.propose(self._scene(number), 1)
        if len(moves) > 1 or not all(self._programs.offers(move) for move in moves):
            said = ", ".join(f"{print_script(move.script) or 'no edit'} on trial {move.parent}" for move in moves)
            name = self._settings.policy
            raise PolicyError(f"policy {name}: proposed {said} for trial {number}; propose one move of the scene")
        return next(iter(moves), None)

    def _register(self, number: int, move: Move) -> None:
        """Write the edited program to the store, then the proposal to the ledger."""
        parent = self._programs[move.parent]
        self._rivals[number] = self._programs.incumbent
        snapshot, fault = self._programs.edit(move.parent, move.script)
        commit = self._store.commit(snapshot.files, parent.commit, print_script(move.script), time_s=number)
        self._store.mark_trial(number, commit)
        made = (move.parent, move.script, snapshot.digest, commit)
        self._ledger.add_proposal(Proposal(number, *made, self._n_fed, snapshot.promises))
        if fault is not None:
            self._ledger.add_run(number, 0, fault)

    def _feed(self, number: int) -> None:
        """Wait for a trial's runs, judge it, and let programs and policy know."""
        while self._missing(number):
            self._collect()
        proposal = self._ledger.proposal(number)
        incumbent = self._programs.incumbent
        verdict = judge(proposal.outcomes, incumbent.standing, self._noise, sign=self._target.sign)
        reward = self._programs.reward(proposal, verdict, self._settings.weights)
        trial = self._ledger.add_verdict(number, verdict, reward)
        self._announce(trial_line(trial, self._settings, self._noise, incumbent=incumbent.number))
        self._absorb(trial)
        self._policy.feedback([trial])

    def _absorb(self, trial: Trial) -> None:
        self._rivals.pop(trial.number)
        self._programs.absorb(trial, self._ledger.proposal(trial.number).promises)
        self._n_fed = trial.number

    # --- runs --------------------------------------------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        """Submit the runs that a trial's verdict needs as far as that is known, but for those that are under way."""
        snapshot = self._programs.read(self._ledger.proposal(number).commit)
        for index, run in self._missing(number):
            rule = self._rule(number) if index == 0 else None
            self._submit((number, index), snapshot, run.seed, run.scoring, rule)

    def _submit(
        self, key: Key, snapshot: Snapshot, seed: int, scoring: Scoring, rule: StoppingRule | None = None
    ) -> None:
        if key in self._submitted:
            return
        self._submitted.add(key)

        def run() -> Outcome:
            if self._smokes and key[0] > 0 and key[1] == 0:
                return _screened(self._runner, snapshot, seed, rule)
            return self._runner.run(snapshot, seed, scoring=scoring, rule=rule)

        self._executor.submit(key, run)

    def _collect(self) -> None:
        """Take the next run that ends, write down what can be written in order, and start what follows from it."""
        key, outcome = self._executor.collect()
        self._early[key] = outcome
        number = key[0]
        if number not in self._rivals:
            return
        while (following := (number, len(self._ledger.proposal(number).outcomes))) in self._early:
            self._ledger.add_run(*following, self._early.pop(following))
        self._start(number)

    def _missing(self, number: int) -> list[tuple[int, Wanted]]:
        outcomes = self._ledger.proposal(number).outcomes
        standing = self._rivals[number].standing
        runs = wanted(
            outcomes, standing, self._noise, sign=self._target.sign, unseen=self._settings.seed + _UNSEEN + number
        )
        return list(enumerate(runs))[len(outcomes) :]

    def _rule(self, number: int) -> StoppingRule | None:
        """Make the stopping rule of a trial's first run, from what was known when it was proposed."""
        known = self._ledger.proposal(number).known
        evidence = Evidence(
            tuple(outcome.curve for outcome in self._ledger.record.baseline),
            tuple(trial.outcomes[0].curve for trial in self._ledger.record.trials if trial.number <= known),
            self._rivals[number].outcomes[0].curve,
            self._settings.seed,
            number,
            self._noise.cpu_s or math.inf,
        )
        return make_rule(self._settings.stopping, evidence)

    def _recheck(self) -> None:
        """Now and then, run the incumbent and the baseline once more, on a seed that selected neither."""
        incumbent, done = self._programs.incumbent, {each.incumbent.seed for each in self._ledger.record.rechecks}
        seed = self._settings.seed + _RECHECKED + self._n_fed
        if not incumbent.number or self._n_fed % RECHECK_EVERY or seed in done:
            return
        keys = [(-1, self._n_fed), (-2, self._n_fed)]
        for key, snapshot in zip(keys, (self._programs.read(incumbent.commit), self._programs.root), strict=True):
            self._submit(key, snapshot, seed, Scoring.SEARCH)
        while not all(key in self._early for key in keys):
            self._collect()
        recheck = Recheck(incumbent.number, *(self._early.pop(key) for key in keys))
        self._ledger.add_recheck(recheck)
        self._announce(recheck_line(recheck, self._settings, self._noise))

    def _conclude(self) -> None:
        """Evaluate the incumbent and its edits on fresh seeds and on the final test."""
        conclusion = Conclusion(self._target, self._ledger.record, self._programs.root)
        self._run_finals(conclusion.first_stage(self._ledger.record))
        self._run_finals(conclusion.second_stage(self._ledger.record, has_test=self._runner.has_test))
        if shrunk := conclusion.shrunk(self._ledger.record):
            self._store.mark_shrunk(self._store.commit(shrunk.files, None, f"{self._target.name}: shrunk"))

    def _run_finals(self, runs: Sequence[FinalRun]) -> None:
        if runs:
            roles, on = ", ".join(dict.fromkeys(run.role for run in runs)), dict.fromkeys(run.scoring for run in runs)
            splits = " and ".join("the final test" if each is Scoring.FINAL else "held-out data" for each in on)
            self._announce(f"evaluating  {roles} on {splits}, fresh seeds, {len(runs)} runs")
        keys = [(self._settings.n_trials + 1, len(self._ledger.record.finals) + i) for i in range(len(runs))]
        for key, run in zip(keys, runs, strict=True):
            self._submit(key, run.snapshot, run.seed, run.scoring)
        number = self._ledger.record.kept[-1].number
        for key, run in zip(keys, runs, strict=True):
            while key not in self._early:
                self._collect()
            self._ledger.add_final(Final(number, run.role, run.scoring, self._early.pop(key)))

    # --- state -------------------------------------------------------------------------------------------------------------------

    def _scene(self, number: int) -> Scene:
        programs, n_trials = self._programs, self._settings.n_trials
        costliest = most_cost(self._noise, self._target.limits)
        return Scene(programs.incumbent, programs.known, number, n_trials, self._n_fed, self._priors, costliest)


def _screened(runner: Runner, snapshot: Snapshot, seed: int, rule: StoppingRule | None = None) -> Outcome:
    """Spend the budget only on a program whose first steps run to a checkpoint."""
    smoke = runner.smoke(snapshot, seed).outcome
    if not (smoke.ok or smoke.status is Status.INFRA_ERROR):
        return smoke
    outcome = runner.run(snapshot, seed, rule=rule)
    return replace(outcome, phases=(*(phase for phase in smoke.phases if phase[0] == "smoke"), *outcome.phases))
