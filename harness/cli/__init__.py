"""The command line. Each command lives in a module that is imported when the command runs, so that `--help` stays fast."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

import click

from targets.shipped import shipped_targets


@dataclass(frozen=True, slots=True)
class _Lazy:
    """Where a command is, and the line that `--help` shows for it."""

    module: str
    help: str


_COMMANDS = {
    "graph": _Lazy(
        "harness.cli.graph", "Show the code graph of a target, a folder, a file or a trial; ask it questions."
    ),
    "init": _Lazy("harness.cli.init", "Read a repository and write its codegraft.toml."),
    "check": _Lazy(
        "harness.cli.check", "Check a target: what is protected, what could be edited, what it measures and takes."
    ),
    "kinds": _Lazy("harness.cli.kinds", "List the edit kinds, show them with examples, or start a new one."),
    "edits": _Lazy("harness.cli.code", "List the legal edits of a target."),
    "apply": _Lazy("harness.cli.code", "Apply edits to a target and print the diff."),
    "distance": _Lazy("harness.cli.distance", "Say how far apart two programs are in structure, and why."),
    "smoke": _Lazy("harness.cli.search", "Train for three steps, with or without edits: does it run, does it differ?"),
    "run": _Lazy("harness.cli.search", "Train and score a target once, with or without edits."),
    "search": _Lazy("harness.cli.search", "Search over a target's code; the same --out folder resumes."),
    "status": _Lazy("harness.cli.campaign", "Say where a campaign stands."),
    "patch": _Lazy("harness.cli.campaign", "Print what a campaign found, as a diff."),
    "verify": _Lazy(
        "harness.cli.verify", "Check a campaign: digests, lineage, edits, verdicts; measure the best again."
    ),
    "report": _Lazy("harness.cli.campaign", "Write a campaign's report: one offline HTML file."),
    "policy": _Lazy("harness.cli.policy", "Show what the ppo policy had to choose from, and what it learned."),
    "export": _Lazy(
        "harness.cli.export", "Write a campaign for other tools: TSV, JSONL, Parquet, Optuna, Perfetto, trackers."
    ),
    "landscape": _Lazy(
        "harness.cli.landscape", "Measure what edit scripts of a target are worth; say what was measured."
    ),
    "bench": _Lazy("harness.cli.bench", "Compare policies: on landscapes in minutes, on a target by campaigns."),
}


# Of this process, before NumPy reads them: sums depend on how many threads add, and the other cores train.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class _Commands(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = _COMMANDS.get(cmd_name)
        command = getattr(importlib.import_module(lazy.module), cmd_name) if lazy is not None else None
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in _COMMANDS.items()])


def main() -> None:
    """Run the command line; an error is one line, `codegraft: what is wrong; what to do`."""
    os.environ |= _ONE_THREAD
    try:
        code = commands.main(prog_name="codegraft", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        where = f"{error.ctx.command_path}: " if isinstance(error, click.UsageError) and error.ctx else "codegraft: "
        click.echo(where + error.format_message(), err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f"codegraft: {error.filename or 'output'}: {error.strerror}; check the path and the disk", err=True)
        sys.exit(1)
    except click.Abort:
        sys.exit(130)  # 128 + SIGINT, as shells report it
    sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Targets that ship with codegraft: {', '.join(shipped_targets())}.",
)
@click.version_option(package_name="codegraft", message="%(package)s %(version)s")
def commands() -> None:
    """Search over machine-learning code: typed edits on a semantic graph, trained, measured and judged.

    TARGET is a folder with a codegraft.toml, or the name of a target that ships with codegraft, named below.
    """
