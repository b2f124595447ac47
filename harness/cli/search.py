"""The commands that train: smoke, run and search."""

from __future__ import annotations

import json
import math
import shlex
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from harness.campaign import INTERRUPTED, Campaign, Session
from harness.cli.errors import WrongUse, one_line_errors, say
from harness.evidence import Evidence
from harness.guards import Guards
from harness.isolation import AUTO, LEVELS, REQUIREMENTS
from harness.ledger import LEDGER_FILE, Ledger
from harness.lines import outcome_line, printed
from harness.measure import Runner
from harness.objects import ObjectStore
from harness.record import Settings
from harness.sources import open_sources, open_target, read_target
from harness.standing import standing_lines
from harness.stopping import make_rule
from harness.values import TrialError
from harness.wishes import forbidden_of
from policy.make import OWN, make_policy, refuse_unknown
from policy.protocol import Learner, Policy, PolicyError
from targets.manifest import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.measure import Launch

P = ParamSpec("P")
R = TypeVar("R")

PAUSED = 3  # exit code: something wants to be looked at, then the same command goes on
_LEAST_WINDOW = 3  # enough for two slots, and the same for one: a seed gives one campaign on either

launch = click.option(
    "--launch", type=click.Choice(["zygote", "exec"]), default="zygote", show_default=True,
    help="Fork trials from a process with the target's libraries, or start an interpreter each; the results are equal.",
)  # fmt: skip
allow_self_reported = click.option(
    "--allow-self-reported", is_flag=True,
    help="Run a target whose metric is what its training prints (tier self-reported), which an edit can forge.",
)  # fmt: skip


