"""A survey as the text of a manifest: every line says why it is so, and what was decided by default is a question in a comment."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from harness.init.survey import Answer, Survey

CEILING_S = 1800.0  # of CPU time; `codegraft check` says what the baseline takes


def manifest_text(found: Survey, root: Path) -> str:
    """Write the manifest of a survey."""
    return "\n".join(_lines(found, root)) + "\n"


def _lines(found: Survey, root: Path) -> Iterator[str]:
    metric = found.metric
    yield "# Written by `codegraft init`. Lines with ? are its guesses: look at them, then `codegraft check` measures."
    yield f"name = {toml_text(target_name(root))}"
    yield from _asked(found, "train")
    yield f"train = {toml_text(found.script)}"
    yield from _asked(found, "arguments")
    yield from (line for answer in found.answers for line in _others(answer))
    yield f"arguments = {toml_list(found.arguments)}"
    yield f"mutable = {toml_list(found.mutable)}  # what edits may change"
    if found.frozen:
        yield f"frozen = {toml_list(found.frozen)}  # what measures, or reads the command line"
    if found.data:
        yield f"data = {toml_list(found.data)}  # copied once; every run finds them in their places, read-only"
    yield ""
    yield "# What the training prints is believed. An edit can forge that, so nothing is kept by itself; tier scored measures."
    yield 'tier = "self-reported"'
    yield from _asked(found, "metric")
    yield f"metric = {toml_text(metric.name)}  # printed by {metric.path}:{metric.line}; the last one counts"
    yield f"pattern = {_pattern(metric.pattern)}"
    yield f'direction = "{metric.direction}"'
    yield from _protected(found)
    yield ""
    yield "# A training that never asks is ended, without a metric, at this much CPU time: three times what the baseline takes."
    yield "[budget]"
    yield 'unit = "cpu_s"'
    yield f"amount = {CEILING_S:g}"
    yield ""
    yield "[limits]"
    yield f"wall_s = {2 * CEILING_S:g}"
    yield f"cpu_s = {CEILING_S:g}"
    yield "memory_mb = 4096"
    yield "threads = 1"
    for note in found.notes:
        yield f"# ! {note}"


def _protected(found: Survey) -> Iterator[str]:
    if found.protected:
        yield ""
        yield "protected = [  # spared by edits, besides what `codegraft check` finds by itself"
        width = max(len(toml_text(slot)) for slot, _ in found.protected) + 1
        for slot, why in found.protected:
            yield f"  {toml_text(slot) + ',':<{width}}  # {why}"
        yield "]"


_PLACED = ("train", "arguments", "metric")  # questions that have a line of their own


def _asked(found: Survey, name: str) -> Iterator[str]:
    for answer in found.answers:
        if answer.question.name == name:
            yield from question_lines(answer)


def _others(answer: Answer) -> Iterator[str]:
    if answer.question.name not in _PLACED:
        yield from question_lines(answer)


def question_lines(answer: Answer) -> Iterator[str]:
    """Print a question and what was answered, as comments."""
    yield f"# ? {answer.question.text}: {answer.given}"
    for choice in answer.question.choices:
        if choice != answer.given:
            yield f"#   or {choice}"


def target_name(root: Path) -> str:
    """Return a name for the target in a folder."""
    return re.sub(r"[^\w.-]+", "-", root.resolve().name).strip("-.") or "target"


def toml_text(text: str) -> str:
    """Write a string."""
    return json.dumps(text, ensure_ascii=False)  # JSON's strings are TOML's basic strings


def toml_list(texts: Iterable[str]) -> str:
    """Write a list of strings on one line."""
    return f"[{', '.join(map(toml_text, texts))}]"


def _pattern(pattern: str) -> str:
    return f"'{pattern}'" if "'" not in pattern else toml_text(pattern)
