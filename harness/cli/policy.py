"""The commands about the policy: what it had to choose from in a campaign, and what it learned there."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.errors import WrongUse, one_line_errors, say
from harness.cli.pretrain import pretrain
from harness.cli.search import start_policy
from harness.course import walk
from harness.ledger import read_record
from mutator.edit import print_script
from policy.protocol import Move, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.course import Course
    from harness.record import Proposal, Record
    from harness.values import Trial
    from policy.explain import Decision, Finding, Option
    from policy.ppo import PpoPolicy
    from policy.tally import Tally

_PPO = "ppo"
_N_OPTIONS = 5  # shown of a decision
_N_ATTENDED = 3


@click.group()
def policy() -> None:
    """Show what the ppo policy had to choose from in a campaign, and what it learned there; make a checkpoint for the next."""


policy.add_command(pretrain)


@policy.command()
@click.argument("campaign", metavar="CAMPAIGN[@TRIAL]")
@click.option("--kinds", is_flag=True, help="Say instead what each kind of edits that was tried has paid.")
@click.option("--sites", is_flag=True, help="The same by site.")
@click.option("--export-prior", is_flag=True, help="Print a table [search] for the manifest of the next campaign.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each trial, kind or site.")
@one_line_errors
def show(campaign: str, *, kinds: bool, sites: bool, export_prior: bool, as_json: bool) -> None:
    """Say for each trial, or for TRIAL, what the policy had to choose from, which move was made, and what came of it.

    The policy is made again and walks the ledger. A line per option, * the one that was made: its rank, how probable a sample of it is,
    what it is believed to gain over its program. Gains, and effects in the tables, are in standard deviations of the unedited target, on a
    scale that bends beyond three of them. Then what the value head expected and the trial earned, and which trials the network looked at.
    """
    folder, number = _split(campaign)
    if number is not None and (kinds or sites or export_prior):
        raise WrongUse(f"{campaign}: --kinds, --sites and --export-prior are about all trials; leave @{number} out")
    if export_prior and (kinds or sites or as_json):
        raise WrongUse("--export-prior: prints a table of TOML alone; leave the other options out")
    record = read_record(folder)
    if record.settings.policy.partition("@")[0] != _PPO:
        raise PolicyError(f"{folder}: is a campaign of policy {record.settings.policy}; only ppo can be shown")
    if number is not None and number not in {proposal.number for proposal in record.proposals}:
        raise WrongUse(f"{campaign}: trial {number} was never proposed; the campaign has {len(record.proposals)}")
    course = walk(folder, record)
    if course.target.digest != record.settings.manifest:
        say(f"{course.target.folder}: its manifest has changed since; edits and priors are those of now")
    policy = _start(record)
    if kinds or sites or export_prior:
        policy.recover(course.scenes, record.trials)
        for line in _prior(course, record, policy) if export_prior else _tables(course, policy, kinds, sites, as_json):
            click.echo(line)
        return
    _tell(course, record, policy, number, as_json=as_json)


def _split(campaign: str) -> tuple[Path, int | None]:
    """Read CAMPAIGN[@TRIAL]."""
    folder, _, number = campaign.rpartition("@")
    if not folder or Path(campaign).is_dir():
        return Path(campaign), None
    if not number.isdecimal():
        raise WrongUse(f"{campaign}: {number!r} is no trial; write a number, as in {folder}@12")
    return Path(folder), int(number)


def _start(record: Record) -> PpoPolicy:
    """Make the policy as the campaign made it."""
    from policy.ppo import PpoPolicy  # noqa: PLC0415 - keeps torch out of --help

    settings = record.settings
    policy = start_policy(settings.policy, settings.seed, Path(settings.checkpoint) if settings.checkpoint else None)
    assert isinstance(policy, PpoPolicy)
    return policy


# --- decisions -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """A decision, and what the ledger says of it."""

    decision: Decision
    made: Proposal
    trial: Trial | None  # None: not judged yet

    @property
    def rank(self) -> int | None:
        """The rank of the option that was made, or that the script that was made begins with."""
        return self.decision.rank(Move(self.made.parent, self.made.script))

    @property
    def ranks(self) -> list[int]:
        """The ranks to show: the first ones, and that of the move that was made."""
        first = list(range(1, 1 + min(_N_OPTIONS, len(self.decision.options))))
        return first if self.rank is None or self.rank in first else [*first, self.rank]

    @property
    def agrees(self) -> bool:
        """Whether the policy, made again, proposes what was made."""
        return self.decision.proposed == Move(self.made.parent, self.made.script)


def _tell(course: Course, record: Record, policy: PpoPolicy, number: int | None, *, as_json: bool) -> None:
    """Print all decisions, or one, as they are replayed."""
    proposals = {proposal.number: proposal for proposal in record.proposals}
    judged = {trial.number: trial for trial in record.trials}
    others = []
    for decision in _decide(course, record, policy, number):
        told = _Told(decision, proposals[decision.number], judged.get(decision.number))
        click.echo(json.dumps(_decision_json(told)) if as_json else "\n".join(_decision_lines(told)))
        if not told.agrees:
            others.append(str(decision.number))
    if others:
        who = f"trial{'s' if len(others) > 1 else ''} {', '.join(others)}"
        say(
            f"{who}: the policy, made again, proposes another move: checkpoint, manifest, codegraft or torch are not those of then"
        )


def _decide(course: Course, record: Record, policy: PpoPolicy, number: int | None) -> Iterator[Decision]:
    """Yield what the policy had before it at each trial, or at one."""
    from policy.explain import explain  # noqa: PLC0415 - keeps torch out of --help

    if number is not None:
        before = [scene for scene in course.scenes if scene.number < number]
        scene = course.scenes[len(before)]
        policy.recover(before, record.trials[: scene.n_known])
        yield explain(policy, scene)
        return
    n_fed = 0
    for scene in course.scenes:
        for trial in record.trials[n_fed : scene.n_known]:
            policy.feedback([trial])
        n_fed = scene.n_known
        yield explain(policy, scene)


def _decision_lines(told: _Told) -> Iterator[str]:
    decision, made, trial = told.decision, told.made, told.trial
    yield f"trial {decision.number}  {len(decision.options)} options after {made.known} trials"
    for rank in told.ranks:
        option = decision.options[rank - 1]
        believed = f"{option.probability:6.1%}  {option.mean:+.2f} +- {option.deviation:.2f}"
        yield f"{'*' if rank == told.rank else ' '}{rank:>4}  {believed}  {_print_move(option.move)}"
    if told.rank is None or len(made.script) > 1:
        yield f"  made   {_print_move(Move(made.parent, made.script))}"
    earned = trial and f"earned {trial.reward_total:+.2f}, {trial.reward_total - decision.usual:+.2f} beyond the usual"
    yield f"  value  expected {decision.value:+.2f}, {earned or 'not judged yet'}"
    looks = ", ".join(f"{share:.1%} at trial {number}" for number, share in decision.attention[:_N_ATTENDED])
    yield f"  looks  {looks or 'at no trial, none is known'}; an even look is {1 / decision.n_tokens:.1%}"


def _print_move(move: Move) -> str:
    """Print a move as the lines of a search do."""
    return print_script(move.script, anchors=False) + (f"  on trial {move.parent}" if move.parent else "")


def _decision_json(told: _Told) -> dict[str, object]:
    decision, made, trial = told.decision, told.made, told.trial
    return {
        "trial": decision.number,
        "known": made.known,
        "n_options": len(decision.options),
        "options": [
            {"rank": rank, "made": rank == told.rank, **_option_json(decision.options[rank - 1])} for rank in told.ranks
        ],
        "made": {"parent": made.parent, "script": print_script(made.script)},
        "agrees": told.agrees,
        "expected": decision.value,
        "usual": decision.usual,
        "earned": trial.reward_total if trial is not None else None,
        "n_tokens": decision.n_tokens,
        "attention": [{"trial": number, "share": share} for number, share in decision.attention],
    }


def _option_json(option: Option) -> dict[str, object]:
    believed = {"probability": option.probability, "mean": option.mean, "deviation": option.deviation}
    return {"parent": option.move.parent, "edit": print_script(option.move.script), **believed}


# --- what was learned ------------------------------------------------------------------------------------------------------------


def _findings(course: Course, policy: PpoPolicy, by: str) -> Mapping[str, Finding]:
    """Return what is believed at the end of the incumbent's edits, also of those that were tried, by kind or by site."""
    from policy.explain import sum_up  # noqa: PLC0415 - keeps torch out of --help

    return sum_up(policy.insight, course.incumbent, [*course.incumbent.listed], attrgetter(by))


