"""Render the report's page: what the templates are given, and the walls around it.

Three walls stand between what a trial printed and the reader's browser: autoescape on every expression, `printable` on every
string (control and direction characters would hide code from a reviewer), and a content policy that runs only what has one of our
two hashes and fetches nothing.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.conclude import evaluation
from harness.ledger import read_record
from harness.lines import badge
from harness.objects import ObjectStore
from harness.pareto import pareto_front
from harness.record import Record
from harness.report.chart import draw_chart, strip_marks, strip_reach
from harness.report.diff import FileDiff, diff_files
from harness.report.facts import (
    Fate,
    all_runs,
    count_failures,
    count_fates,
    fate,
    find_best,
    isolation_levels,
    kind_facts,
    measure_noise,
    stopping_facts,
)
from harness.report.lineage import build_lineage
from harness.report.text import duration_text, number_text, printable
from mutator.edit import print_script

if TYPE_CHECKING:
    from harness.verdict import Noise

_HERE = Path(__file__).parent


def write_report(folder: Path) -> Path:
    """Write CAMPAIGN/report.html from the ledger and the program versions in a campaign's folder, and return its path.

    A campaign may be running: the file is replaced in one step and says what the ledger knew.

    Raises: TrialError: the folder holds no campaign.
    """
    page = render_page(read_record(folder), ObjectStore(folder))
    path = folder / "report.html"
    draft = path.with_name("report.html.part")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def render_page(record: Record, store: ObjectStore) -> str:
    """Render a campaign's page; equal campaigns give equal pages."""
    settings = record.settings
    noise = measure_noise(record.baseline)
    kinds = kind_facts(record.trials, noise) if noise else ()
    reach = strip_reach(kinds)
    style, script = _asset("page.css"), _asset("page.js")
    template = _environment(noise).get_template("page.html.j2")
    return template.render(
        style=style,
        script=script,
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
        record=record,
        settings=settings,
        Fate=Fate,
        fate=fate,
        noise=noise,
        better="higher" if settings.sign > 0 else "lower",
        best=find_best(record, noise) if noise else None,
        counts=count_fates(record.trials),
        failures=count_failures(record.trials),
        isolation=isolation_levels(record),
        self_reported=any(badge(run) for run in all_runs(record)),
        runs=all_runs(record),
        chart=draw_chart(record.trials, record.baseline, noise, sign=settings.sign) if noise else None,
        lineage=build_lineage(record.trials),
        kinds=[(kind, strip_marks(kind, reach)) for kind in kinds],
        reach=reach,
        patch=_patch(record, store),
        early=stopping_facts(record),
        evaluation=evaluation(record),
        front=pareto_front(record, store),
        diffs=_diffs(record, store),
    )


def _diffs(record: Record, store: ObjectStore) -> dict[int, tuple[FileDiff, ...]]:
    """Compare every judged program with the one it was made from."""
    read = lru_cache(maxsize=32)(store.files)  # few programs are the parent of many trials

    def diff(commit: str) -> tuple[FileDiff, ...]:
        parent = store.parent(commit)
        return diff_files(read(parent), store.files(commit)) if parent else ()

    return {trial.number: diff(trial.commit) for trial in record.trials}


def _patch(record: Record, store: ObjectStore) -> tuple[FileDiff, ...]:
    """Compare the incumbent with the sources as the user wrote them."""
    if record.incumbent is None:
        return ()
    commit = record.incumbent.commit
    return diff_files(store.files(store.first(commit)), store.files(commit))


def _environment(noise: Noise | None) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    decimals = _decimals(noise)
    filters: Mapping[str, Callable[..., str]] = {
        "metric": lambda value: number_text(value, decimals),
        "gain": lambda value: number_text(value, decimals, signed=True),
        "number": number_text,
        "signed": lambda value, digits=1: number_text(value, digits, signed=True),
        "duration": duration_text,
        "px": lambda value: f"{value:.1f}",
        "uri": print_script,
        "key": lambda value: repr(value) if math.isfinite(value) else "",
    }
    environment.filters.update(filters)
    return environment


def _decimals(noise: Noise | None) -> int:
    """Show two digits of the noise, and no digit below them."""
    return max(0, 1 - math.floor(math.log10(noise.sd))) if noise else 4


def _asset(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _policy_hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
