"""The report in a real browser: what it says, that it works by mouse and keyboard, and that nothing of a campaign runs in it."""

from __future__ import annotations

import html
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from harness.ledger import read_record
from harness.objects import ObjectStore
from harness.pareto import pareto_front
from harness.report import write_report
from harness.values import TrialError
from harness.verdict import noise_of
from mutator.edit import Edit
from tests.campaigns import FAILURES, ISOLATION, Fabrication, ran, write_rich

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Visit:
    """A page with everything that it asked for and complained about."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri())

    def trials(self) -> list[int]:
        """Read the numbers of the shown trials, top down."""
        return [int(text) for text in self.page.locator("tbody.trial:not([hidden]) .unfold").all_inner_texts()]

    def column(self, index: int) -> list[str]:
        """Read a column of the shown trials, top down."""
        return self.page.locator(f"tbody.trial:not([hidden]) .row td:nth-child({index})").all_inner_texts()

    @property
    def executed(self) -> bool:
        """Whether a hostile string ran."""
        return bool(self.page.evaluate("window.executed === 1"))


Open = Callable[[Path], _Visit]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", *quiet])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    with ExitStack() as pages:

        def open_page(path: Path) -> _Visit:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            pages.callback(page.close)
            return _Visit(page, path)

        yield open_page


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich")
    write_rich(folder, n_trials=40)
    return write_report(folder)


def test_campaign_without_a_baseline_says_that_there_is_no_answer_yet(tmp_path: Path, visit: Open) -> None:
    Fabrication(tmp_path).ledger.close()
    page = visit(write_report(tmp_path)).page
    expect(page.locator(".lead")).to_have_text(
        "No answer yet: 0 of 5 baseline runs gave a val_bpb, and the noise needs two."
    )
    expect(page.locator("section")).to_have_count(0)


def test_failed_baseline_shows_why_it_failed(tmp_path: Path, visit: Open) -> None:
    campaign = Fabrication(tmp_path)
    campaign.ledger.add_baseline(0, FAILURES[0])
    campaign.finish("the baseline failed")
    page = visit(write_report(tmp_path)).page
    expect(page.locator(".lead")).to_contain_text("No answer: 0 of 5 baseline runs")
    expect(page.locator("#baseline")).to_contain_text("RuntimeError in layers.py:11")
    expect(page.locator("#baseline .log")).to_contain_text("mat1 and mat2 shapes cannot be multiplied")


def test_baseline_alone_is_reported_with_its_noise_and_no_trial(tmp_path: Path, visit: Open) -> None:
    Fabrication(tmp_path, metrics=(2.30, 2.32, 2.31, 2.33, 2.29)).ledger.close()
    shown = visit(write_report(tmp_path))
    expect(shown.page.locator(".lead")).to_have_text("The baseline is measured; no trial has been judged yet.")
    expect(shown.page.locator(".state")).to_have_text("Unfinished: 0 of 40 trials judged.")
    expect(shown.page.locator(".figures")).to_contain_text("2.310 ± 0.016")
    expect(shown.page.locator(".chart .replicate")).to_have_count(5)
    expect(shown.page.locator("#trials")).to_have_count(0)
    assert shown.complaints == []


def test_running_campaign_is_reported_while_its_writer_works(tmp_path: Path, visit: Open) -> None:
    campaign = Fabrication(tmp_path, metrics=(2.30, 2.32, 2.31))
    worse = campaign.propose(Edit("swap-activation", "layers:MLP.forward/call.F.gelu"), {"layers.py": b"worse\n"})
    campaign.judge(worse, [ran(2.5, seed=0)])
    campaign.propose(Edit("swap-activation", "layers:MLP.forward/call.F.gelu"), {"layers.py": b"running\n"})
    page = visit(write_report(tmp_path)).page
    campaign.ledger.close()
    expect(page.locator(".lead")).to_have_text("The one trial did not prove better than the baseline.")
    expect(page.locator(".state")).to_have_text("Unfinished: 1 of 40 trials judged, 1 in flight.")
    expect(page.locator("#patch")).to_have_count(0)


def test_programs_that_trade_one_thing_for_another_are_shown_with_links(rich: Path, visit: Open) -> None:
    shown = visit(rich)
    front = pareto_front(read_record(rich.parent), ObjectStore(rich.parent))
    names = [f"trial {each.number}" if each.trial else "baseline" for each in front]
    assert len(names) > 1
    assert shown.page.locator("#front tbody th").all_inner_texts() == names
    shown.page.locator("#front a").first.click()
    assert shown.page.url.endswith(f"#trial-{next(each.number for each in front if each.trial)}")
    assert shown.complaints == []


def test_one_program_that_beats_all_others_is_no_choice(tmp_path: Path, visit: Open) -> None:
    campaign = Fabrication(tmp_path, metrics=(2.30, 2.32, 2.31))
    worse = campaign.propose(Edit("swap-activation", "layers:MLP.forward/call.F.gelu"), {"note.txt": b"worse"})
    campaign.judge(worse, [ran(2.5, seed=0)])
    campaign.finish("enough")
    page = visit(write_report(tmp_path)).page
    expect(page.locator("#trials")).to_have_count(1)
    expect(page.locator("#front")).to_have_count(0)


def test_folder_without_a_campaign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match="name the folder of a campaign"):
        write_report(tmp_path)


def test_equal_campaigns_give_equal_reports(rich: Path) -> None:
    first = rich.read_bytes()
    assert write_report(rich.parent).read_bytes() == first
    assert not rich.with_name("report.html.part").exists()


def test_head_says_what_the_ledger_says(rich: Path, visit: Open) -> None:
    record = read_record(rich.parent)
    page = visit(rich).page
    assert record.incumbent is not None
    best = fmean(outcome.metric for outcome in record.incumbent.outcomes[1:])
    base = fmean(record.baseline[outcome.seed].metric for outcome in record.incumbent.outcomes[1:])
    noise = noise_of(record.baseline)
    lead = page.locator(".lead").inner_text()
    assert lead.startswith(f"val_bpb fell from {base:.4f} to {best:.4f}: {100 * (base - best) / base:.1f} % better")
    assert f"{(base - best) / noise.sd:.1f} times the noise" in lead
    expect(page.locator(".state")).to_contain_text("Stopped: all 40 trials are done.")
    for expected in (
        "ppo, seed 7, 2 trials under way at most",
        ISOLATION,
        "val_bpb, lower is better",
        "/home/ada/targets/bytelm",
    ):
        expect(page.locator(".facts")).to_contain_text(expected)
    for status, n in Counter(trial.status for trial in record.trials if not trial.ok).items():
        expect(page.locator(".facts")).to_contain_text(f"{n} {status.replace('_', ' ')}")


def test_every_trial_has_one_mark_on_the_chart_and_one_in_the_lineage(rich: Path, visit: Open) -> None:
    trials = read_record(rich.parent).trials
    page = visit(rich).page
    n_kept, n_failed = sum(trial.kept for trial in trials), sum(not trial.ok for trial in trials)
    assert n_kept > 3
    expect(page.locator(".chart .dot.kept")).to_have_count(n_kept)
    expect(page.locator(".chart path.failed")).to_have_count(n_failed)
    expect(page.locator(".chart .dot")).to_have_count(len(trials) - n_failed)
    expect(page.locator(".line .program")).to_have_count(1 + n_kept)
    expect(page.locator(".line .attempts a")).to_have_count(len(trials) - n_kept)
    expect(page.locator("figcaption")).to_contain_text("1 trial lies above the chart, up to 129.4.")


def test_page_asks_for_nothing_but_itself(rich: Path, visit: Open) -> None:
    shown = visit(rich)
    shown.page.wait_for_load_state("networkidle")
    assert shown.requests == [rich.as_uri()]
    assert shown.complaints == []


def test_hostile_strings_stay_text(rich: Path, visit: Open) -> None:
    shown = visit(rich)
    shown.page.evaluate("for (const trial of trials) unfold(trial, true)")
    shown.page.locator(".line a[href='#trial-23']").hover()
    expect(shown.page.locator("#tip")).to_contain_text("<img src=x")
    expect(shown.page.locator("#trial-23 .log")).to_contain_text(
        "{{ 7*7 }}〈".replace("〈", "⟨") + "U+001B⟩[31m⟨U+202E⟩⟨U+DCFF⟩"
    )
    expect(shown.page.locator("img, body script + script, #trial-23 script")).to_have_count(0)
    assert not shown.executed
    assert shown.complaints == []


def test_hostile_strings_would_run_without_the_guards(rich: Path, tmp_path: Path, visit: Open) -> None:
    unescaped = html.unescape(rich.read_text(encoding="utf-8"))
    policy_alone, unguarded = tmp_path / "policy.html", tmp_path / "unguarded.html"
    policy_alone.write_text(unescaped, encoding="utf-8")
    unguarded.write_text(unescaped.replace("Content-Security-Policy", "None"), encoding="utf-8")
    assert visit(unguarded).executed
    shown = visit(policy_alone)
    assert not shown.executed
    assert any("Content Security Policy" in complaint for complaint in shown.complaints)


def test_click_on_a_heading_sorts_and_trials_without_a_metric_stay_last(rich: Path, visit: Open) -> None:
    shown = visit(rich)
    heading = shown.page.locator("#trial-table > thead th", has_text="val_bpb")
    for direction, descending in (("ascending", False), ("descending", True)):
        heading.locator("button").click()
        expect(heading).to_have_attribute("aria-sort", direction)
        metrics = [text for text in shown.column(4) if text != "\N{EN DASH}"]
        assert [float(text) for text in metrics] == sorted(map(float, metrics), reverse=descending)
        assert shown.column(4)[: len(metrics)] == metrics
    shown.page.locator("#trial-table > thead th button", has_text="Trial").click()
    assert shown.trials() == list(range(1, 41))


def test_filters_show_the_trials_of_one_decision_and_kind(rich: Path, visit: Open) -> None:
    trials = read_record(rich.parent).trials
    shown = visit(rich)
    shown.page.locator("#by-fate").select_option("kept")
    assert shown.trials() == [trial.number for trial in trials if trial.kept]
    shown.page.locator("#by-kind").select_option("scale-literal")
    expected = [trial.number for trial in trials if trial.kept and trial.script[0].kind == "scale-literal"]
    assert shown.trials() == expected
    expect(shown.page.locator("#shown")).to_have_text(f"{len(expected)} of 40 trials")


def test_row_opens_by_keyboard_and_shows_diff_runs_reward_and_log(rich: Path, visit: Open) -> None:
    trial = read_record(rich.parent).kept[0]
    page = visit(rich).page
    page.locator(f"#trial-{trial.number} .unfold").focus()
    page.keyboard.press("Enter")
    detail = page.locator(f"#detail-{trial.number}")
    expect(detail).to_be_visible()
    expect(detail.locator(".diff .add")).to_have_count(1)
    expect(detail.locator(".diff .del")).to_have_count(1)
    expect(detail.locator(".runs tbody tr")).to_have_count(len(trial.outcomes))
    expect(detail.locator(".runs tbody")).to_contain_text(ISOLATION)
    expect(detail.locator(".terms")).to_contain_text("novelty +0.12, complexity \N{MINUS SIGN}0.03")
    expect(detail.locator(".log").first).to_contain_text("saved model.safetensors")
    page.keyboard.press("Enter")
    expect(detail).to_be_hidden()


def test_mark_on_the_chart_opens_its_trial_even_where_a_filter_hid_it(rich: Path, visit: Open) -> None:
    number = next(trial.number for trial in read_record(rich.parent).trials if not trial.ok)
    page = visit(rich).page
    page.locator("#by-fate").select_option("kept")
    for _ in range(2):  # the second click changes no hash
        page.locator(f".chart a[href='#trial-{number}']").click()
        expect(page.locator(f"#detail-{number}")).to_be_visible()
        page.locator(f"#trial-{number} .unfold").click()


def test_patch_leads_from_the_baseline_to_the_incumbent(rich: Path, visit: Open) -> None:
    record, store = read_record(rich.parent), ObjectStore(rich.parent)
    assert record.incumbent is not None
    shown = visit(rich).page.locator("#patch .diff").all_text_contents()
    added = {
        line[1:] for text in shown for line in text.split("\n") if line.startswith("+") and not line.startswith("+++")
    }
    sources = {line for data in store.files(record.incumbent.commit).values() for line in data.decode().split("\n")}
    assert added
    assert added <= sources


def test_narrow_page_scrolls_its_chart_and_table_but_not_itself(rich: Path, visit: Open) -> None:
    page = visit(rich).page
    page.set_viewport_size({"width": 380, "height": 800})
    page.evaluate("for (const trial of trials) unfold(trial, true)")
    assert page.evaluate("document.documentElement.scrollWidth") == 380


def test_page_follows_the_readers_colour_scheme_and_prints_on_white(rich: Path, visit: Open) -> None:
    page = visit(rich).page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) != light
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    expect(page.locator(".controls")).to_be_hidden()
