"""The command that brings a repository in: read it, ask what cannot be decided, write its manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.errors import WrongUse, one_line_errors
from harness.init.repository import open_repository
from harness.init.stubs import FOLDER, scored_manifest, stubs_of
from harness.init.survey import has_gpu, survey
from harness.init.write import manifest_text, question_lines
from targets.manifest import MANIFEST, TargetError, load_target

if TYPE_CHECKING:
    from harness.init.repository import Repository
    from harness.init.survey import Question, Survey


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--script", default="", help="The script that trains, relative to PATH, where it is not found.")
@click.option("--yes", is_flag=True, help="Ask nothing: take the defaults, and write the questions into the manifest.")
@click.option("--force", is_flag=True, help=f"Write over a {MANIFEST} that is there.")
@one_line_errors
def init(path: Path, script: str, yes: bool, force: bool) -> None:
    """Read the repository in the folder PATH and write its codegraft.toml, with which `codegraft run` works at once.

    Nothing of it is imported or run. What cannot be decided is asked on a terminal, else answered by a default.
    """
    if (path / MANIFEST).exists() and not force:
        raise WrongUse(f"{path / MANIFEST}: is there; give --force to write over it")
    repository = open_repository(path)
    if script and script not in repository.trees:
        raise WrongUse(f"--script: is {script!r}, which is no Python file below {path}; write it relative to that")
    ask = _ask if sys.stdin.isatty() and not yes else _default
    found = survey(repository, ask, script=script, has_gpu=has_gpu())
    (path / MANIFEST).write_text(manifest_text(found, repository.root), encoding="utf-8")
    _report(found, path)
    _begin_scored(repository, found, path, force=force)


def _begin_scored(repository: Repository, found: Survey, path: Path, *, force: bool) -> None:
    """Write the stubs of tier scored into a folder of their own, unless a person has gone on with what is there."""
    stubs = stubs_of(repository, found)
    if not stubs:
        click.echo("tier scored: the model or its loss was not recognised; see docs/your-repository.md")
    elif (path / FOLDER).exists() and not force:
        click.echo(f"tier scored: {path / FOLDER} is there and stays as it is; give --force to write over it")
    else:
        for name, text in {
            **stubs,
            f"{FOLDER}/{MANIFEST}": scored_manifest(repository, found, repository.root),
        }.items():
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).write_text(text, encoding="utf-8")
        click.echo(f"tier scored: begun in {path / FOLDER}; its {MANIFEST} says what is left to do")


def _default(question: Question) -> str:
    return question.default


def _ask(question: Question) -> str:
    """Ask on the terminal; choices by their number."""
    for number, choice in enumerate(question.choices, 1):
        click.echo(f"  {number}  {choice}")
    if not question.choices:
        return str(click.prompt(question.text, default=question.default))
    at = question.choices.index(question.default) + 1
    numbers = click.IntRange(1, len(question.choices))
    return question.choices[click.prompt(question.text, default=at, type=numbers) - 1]


def _report(found: Survey, path: Path) -> None:
    """Print what was decided and what is left to do; check that the manifest loads."""
    click.echo(f"{path / MANIFEST}: {found.script}, {found.metric.name} by {found.metric.path}:{found.metric.line}")
    for answer in found.answers:
        for line in question_lines(answer):
            click.echo(line.removeprefix("# "))
    for note in found.notes:
        click.echo(f"! {note}")
    try:
        load_target(path)
    except TargetError as error:
        click.echo(f"! {error}")
    click.echo(f"next: codegraft run {path} --allow-self-reported, then codegraft check {path}")
