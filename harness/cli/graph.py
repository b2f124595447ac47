"""The command `graph`: a summary, a node, who calls whom, context, slices, impact, and the whole graph in other forms."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graph.context import DEFAULT_TOKENS, context
from graph.export import Format, call_graph, write
from graph.model import Confidence, NodeKind
from graph.query import backward_slice, callees, callers, dotted, find, forward_slice, impact, locate, path, uses
from graph.summary import edge_facts, node_facts, summarize
from harness.cli.errors import WrongUse, one_line_errors
from harness.sources import Sources, open_program
from mutator.edit import print_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from graph.code_graph import CodeGraph
    from graph.model import Node

TEXT = "text"
_FORWARD = ("--slice",)  # the questions that an option belongs to
_SURE = ("--calls", "--slice", "--way")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a question gives: lines for people, a value for programs, and the slots that a drawing shows."""

    lines: Iterable[str]
    value: object
    slots: tuple[str, ...] | None = None  # none: there is nothing to draw
    note: str = ""  # for stderr


@click.command()
@click.argument("program", metavar="PATH")
@click.option("--node", metavar="SLOT", help="A node: its source, its edges in and out, who calls and uses it.")
@click.option("--calls", is_flag=True,
              help="Who calls whom, as JSON in PyCG's form: {caller: [callees]}; calls that a library may make, or that are one of "
              "many possible ones, only with --at-least may.")  # fmt: skip
@click.option("--context", "site", metavar="SLOT", help="What an edit at a node needs to see, as Python outline.")
@click.option("--tokens", type=click.IntRange(0), default=DEFAULT_TOKENS, show_default=True, help="Cap of --context.")
@click.option("--slice", "sliced", metavar="SLOT", help="What the value at a node comes from.")
@click.option("--forward", is_flag=True, help="With --slice: what it goes to.")
@click.option("--impact", "changed", metavar="SLOT", help="What a change of a node reaches, and what is unknown.")
@click.option("--find", "pattern", metavar="GLOB", help="The nodes of that label, dotted name or slot.")
@click.option("--way", nargs=2, metavar="SLOT SLOT", help="A shortest way from one node to another.")
@click.option("--at-least", type=click.Choice([c.value for c in Confidence]),
              help="Leave out edges that are less sure; default: inferred in --calls, may (all of them) in --slice and --way.")  # fmt: skip
