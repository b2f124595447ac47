"""What `init` knows of a repository in the end: the fields of its manifest, why they are so, and what a person has to look at.

What cannot be decided is a Question with a default. Whoever calls says how it is answered: by the default, or by a person.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from sys import stdlib_module_names
from typing import TYPE_CHECKING

from harness.init.options import commands_of, options_of, settings_in, without
from harness.init.printed import metrics_in
from harness.init.shield import shielded
from harness.init.training import bounds_of, endings_of, interval_of, loops_of, readings_of, seeds_of
from targets.manifest import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.init.options import Option
    from harness.init.printed import Metric
    from harness.init.repository import Repository
    from harness.init.training import Place

SEED = "{seed}"
_MOST_SHOWN = 6  # choices of a question
_ACCELERATORS = frozenset({"accel", "cuda", "gpu", "mps"})  # switches
_WORKERS = frozenset({"num_workers", "workers"})
_MEASURES = ("prepare", "eval", "evaluate", "evaluation", "metrics", "scorer")  # files that measure, by their names


@dataclass(frozen=True, slots=True)
class Question:
    """What init cannot decide."""

    name: str
    text: str
    default: str
    choices: tuple[str, ...] = ()  # empty: any answer will do


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided, and whether a person should look at it."""

    question: Question
    given: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What the manifest will say."""

    script: str
    arguments: tuple[str, ...]
    metric: Metric
    mutable: tuple[str, ...]
    frozen: tuple[str, ...]
    data: tuple[str, ...]
    protected: tuple[tuple[str, str], ...]  # slot, why
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]  # what is to be done or known, one line each


class _Interview:
    """Asks, and keeps what was answered."""

    def __init__(self, ask: Callable[[Question], str]) -> None:
        self._ask = ask
        self.answers: list[Answer] = []

    def ask(self, name: str, text: str, default: str, choices: Sequence[str] = ()) -> str:
        question = Question(name, text, default, tuple(choices))
        given = self._ask(question)
        self.answers.append(Answer(question, given))
        return given


def survey(repository: Repository, ask: Callable[[Question], str], *, script: str = "", has_gpu: bool) -> Survey:
    """Find out what a manifest of the repository has to say.

    script: the one to run, where a person has named it.
    Raises: TargetError: no script trains, or none prints a number that could be a metric.
    """
    interview = _Interview(ask)
    script = script or _choose_script(repository, interview)
    paths = repository.files_of(script)
    metric = _choose_metric(repository, interview, script, paths)
    options = options_of(repository, script, paths)
    words = _choose_command(repository, interview, script, options, has_gpu=has_gpu)
    configs = [word for word in words if word.endswith(".py") and (repository.root / word).is_file()]
    loops = loops_of(repository, script)
    endings = endings_of(loops)
    settings = _Settings(options, words, repository, configs)
    _adapt(settings, has_gpu=has_gpu)
    _choose_length(repository, interview, settings, metric, endings)
    seeds = seeds_of(repository, paths)
    seeded = _seed(settings)
    readings = readings_of(repository, paths, settings.all())
    executed = [r.path for r in readings if r.path.endswith(".py") and (repository.root / r.path).is_file()]
    missing = [r for r in readings if not (repository.root / r.path).exists()]
    measuring = [path for path in paths if path != script and PurePosixPath(path).stem in _MEASURES]
    mutable = tuple(path for path in dict.fromkeys([*paths, *configs]) if path not in measuring)
    protected = shielded(repository, metric, endings, [*settings.overridden(), *settings.bounding(endings)])
    notes = [
        *(
            f"{r.where} reads {r.path}, which is not there; make it as the repository says, and add it to data"
            for r in missing
        ),
        *_bare(repository, readings),
        *(f"{name} is not installed; install what the sources import" for name in _uninstalled(repository, paths)),
        *([] if seeded else [_unseeded(seeds)]),
        *_coarse(metric),
    ]
    data = tuple(r.path for r in readings if r not in missing and r.path not in executed and r.path not in mutable)
    frozen = tuple(dict.fromkeys([*measuring, *(path for path in executed if path not in mutable)]))
    answers = tuple(interview.answers)
    return Survey(script, tuple(settings.words), metric, mutable, frozen, data, protected, answers, tuple(notes))


# --- choices


def _choose_script(repository: Repository, interview: _Interview) -> str:
    found = repository.scripts()
    if not found:
        raise TargetError(
            f"{repository.root}: no script was found that trains; name the one that does with --script, relative to the folder"
        )
    ranks = {
        path: max((m.rank for m in metrics_in(repository, repository.files_of(path))), default=0) for path in found
    }
    named = {path: PurePosixPath(path).stem in ("train", "main") for path in found}
    found.sort(key=lambda path: (-ranks[path], not named[path], path.count("/"), path))
    if len(found) == 1:
        return found[0]
    return interview.ask("train", "which script trains", found[0], found[:_MOST_SHOWN])


def _choose_metric(repository: Repository, interview: _Interview, script: str, paths: Sequence[str]) -> Metric:
    found = {f"{m.name} ({m.path}:{m.line})": m for m in reversed(metrics_in(repository, paths))}
    if not found:
        raise TargetError(
            f"{repository.root / script}: prints no loss, accuracy or other measure; print one, as in print(f'val_loss {{loss}}')"
        )
    names = list(reversed(found))
    likely = found[names[0]]
    if likely.is_held_out and sum(m.rank == likely.rank for m in found.values()) == 1:
        return likely
    return found[interview.ask("metric", "which printed number is the metric", names[0], names[:_MOST_SHOWN])]


def _choose_command(
    repository: Repository, interview: _Interview, script: str, options: Mapping[str, Option], *, has_gpu: bool
) -> list[str]:
    found = commands_of(repository, script)
    if not found:
        return []
    kept = [_plain_command(words, options, has_gpu=has_gpu) for words in found]
    written = list(dict.fromkeys(" ".join(words) or "nothing" for words in kept))
    on_cpu = next((text for text in written if "cpu" in text), written[0])
    text = on_cpu if not has_gpu else written[0]
    if len(written) > 1:
        text = interview.ask("arguments", "which of the commands in the README is a trial", text, written[:_MOST_SHOWN])
    return next(words for words in [*kept, []] if (" ".join(words) or "nothing") == text)


def _plain_command(words: Sequence[str], options: Mapping[str, Option], *, has_gpu: bool) -> list[str]:
    """Leave out the switches that ask for a GPU where there is none."""
    found = list(words)
    for name in _ACCELERATORS & options.keys() if not has_gpu else ():
        found = without(found, options[name])
    return found


class _Settings:
    """A command line under construction, and what it sets."""

    def __init__(
        self, options: Mapping[str, Option], words: Sequence[str], repository: Repository, configs: Sequence[str]
    ) -> None:
        self.options, self.words = options, list(words)
        self._configs = {
            statement.targets[0].id: (path, statement)
            for path in configs
            for statement in repository.trees[path].body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }

    def value(self, name: str) -> object:
        """Return what an option is set to, in words or as a value; its default when it is not."""
        given = settings_in(self.words, self.options).get(name)
        if given is not None:
            return given
        if name in self._configs:
            return _literal(self._configs[name][1].value)
        return self.options[name].default

    def number(self, name: str) -> float | None:
        """Return that as a number; None where it is none."""
        try:
            return float(str(self.value(name)))
        except ValueError:
            return None

    def set(self, name: str, value: str) -> None:
        """Set an option, in its place where it is on the command line."""
        option = self.options[name]
        self.words = [*without(self.words, option), *option.written(value)]

    def all(self) -> dict[str, object]:
        """Return what every option is set to, by the last part of its name."""
        return {name.rpartition(".")[2]: self.value(name) for name in self.options}

    def overridden(self) -> list[tuple[str, ast.stmt]]:
        """List the statements that say what the command line says otherwise: an edit there would do nothing."""
        set_ = {*settings_in(self.words, self.options), *(self._configs.keys() & self.options.keys())}
        both = [self._configs[name] for name in settings_in(self.words, self.options) if name in self._configs]
        return [*((self.options[name].path, self.options[name].statement) for name in sorted(set_)), *both]

    def bounding(self, endings: Sequence[Place]) -> list[tuple[str, ast.stmt]]:
        """List the statements that say how long the training goes on."""
        found = bounds_of(endings, self.options)
        configs = [self._configs[option.name] for option in found if option.name in self._configs]
        return [*((option.path, option.statement) for option in found), *configs]


def _adapt(settings: _Settings, *, has_gpu: bool) -> None:
    """Fit the command line to this machine: no GPU where there is none, and one thread, which workers would share."""
    for name, option in settings.options.items():
        last = name.rpartition(".")[2]
        if last in _WORKERS and (settings.number(name) or 0) > 0:
            settings.set(name, "0")
        elif last == "device" and not has_gpu and "cuda" in str(settings.value(name)):
            settings.set(name, "cpu")
        elif last == "compile" and not has_gpu and option.is_switch is False and settings.value(name) in (True, "True"):
            settings.set(name, "False")


def _choose_length(
    repository: Repository, interview: _Interview, settings: _Settings, metric: Metric, endings: Sequence[Place]
) -> None:
    """Ask how long a trial is, and let it end with a measurement."""
    bounds = bounds_of(endings, settings.options)
    if not bounds:
        return
    bound = bounds[0]
    ending = next(place for place in endings if bound in bounds_of([place], settings.options))
    interval = interval_of(repository, metric.call, metric.path, settings.options)
    every = (settings.number(interval.option.name) if interval.option else interval.steps) if interval else None
    known = settings.number(bound.name)
    # One more than the interval: whether a step is counted before or after it is measured, the last measurement is in.
    default = known if known is not None else (every or 100) + 1
    text = f"{bound.name}: how long does a trial train (ended by {ending.where}: {ending.text})"
    given = interview.ask(bound.name, text, f"{default:g}")
    if known is None or float(given) != known:
        settings.set(bound.name, given)
    if interval and interval.option and every and every > float(given):
        settings.set(interval.option.name, given)


def _seed(settings: _Settings) -> bool:
    """Hand the seed of a run to the option that takes one. Returns: whether there is one."""
    name = next((name for name in settings.options if name.rpartition(".")[2] in ("seed", "random_seed")), "")
    if name:
        settings.set(name, SEED)
    return bool(name)


# --- notes


def _unseeded(seeds: Sequence[Place]) -> str:
    if not seeds:
        return "no generator is seeded: trials differ by chance alone; seed with int(os.environ['CODEGRAFT_SEED'])"
    said = "so all runs are alike and no noise is known; add int(os.environ.get('CODEGRAFT_SEED', 0)) to it"
    return f"{seeds[0].where} fixes the seed ({seeds[0].text}), {said}"


def _bare(repository: Repository, readings: Sequence[object]) -> list[str]:
    """Say which folders of data hold nothing but sources."""
    found = []
    for path in (getattr(reading, "path", "") for reading in readings):
        folder = repository.root / path
        files = [file for file in folder.rglob("*") if file.is_file()] if folder.is_dir() else []
        if folder.is_dir() and all(file.suffix in (".py", ".md") for file in files):
            script = next((file for file in files if file.suffix == ".py"), None)
            how = (
                f"run python {script.relative_to(repository.root)} first"
                if script
                else "fill it as the repository says"
            )
            found.append(f"{path} holds no data; {how}")
    return found


def _coarse(metric: Metric) -> list[str]:
    if metric.decimals is None or metric.decimals > 3:
        return []
    said = f"{metric.path}:{metric.line} prints {metric.name} with {metric.decimals} decimals"
    return [f"{said}: smaller differences are not seen; print more"]


def _uninstalled(repository: Repository, paths: Sequence[str]) -> list[str]:
    """List what the files import, whatever happens, and nothing here provides. Nothing is imported for that."""
    own = {PurePosixPath(path).parts[0].removesuffix(".py") for path in repository.trees}
    own |= {PurePosixPath(path).stem for path in paths}
    found = set()
    for path in paths:
        for statement in repository.trees[path].body:
            if isinstance(statement, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module and statement.level == 0:
                found.add(statement.module.partition(".")[0])
    return sorted(name for name in found - own - stdlib_module_names if find_spec(name) is None)


def _literal(value: ast.expr) -> object:
    try:
        return ast.literal_eval(value)
    except ValueError:
        return None


def has_gpu() -> bool:
    """Whether this machine has a GPU of NVIDIA."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
