"""The command about edit kinds: list them, show them, print their documentation, start a new one."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graph.snapshot import Snapshot
from harness.cli.errors import one_line_errors
from mutator.code import Code
from mutator.edit import EditError
from mutator.grammar import Grammar
from mutator.shipped import default_grammar

if TYPE_CHECKING:
    from mutator.kind import EditKind, Example

_NAME = re.compile(r"[a-z]+(-[a-z0-9]+)+")
_SKELETON = Path(__file__).parent / "new_kind.py.txt"


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.option("--docs", is_flag=True, help="Print the documentation pages, in Markdown, made from the examples.")
@click.option(
    "--new", metavar="NAME", help="Write NAME.py and its test into this folder: a kind that works, to be changed."
)
@one_line_errors
def kinds(names: tuple[str, ...], as_json: bool, docs: bool, new: str | None) -> None:
    """List the edit kinds, or show the named ones with their examples."""
    if new is not None:
        _start(new)
        return
    grammar = default_grammar().only(*names) if names else default_grammar()
    if as_json:
        click.echo(json.dumps([_facts(kind) for kind in grammar.kinds]))
    elif docs:
        click.echo("\n".join(_markdown(kind) for kind in grammar.kinds))
    elif names:
        click.echo("\n".join(_page(kind) for kind in grammar.kinds))
    else:
        width = max(len(kind.name) for kind in grammar.kinds)
        for kind in grammar.kinds:
            click.echo(f"{kind.name:<{width}}  {kind.family:<8}  {_doc(kind)[0]}")


def _start(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise EditError(f"{name}: is no name of a kind; write a verb in kebab-case, as in swap-pooling")
    if any(kind.name == name for kind in default_grammar().kinds):
        raise EditError(f"{name}: is the name of a kind that is there already; choose another one")
    module = name.replace("-", "_")
    text = _SKELETON.read_text().replace("new-kind", name).replace("new_kind", module)
    text = text.replace("NewKind", "".join(word.capitalize() for word in name.split("-")))
    for path, part in zip((Path(f"{module}.py"), Path(f"test_{module}.py")), text.split("# ---8<---\n"), strict=True):
        if path.exists():
            raise EditError(f"{path}: is there already; choose another name or folder")
        path.write_text(part)
        click.echo(f"wrote {path}")
    click.echo(f"try it: pytest test_{module}.py")


def _facts(kind: EditKind) -> dict[str, object]:
    return {
        "name": kind.name,
        "family": kind.family,
        "version": kind.version,
        "preserves": kind.preserves,
        "summary": _doc(kind)[0],
        "doc": "\n".join(_doc(kind)),
        "examples": [example.edit for example in kind.examples],
        "refusals": [{"edit": refusal.edit, "reason": refusal.reason} for refusal in kind.refusals],
    }


def _doc(kind: EditKind) -> list[str]:
    return (inspect.getdoc(kind) or "").splitlines()


def _page(kind: EditKind) -> str:
    """Print a kind for a terminal: what, why, source, and every example as a diff."""
    parts = [kind.name, *(f"  {line}" for line in _doc(kind))]
    for example in kind.examples:
        parts += ["", f"  {example.edit}", *(f"    {line}" for line in _diff(kind, example).splitlines())]
    return "\n".join([*parts, ""])


def _markdown(kind: EditKind) -> str:
    parts = [f"## {kind.name}", "", *_doc(kind)]
    for example in kind.examples:
        parts += ["", f"`{example.edit}`", "", "```diff", _diff(kind, example).rstrip("\n"), "```"]
    parts += ["", "Refused:", "", *(f"- `{refusal.edit}` ({refusal.reason})" for refusal in kind.refusals), ""]
    return "\n".join(parts)


def _diff(kind: EditKind, example: Example) -> str:
    sources = Snapshot({path: text.encode() for path, text in example.before.items()})
    return Code.of(sources).using(Grammar((kind,))).apply(example.edit).diff()