@click.option("--format", "form", type=click.Choice([TEXT, *(form.value for form in Format)]), default=TEXT, show_default=True,
              help="Of the graph, or of what was asked for.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", "to", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a file.")
@one_line_errors
def graph(  # noqa: PLR0913 -- the parameters of a command are its options
    program: str,
    node: str | None,
    calls: bool,
    site: str | None,
    tokens: int,
    sliced: str | None,
    forward: bool,
    changed: str | None,
    pattern: str | None,
    way: tuple[str, str] | None,
    at_least: str | None,
    form: str,
    as_json: bool,
    to: Path | None,
) -> None:
    """Show the code graph of PATH, or answer one question about it.

    PATH is a target (its name or folder), any folder of Python files, one Python file, or a trial of a campaign:
    campaigns/demo@12, campaigns/demo@0 for the program before any edit, campaigns/demo@best.

    A SLOT is a node's slot (layers:MLP.forward/call.gelu), a dotted name (layers.MLP.forward), or FILE.py:LINE.
    """
    sure = Confidence(at_least or (Confidence.INFERRED if calls else Confidence.MAY))
    questions: dict[str, tuple[object, Callable[[CodeGraph], _Answer]]] = {
        "--node": (node, lambda known: _node(known, str(node))),
        "--calls": (calls, lambda known: _calls(known, sure)),
        "--context": (site, lambda known: _context(known, str(site), tokens)),
        "--slice": (sliced, lambda known: _slice(known, str(sliced), sure, forward=forward)),
        "--impact": (changed, lambda known: _impact(known, str(changed))),
        "--find": (pattern, lambda known: _listed(known, [n.slot for n in find(known, name=str(pattern))])),
        "--way": (way, lambda known: _way(known, *(way or ("", "")), sure)),
    }
    asked = {name: ask for name, (given, ask) in questions.items() if given not in (None, False)}
    if len(asked) > 1:
        raise WrongUse(f"{' and '.join(asked)}: are different questions; ask one at a time")
    for option, given, meant in (("--forward", forward, _FORWARD), ("--at-least", at_least is not None, _SURE)):
        if given and not asked.keys() & set(meant):
            raise WrongUse(f"{option}: says nothing without {' or '.join(meant)}")
    sources = open_program(program)
    form = Format.JSON if as_json else form
    if not asked:
        text = "\n".join(_summary(sources)) + "\n" if form == TEXT else write(sources.graph, Format(form))
    else:
        ((name, ask),) = asked.items()
        answer = ask(sources.graph)
        text = _printed(sources.graph, answer, form, name)
        if answer.note:
            click.echo(answer.note, err=True)
    data = text.encode("utf-8", "backslashreplace")
    if to is None:
        click.echo(data, nl=False)
    else:
        to.write_bytes(data)
        click.echo(f"wrote {to}", err=True)


def _printed(graph: CodeGraph, answer: _Answer, form: str, name: str) -> str:
    if form == TEXT:
        return "".join(f"{line}\n" for line in answer.lines)
    if form == Format.JSON:
        return json.dumps(answer.value) + "\n"
    if answer.slots is None:
        raise WrongUse(f"{name}: has no form {form}; choose text or json")
    return write(graph, Format(form), only=frozenset(answer.slots))


def _summary(sources: Sources) -> Iterable[str]:
    for made in sources.made_by:
        yield f"trial {made.number}  {print_script(made.script, anchors=False)}  on trial {made.parent}"
    yield from summarize(sources.graph)
    for slot in sorted(sources.protected):
        node = sources.graph.nodes[slot]
        yield f"spared   {node.path}:{sources.graph.line(node)}  {slot}"


def _node(graph: CodeGraph, text: str) -> _Answer:
    node = locate(graph, text)
    left, came = graph.out(node.slot), graph.into(node.slot)
    about = {
        "callers": callers(graph, node.slot),
        "callees": callees(graph, node.slot),
        "uses": tuple(dict.fromkeys(edge.source for edge in uses(graph, node.slot))),
    }
    lines = [f"{_where(graph, node)}  {node.kind.value} {dotted(graph, node)}"]
    lines += [f"{name:<8} {', '.join(slots)}" for name, slots in about.items() if slots]
    lines += [f"out      {_edge_words(edge_facts(e))} {e.target}" for e in left]
    lines += [f"in       {_edge_words(edge_facts(e))} {e.source}" for e in came]
    shown = node.kind not in (NodeKind.EXTERNAL, NodeKind.ERROR)  # what does not parse may be no text at all
    lines += ["", *_source(graph, node)] if shown else []
    value = {
        "id": node.slot, **node_facts(graph, node), "dotted": dotted(graph, node), **about,
        "out": [{"target": e.target, **edge_facts(e)} for e in left],
        "in": [{"source": e.source, **edge_facts(e)} for e in came],
        "source": graph.text(node) if shown else "",
    }  # fmt: skip
    return _Answer(lines, value, (node.slot, *(e.target for e in left), *(e.source for e in came)))


def _calls(graph: CodeGraph, at_least: Confidence) -> _Answer:
    value = {caller: [*called] for caller, called in call_graph(graph, externals=True, at_least=at_least).items()}
    return _Answer([json.dumps(value)], value)


def _context(graph: CodeGraph, text: str, max_tokens: int) -> _Answer:
    found = context(graph, locate(graph, text).slot, max_tokens=max_tokens)
    note = (
        f"{found.used_tokens:,} of {found.full_tokens:,} tokens; {found.names_declared} of the {found.names_total} names used"
        f" at the site are defined or declared; {len(found.dropped)} parts dropped"
    )
    return _Answer(found.text.splitlines(), asdict(found), note=note)


def _slice(graph: CodeGraph, text: str, at_least: Confidence, *, forward: bool) -> _Answer:
    follow = forward_slice if forward else backward_slice
    return _listed(graph, follow(graph, locate(graph, text).slot, at_least=at_least))


def _impact(graph: CodeGraph, text: str) -> _Answer:
    found = impact(graph, locate(graph, text).slot)
    groups = [(name, getattr(found, name)) for name in ("exact", "inferred", "may")]
    lines = [
        f"{found.verdict}: {', '.join(f'{len(slots)} {name}' for name, slots in groups)}, {found.unresolved} unresolved"
    ]
    lines += [f"{name:<8} {_where(graph, graph.nodes[slot])}" for name, slots in groups for slot in slots]
    return _Answer(lines, asdict(found), (found.slot, *found.exact, *found.inferred, *found.may))


def _way(graph: CodeGraph, first: str, last: str, at_least: Confidence) -> _Answer:
    edges = path(graph, locate(graph, first).slot, locate(graph, last).slot, at_least=at_least)
    lines = [f"{_edge_words(edge_facts(e))} {e.source} -> {e.target}" for e in edges]
    value = [{"source": e.source, "target": e.target, **edge_facts(e)} for e in edges]
    slots = tuple(dict.fromkeys(slot for e in edges for slot in (e.source, e.target)))
    return _Answer(lines, value, slots, note="" if edges else f"{first} {last}: no way of edges leads there")


def _listed(graph: CodeGraph, slots: Iterable[str]) -> _Answer:
    nodes = [graph.nodes[slot] for slot in slots]
    lines = [f"{_where(graph, node)}  {_first_line(graph, node)}".rstrip() for node in nodes]
    value = [{"id": node.slot, **node_facts(graph, node)} for node in nodes]
    return _Answer(lines, value, tuple(node.slot for node in nodes), note="" if nodes else "no node is called that")


def _source(graph: CodeGraph, node: Node) -> list[str]:
    """Return the lines of a node, the first one with the white space before it."""
    data = graph.snapshot.files[node.path]
    before = data[data.rfind(b"\n", 0, node.start) + 1 : node.start].decode()
    return f"{'' if before.strip() else before}{graph.text(node)}".splitlines()


def _where(graph: CodeGraph, node: Node) -> str:
    return f"{node.path}:{graph.line(node)}  {node.slot}" if node.path else node.slot


def _first_line(graph: CodeGraph, node: Node) -> str:
    shown = node.kind not in (NodeKind.MODULE, NodeKind.EXTERNAL, NodeKind.ERROR)
    return f"| {graph.text(node).splitlines()[0]}" if shown and graph.text(node) else ""


def _edge_words(facts: dict[str, str]) -> str:
    rule = f" by {facts['rule']}" if facts["rule"] else ""
    return f"{facts['kind']} ({facts['confidence']}{rule})"