def _tables(course: Course, policy: PpoPolicy, kinds: bool, sites: bool, as_json: bool) -> Iterator[str]:
    """Yield a table of the kinds and one of the sites that were tried, what is believed to pay most first."""
    tables = (("kind", kinds, policy.memory.kinds), ("site", sites, policy.memory.sites))
    for by, tallies in ((by, tallies) for by, is_wanted, tallies in tables if is_wanted):
        findings = _findings(course, policy, by)
        rows = [(str(name), tally, findings.get(str(name))) for name, tally in tallies.known.items()]
        rows.sort(key=lambda row: (-row[2].effect if row[2] is not None else math.inf, row[0]))
        if as_json:
            yield from (json.dumps(_row_json(by, *row)) for row in rows)
            continue
        width = max(len(name) for name, _, _ in rows) if rows else 0
        yield f"{by:<{width}}  {'n':>3}  {'ok':>3}  {'kept':>4}  {'reward':>7}  {'effect':>7}"
        yield from (_row_line(width, *row) for row in rows)


def _row_line(width: int, name: str, tally: Tally, finding: Finding | None) -> str:
    effect = f"{finding.effect:+7.2f}" if finding is not None else f"{'-':>7}"
    return f"{name:<{width}}  {tally.n:>3}  {tally.n_ok:>3}  {tally.n_kept:>4}  {tally.total / tally.n:+7.2f}  {effect}"


def _row_json(by: str, name: str, tally: Tally, finding: Finding | None) -> dict[str, object]:
    return {
        by: name,
        "n": tally.n,
        "ok": tally.n_ok,
        "kept": tally.n_kept,
        "reward": tally.total / tally.n,
        "effect": finding.effect if finding is not None else None,
    }


def _prior(course: Course, record: Record, policy: PpoPolicy) -> Iterator[str]:
    """Yield a table for the manifest of the next campaign."""
    from policy.explain import weigh_kinds  # noqa: PLC0415 - keeps torch out of --help

    weights = weigh_kinds(_findings(course, policy, "kind"))
    told = ", ".join(f"{json.dumps(kind)} = {weights[kind]:.2f}" for kind in sorted(weights))
    yield f"# What {len(record.trials)} trials on {record.settings.name} taught of kinds; in place of another search.prefer"
    yield "[search]"
    yield f"prefer = {{ {told} }}"
