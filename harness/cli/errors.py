"""One line for what goes wrong: exit code 2 for wrong use, 1 for a campaign that cannot go on; never a traceback for bad input."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from graph.snapshot import GraphError
from harness.values import TrialError
from mutator.edit import EditError
from policy.protocol import PolicyError
from targets.manifest import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.sources import Sources

P = ParamSpec("P")
R = TypeVar("R")


class WrongUse(click.ClickException):
    """What a person wrote cannot be done as it stands."""

    exit_code = 2


def one_line_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn the exceptions of all floors into one line on stderr and an exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (TargetError, GraphError, EditError, PolicyError) as error:
            raise WrongUse(str(error)) from error
        except TrialError as error:
            raise click.ClickException(str(error)) from error

    return wrapped


def say(line: str) -> None:
    """Say on stderr what is no result."""
    click.echo(f"codegraft: {line}", err=True)


def warn_of_unread(sources: Sources) -> None:
    """Say on stderr which files no edit can be made in, because they do not parse."""
    for path, file in sources.graph.files.items():
        if file.error and path.endswith(".py"):
            say(f"{path}: is left out: {file.error}")