def isolated(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say how runs are isolated."""
    wanted = click.option(
        "--isolation", default=AUTO, show_default=True, metavar="LEVEL",
        help=f"auto (all layers that work), {', '.join(LEVELS)}, or container:IMAGE@sha256:DIGEST.",
    )  # fmt: skip
    required = click.option(
        "--require-isolation", "required", type=click.Choice(REQUIREMENTS), default="posix",
        help="Start nothing on a machine that gives less. strict: network, signals and other processes out of reach.",
    )  # fmt: skip
    return wanted(required(command))


@click.command()
@click.argument("target")
@click.argument("edits", nargs=-1, metavar="[EDIT]...")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the training run.")
@launch
@isolated
@allow_self_reported
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def run(  # noqa: PLR0913 -- the parameters of a command are its options
    target: str,
    edits: tuple[str, ...],
    seed: int,
    launch: str,
    isolation: str,
    required: str,
    allow_self_reported: bool,
    as_json: bool,
) -> None:
    """Train and score TARGET once, after the EDITs if there are any. Exits with 1 when there is no metric."""
    sources = open_sources(target)
    snapshot = sources.code.apply(*edits).snapshot
    with Runner(
        sources.trainable,
        launch=_launch(launch),
        isolation=isolation,
        required=required,
        announce=say,
        allow_self_reported=allow_self_reported,
    ) as runner:
        outcome = runner.run(snapshot, seed)
    click.echo(
        json.dumps({**asdict(outcome), "metric": outcome.metric if outcome.ok else None})
        if as_json
        else outcome_line(sources.trainable.metric, outcome)
    )
    if not outcome.ok:
        log = "" if as_json else printed(outcome)
        raise TrialError(f"{target}: {outcome.status}: {outcome.detail}{log}")


@click.command()
@click.argument("target")
@click.argument("edits", nargs=-1, metavar="[EDIT]...")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the training run.")
@launch
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@one_line_errors
def smoke(target: str, edits: tuple[str, ...], seed: int, launch: str, as_json: bool) -> None:
    """Train TARGET after the EDITs for three steps: does it run, and does it differ from the unedited one?

    Exits with 1 when it does not run.
    """
    sources = open_sources(target)
    snapshot = sources.code.apply(*edits).snapshot
    with Runner(sources.trainable, launch=_launch(launch), announce=say, allow_self_reported=True) as runner:
        found = runner.smoke(snapshot, seed)
        differs = (
            bool(edits) and found.outcome.ok and found.fingerprint != runner.smoke(sources.snapshot, seed).fingerprint
        )
    outcome = found.outcome
    if as_json:
        facts = {
            "status": outcome.status,
            "detail": outcome.detail,
            "fingerprint": found.fingerprint,
            "differs": differs,
        }
        click.echo(json.dumps(facts))
    elif outcome.ok and outcome.detail:
        click.echo(outcome.detail)
    elif outcome.ok:
        what = (
            "the unedited target"
            if not edits
            else "trains to other weights"
            if differs
            else "bit-equal to the unedited target so far"
        )
        click.echo(f"runs, {outcome.wall_s:.2f} s: {what}")
    if not outcome.ok:
        raise TrialError(f"{target}: {outcome.status}: {outcome.detail}{'' if as_json else printed(outcome)}")


@click.command()
@click.argument("target")
@click.option(
    "--policy",
    default="ppo",
    show_default=True,
    help=f"One of {', '.join(OWN)}, or one that an installed package brings.",
)
@click.option("--trials", type=click.IntRange(1), default=100, show_default=True, help="How many edits to try.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Seed of the campaign: of the policy and of all runs.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the campaign; the same one resumes.",
)
@click.option(
    "--slots", type=click.IntRange(1), default=2, show_default=True, help="Runs at the same time; changes no metric."
)
@click.option("--gpus", default="", metavar="0,1", help="A GPU for each slot, by CUDA's numbers; at least as many.")
@click.option(
    "--window",
    type=click.IntRange(1),
    help="Trials under way at most, so how far proposals run ahead of feedback.  [default: half more than slots, at least 3]",
)
@click.option(
    "--replicates", type=click.IntRange(2), default=3, show_default=True, help="Runs of the baseline, for its noise."
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="Start the policy from a checkpoint, as a campaign leaves one.",
)
@click.option(
    "--stopping",
    default="median",
    show_default=True,
    help="Rule that ends hopeless runs early, where the training sends hints: none, median, asha, or optuna:PRUNER.",
)
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="End this session after so many hours.")
@click.option("--patience", type=click.IntRange(1), help="End after so many trials without a keep.")
@click.option(
    "--until-converged", is_flag=True, help="End when the trials left promise less than one keep (rule of three)."
)
@click.option(
    "--max-failures",
    type=click.FloatRange(0, 1),
    default=1.0,
    help="End when more than this share of the last 20 trials failed.",
)
@click.option(
    "--pause-after",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="Pause after so many failures in a row; 0: never.",
)
@launch
@isolated
@allow_self_reported
@one_line_errors
def search(  # noqa: PLR0913 -- the parameters of a command are its options
    target: str,
    policy: str,
    trials: int,
    seed: int,
    out: Path,
    slots: int,
    gpus: str,
    window: int | None,
    replicates: int,
    checkpoint: Path | None,
    stopping: str,
    hours: float | None,
    patience: int | None,
    until_converged: bool,
    max_failures: float,
    pause_after: int,
    launch: str,
    isolation: str,
    required: str,
    allow_self_reported: bool,
) -> None:
    """Search over the code of TARGET: propose typed edits, train, measure, judge, learn.

    The same command resumes; --slots, --launch and what ends a session may then differ.
    """
    found = open_target(target)
    where = (str(found.folder), read_target(found).digest, found.name, found.metric, found.direction)
    started_from = str(checkpoint.absolute()) if checkpoint else ""
    ahead = window or max(_LEAST_WINDOW, slots * 3 // 2)
    settings = Settings(
        *where, policy, seed, trials, ahead, replicates, started_from, stopping, found.digest, found.reward
    )
    forbidden_of(found, read_target(found))  # refuses what does not exist, before there is a ledger
    _check_names(policy, stopping, gpus)
    guards = Guards(3600 * hours if hours else math.inf, patience, max_failures, pause_after, until_converged)
    signal.signal(signal.SIGTERM, _interrupt)
    runner = Runner(
        found,
        n_slots=slots,
        launch=_launch(launch),
        isolation=isolation,
        required=required,
        gpus=tuple(filter(None, gpus.split(","))),
        announce=say,
        allow_self_reported=allow_self_reported,
    )
    with _open_ledger(out, settings, chosen_window=window) as ledger:
        searcher = start_policy(policy, seed, checkpoint)
        session = Session(out, click.echo, slots, guards)
        with runner:
            record = Campaign(found, ledger, ObjectStore(out), session).run(runner, searcher)
    if isinstance(searcher, Learner):
        searcher.save(out / "policy.safetensors")
    for line in standing_lines(record):
        click.echo(line)
    if record.kept:
        click.echo(f"patch     codegraft patch {shlex.quote(str(out))}")
    click.echo(f"report    codegraft report {shlex.quote(str(out))}")
    if record.stop_reason == INTERRUPTED:
        raise click.Abort
    if str(record.stop_reason).startswith("paused"):
        raise SystemExit(PAUSED)


def _check_names(policy: str, stopping: str, gpus: str) -> None:
    """Refuse what does not exist before anything is written or imported."""
    refuse_unknown(policy)
    if gpus and not all(number.isdecimal() for number in gpus.split(",")):
        raise WrongUse(f"--gpus: is {gpus!r}; write CUDA's numbers, as in 0,1")
    try:
        make_rule(stopping, Evidence((), (), (), seed=0, number=0))
    except TrialError as error:
        raise WrongUse(str(error)) from error


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _launch(name: str) -> Launch:
    return "exec" if name == "exec" else "zygote"


def start_policy(name: str, seed: int, checkpoint: Path | None) -> Policy:
    """Make the policy of a campaign as its settings say.

    Raises: PolicyError: there is no such policy, or it does not start from this checkpoint.
    """
    policy = make_policy(name, seed)
    if checkpoint is not None:
        if not isinstance(policy, Learner):
            raise PolicyError(f"--checkpoint: policy {name} has no weights; leave it out, or choose ppo")
        policy.load(checkpoint)
    return policy


def _open_ledger(folder: Path, settings: Settings, *, chosen_window: int | None) -> Ledger:
    """Start a campaign, or go on with the one in the folder when it was started with the same settings.

    One whose baseline was never measured is worth nothing: it starts over.
    """
    if not (folder / LEDGER_FILE).exists():
        return Ledger.create(folder, settings)
    ledger = Ledger(folder)
    record = ledger.record
    if not record.proposals and not (record.baseline and all(outcome.ok for outcome in record.baseline)):
        ledger.discard()
        return Ledger.create(folder, settings)
    known, wanted = asdict(record.settings), asdict(settings)
    if chosen_window is None:  # the default follows the slots, which may change
        wanted["window"] = known["window"]
    for name, value in known.items():
        if wanted[name] != value:
            ledger.close()
            if name in ("sources", "manifest"):
                said = "sources have" if name == "sources" else "manifest has"
                raise TrialError(f"{settings.target}: its {said} changed since this campaign began; name another --out")
            raise TargetError(
                f"{folder}: its campaign has {name.removeprefix('n_')} {value}, not {wanted[name]}; give the same options, or another --out"
            )
    return ledger
