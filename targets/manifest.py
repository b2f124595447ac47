"""Target: what a `codegraft.toml` says, checked once, so that a loaded target is a valid one.

The manifest names the files that edits may change (mutable) and those that measure (frozen), how to prepare, train and
score, and what a run may use up. The description of a field is its documentation and the end of its error message: what
is wrong with a manifest is one line that names the file, the field, the value and what to write. Nothing of a target is
imported here; its frozen files are only read, for the functions that the manifest names.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
import tomllib
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from targets.wishes import DEFAULT_WEIGHTS, Search, Weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

MANIFEST = "codegraft.toml"


class TargetError(Exception):
    """A manifest that is missing, does not parse, or says something that is not so."""


class Unit(StrEnum):
    """What a budget counts."""

    STEPS = "steps"
    TOKENS = "tokens"
    CPU_S = "cpu_s"
    WALL_S = "wall_s"


class Direction(StrEnum):
    """Which of two metrics is the better one."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"

    @property
    def sign(self) -> float:
        """What makes a gain of a difference of metrics: sign * (new - old) is positive when new is better."""
        return 1.0 if self is Direction.MAXIMIZE else -1.0


class Probe(StrEnum):
    """What is checked of a predictor on top of finite and deterministic outputs."""

    CAUSAL = "causal"  # language models: the outputs at a position stay when later inputs change
    BATCH = "batch"  # the outputs for a row stay when the other rows change
    NORMALISED = "normalised"  # log-probabilities: those over the last axis sum to 1


class Tier(StrEnum):
    """How far from edited code the metric is computed."""

    SCORED = "scored"  # edited code turns inputs into outputs in a sandbox; the metric is computed from the outputs elsewhere
    EXPORTED = (
        "exported"  # no Python of the trial: a graph that torch.export saved is run in a sandbox, and scored likewise
    )
    SELF_REPORTED = "self-reported"  # the training prints it


class EntryPoint(NamedTuple):
    """A function of a frozen file. Prints as it is written: `file.py:function`."""

    file: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


def _parse_entry_point(text: object) -> EntryPoint:
    file, _, function = str(text).partition(":")
    if not (file.endswith(".py") and function.isidentifier()):
        raise ValueError
    return EntryPoint(file, function)


_Text = Annotated[str, Field(min_length=1)]
_Name = Annotated[str, Field(pattern=r"^\w[\w.-]*$")]
_Checkpoint = Annotated[str, Field(pattern=r"^\w[\w.-]*\.(safetensors|npy|pt2)$")]
_Files = Annotated[tuple[_Text, ...], Field(min_length=1)]
_Entry = Annotated[EntryPoint, BeforeValidator(_parse_entry_point)]
_Amount = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Bound = Annotated[float, Field(strict=True, allow_inf_nan=True)]
_Count = Annotated[int, Field(strict=True, gt=0)]
_Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Spread = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Table):
    """How much work a run is granted. The supervisor counts it, never the target."""

    unit: Unit = Field(description=f"one of {', '.join(Unit)}")
    amount: _Amount = Field(description="a number above 0")


class Limits(_Table):
    """Where a run is stopped; past them it has no metric. Write a generous multiple of what the baseline needs, but for CPU time.

    A budget of steps or tokens counts questions. What a training does between two of them is bounded by cpu_s alone: three times what the
    baseline uses leaves room for three times its work.
    """

    wall_s: _Amount = Field(default=120.0, description="seconds, a number above 0")
    cpu_s: _Amount = Field(default=120.0, description="seconds, a number above 0")
    memory_mb: _Count = Field(default=4096, description="megabytes, a whole number above 0")
    output_kb: _Count = Field(default=1024, description="kilobytes, a whole number above 0")
    threads: _Count = Field(default=1, description="a whole number above 0")


class Measured(_Table):
    """What was found out about a target, for people: `codegraft check` prints it beside what it measures, and no run depends on it."""

    baseline: _Finite = Field(description="the mean metric of the unedited target, a number")
    sd: _Spread = Field(description="the standard deviation of that metric between seeds, a number of at least 0")
    seeds: _Count = Field(description="how many seeds the two are from, a whole number above 0")
    wall_s: _Amount = Field(description="seconds that a run of the unedited target takes, a number above 0")
    cpu_s: _Amount = Field(description="seconds of CPU time that it takes, a number above 0")
    numbers: _Finite | None = Field(
        default=None, description="the best mean metric that other numbers alone reach, or nothing"
    )
    best: _Finite | None = Field(default=None, description="the best mean metric that is known, or nothing")
    script: tuple[_Text, ...] = Field(
        default=(),
        description='the edits that lead to it, as in ["swap-norm@model:Block.__init__/call.LayerNorm?to=RMSNorm"], or nothing',
    )

    @property
    def headroom(self) -> float:
        """How far the best that is known is from the baseline; NaN where none is."""
        return math.nan if self.best is None else abs(self.best - self.baseline)

    @property
    def numbers_share(self) -> float:
        """How much of the headroom numbers alone gain; NaN where that is not known."""
        return (
            math.nan if self.numbers is None or not self.headroom else abs(self.numbers - self.baseline) / self.headroom
        )


class Manifest(_Table):
    """The fields of a `codegraft.toml`."""

    name: _Name = Field(description='one word, as in "bytelm"')
    root: _Text = Field(default=".", description='the folder of the sources, relative to the manifest, as in "."')
    mutable: _Files = Field(description='the Python files that edits may change, as in ["train.py", "model.py"]')
    frozen: tuple[_Text, ...] = Field(
        default=(),
        description='the files that no edit may change, as in ["prepare.py", "scorer.py"]; name what prepare reads as well: '
        "the prepared data are kept for as long as these files stay what they are",
    )
    protected: tuple[_Text, ...] = Field(default=(), description='slots to spare, as in ["train:train/call.save_file"]')
    tier: Tier = Field(
        default=Tier.SCORED,
        description=f"one of {', '.join(Tier)}, or nothing for scored: edited code turns inputs into outputs in a sandbox, and the "
        "scorer computes the metric from the outputs. exported does the same with a graph that training wrote with torch.export.save, for "
        "batches of any size, so that no Python of the trial takes part; torch, which reads and runs the graph in the sandbox, is still "
        "trusted. self-reported believes what the training prints, which an edit can forge: "
        "runs must allow it, and its metrics are marked as such everywhere",
    )
    prepare: _Entry | None = Field(
        default=None,
        description='a function of a frozen file, as in "prepare.py:prepare": prepare(folder) writes folder/train and folder/heldout, '
        "and where there are enough data folder/second, for what stands before a keep, and folder/final, for a report",
    )
    train: _Text = Field(description='the script to run, one of the mutable files, as in "train.py"')
    arguments: tuple[_Text, ...] = Field(
        default=(),
        description='what the script finds on its command line, as in ["--epochs=1", "--seed={seed}"], or nothing; {seed}, {data}, {out} '
        "are the seed of the run, the folder with its training data and the one for its checkpoint",
    )
    data: tuple[_Text, ...] = Field(
        default=(),
        description='for tier self-reported: files and folders that the training reads, relative to root, as in ["data/corpus"], or '
        '["../data"] where it looks there; copied once, and found by every run in their places, read-only',
    )
    predictor: _Entry | None = Field(
        default=None,
        description='a function of a frozen file, as in "predict.py:load": load(checkpoint) returns a function of one array of inputs '
        "to one array of outputs, a row for each row",
    )
    scorer: _Entry | None = Field(
        default=None,
        description='a function of a frozen file, as in "scorer.py:score": score(predict, heldout) reads the folder heldout, or second '
        "or final, and returns numbers by name",
    )
    checkpoint: _Checkpoint | None = Field(
        default=None,
        description='the name of the file that training writes, as in "model.safetensors"; an .npy of numbers will do as well, and '
        "nothing else is read: other formats may hold code",
    )
    metric: _Text = Field(description='the name of a number that the scorer returns, as in "val_bpb"')
    direction: Direction = Field(description=f"one of {', '.join(Direction)}")
    plausible: tuple[_Bound, _Bound] = Field(
        default=(-math.inf, math.inf),
        description="the lowest and the highest metric that can be true, as in [0.0, inf]: beyond them a run has no metric",
    )
    pattern: _Text | None = Field(
        default=None,
        description="for tier self-reported: a regular expression with one group, the metric, as in '^val_bpb: (.+)$'; "
        "the last match in what the training prints counts",
    )
    probes: tuple[Probe, ...] = Field(
        default=(),
        description=f"a list out of {', '.join(Probe)}, or nothing: causal for language models, batch where each row is for itself, "
        "normalised where the predictor gives log-probabilities; that outputs are finite and repeat is always checked",
    )
    budget: Budget = Field(description='a table [budget], as in unit = "steps" and amount = 600')
    limits: Limits = Field(default=Limits(), description="a table [limits], or nothing")
    measured: Measured | None = Field(default=None, description="a table [measured], or nothing")
    search: Search = Field(default=Search(), description="a table [search], or nothing")
    reward: Weights = Field(default=DEFAULT_WEIGHTS, description="a table [reward], or nothing")


_NEEDED = {
    Tier.SCORED: ("prepare", "predictor", "scorer", "checkpoint"),
    Tier.EXPORTED: ("prepare", "scorer", "checkpoint"),
    Tier.SELF_REPORTED: (),
}
_OPTIONAL = {Tier.SCORED: ("probes",), Tier.EXPORTED: ("probes",), Tier.SELF_REPORTED: ("prepare", "pattern", "data")}
_OF_TIERS = frozenset({"prepare", "predictor", "scorer", "checkpoint", "probes", "pattern", "data"})
_TABLES: dict[str, type[BaseModel]] = {
    "budget": Budget,
    "limits": Limits,
    "measured": Measured,
    "search": Search,
    "reward": Weights,
}
_WISHES = ("search", "reward")  # tables that change nothing where they say nothing, a digest neither
_OWN_PLACES = frozenset({"work", "out", "tmp"})  # what a run has beside its working folder


class Target(Manifest):
    """A repository under search, and where it is."""

    folder: Path  # absolute; holds the manifest

    @property
    def root_dir(self) -> Path:
        """The folder that mutable and frozen paths are relative to."""
        return (self.folder / self.root).resolve()

    @property
    def digest(self) -> str:
        """Return a digest of what the manifest says of runs and of the search, wherever it stands."""
        unsaid = {name for name in _WISHES if getattr(self, name) == Manifest.model_fields[name].default}
        said = self.model_dump_json(exclude={"folder", "measured", *unsaid})
        return blake2b(said.encode(), digest_size=16).hexdigest()

    @property
    def sign(self) -> float:
        """What makes a gain of a difference of metrics."""
        return self.direction.sign

    @property
    def bound(self) -> float:
        """The best metric that can be true."""
        return self.plausible[self.direction is Direction.MAXIMIZE]


def load_target(path: Path) -> Target:
    """Read and check a manifest, named by itself or by its folder.

    Raises: TargetError: one line, `path/codegraft.toml: field is value; what to write`.
    """
    file = path / MANIFEST if path.is_dir() else path
    try:
        manifest = Manifest.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise TargetError(f"{file}: does not exist; name a {MANIFEST} or a folder that holds one") from error
    except OSError as error:
        raise TargetError(f"{file}: cannot be read ({error.strerror}); make it a readable file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TargetError(f"{file}: is no TOML: {_one_line(error)}; correct it there") from error
    except ValidationError as error:
        raise TargetError(f"{file}: {_explain(error)}") from error
    target = Target(folder=file.parent.resolve(), **dict(manifest))
    if fault := next(_faults(target), None):
        raise TargetError(f"{file}: {fault}")
    return target


def _faults(target: Target) -> Iterator[str]:
    """Say what does not fit the files or the other fields, the most basic first; only the first one is sound."""
    if PurePosixPath(target.root).is_absolute() or not target.root_dir.is_dir():
        yield f"root is {target.root!r}, which is no folder below or beside the manifest; write a relative path to one"
    yield from _path_faults("mutable", target.mutable, target.root_dir)
    yield from _path_faults("frozen", target.frozen, target.root_dir)
    for path in target.mutable:
        if path in target.frozen:
            yield f"frozen names {path!r}, which mutable names too; leave it in one of them"
        if not path.endswith(".py"):
            yield f"mutable names {path!r}, which is no Python file; leave it out, or name it in frozen"
    if target.train not in target.mutable:
        yield f"train is {target.train!r}, which mutable does not name; write one of {', '.join(target.mutable)}"
    yield from _tier_faults(target)
    yield from _data_faults(target)
    for field, entry in (("prepare", target.prepare), ("predictor", target.predictor), ("scorer", target.scorer)):
        if entry is not None:
            yield from _entry_faults(field, entry, target)
    if not target.plausible[0] < target.plausible[1]:
        yield f"plausible is {list(target.plausible)}; write the lower number first"
    yield from _measured_faults(target)
    yield from target.search.faults((*target.mutable, *target.frozen))
    yield from target.reward.faults()


def _tier_faults(target: Target) -> Iterator[str]:
    """Say which fields a tier needs and are not there, and which are there and mean nothing to it."""
    needed = _NEEDED[target.tier]
    for field in needed:
        if getattr(target, field) is None:
            yield f"{field} is missing; write {Manifest.model_fields[field].description}"
    for field in _OF_TIERS - {*needed, *_OPTIONAL[target.tier]}:
        if getattr(target, field):
            yield f"{field} means nothing to tier {target.tier}; leave it out, or write another tier"
    if target.checkpoint and target.checkpoint.endswith(".pt2") != (target.tier is Tier.EXPORTED):
        yield f"checkpoint is {target.checkpoint!r} under tier {target.tier}; .pt2 and exported go together"
    if target.pattern is not None:
        try:
            n_groups = re.compile(target.pattern).groups
        except re.error as error:
            yield f"pattern is {target.pattern!r}, which is no regular expression ({error}); correct it"
            return
        if n_groups != 1:
            yield f"pattern is {target.pattern!r}, with {n_groups} groups; write one, around the number"


def _data_faults(target: Target) -> Iterator[str]:
    if target.data and target.prepare is not None:
        yield "data and prepare both say what the training reads; write one of them"
    for path in target.data:
        parts = PurePosixPath(path).parts
        inner = parts[1:] if parts[:1] == ("..",) else parts
        if PurePosixPath(path).is_absolute() or not inner or ".." in inner or PurePosixPath(path).as_posix() != path:
            yield f"data names {path!r}; write it relative to root, as in 'data/corpus' or '../data'"
        if len(inner) < len(parts) and inner[0] in _OWN_PLACES:
            yield f"data names {path!r}, where a run has a folder of its own; move the data"
        if not (target.root_dir / path).exists():
            yield f"data names {path!r}, which is not in {target.root_dir}; make it, as the repository says, or leave it out"
        if path in target.mutable or path in target.frozen:
            yield f"data names {path!r}, which is one of the sources; leave it in one of them"


def _measured_faults(target: Target) -> Iterator[str]:
    known = target.measured
    if known is not None and known.best is not None and target.sign * (known.best - known.baseline) < 0:
        yield f"measured.best is {known.best}, worse than its baseline of {known.baseline}; leave it out, or correct the direction"
    if known is not None and known.script and known.best is None:
        yield "measured.script has no measured.best that it leads to; write both"


def _path_faults(field: str, paths: tuple[str, ...], root: Path) -> Iterator[str]:
    for path in paths:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or pure.as_posix() != path:
            yield f"{field} names {path!r}; write it relative to root and plain, as in 'layers/norm.py'"
        if not (root / path).is_file():
            yield f"{field} names {path!r}, which is no file in {root}; create it or leave it out"
        if not (root / path).resolve().is_relative_to(root):
            yield f"{field} names {path!r}, a link that leaves {root}; put the file itself there"
        if paths.count(path) > 1:
            yield f"{field} names {path!r} twice; leave one out"


def _entry_faults(field: str, entry: EntryPoint, target: Target) -> Iterator[str]:
    said = f"{field} is '{entry}'"
    if entry.file not in target.frozen:
        yield f"{said}, but frozen does not name {entry.file!r}; add it there, or an edit could change what measures"
    try:
        tree = ast.parse((target.root_dir / entry.file).read_bytes())
    except (SyntaxError, ValueError) as error:
        yield f"{said}, but {entry.file} is no Python: {_one_line(error)}; correct it there"
        return
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if entry.function not in functions:
        ways = f"write one of {', '.join(functions)}" if functions else "define it there"
        yield f"{said}, but {entry.file} has no function {entry.function!r}; {ways}"


def _explain(error: ValidationError) -> str:
    """Say one thing that is wrong. An unknown key goes before a missing one, which it mostly is, misspelt."""
    found, *_ = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
    return _explain_key(found) if found["type"] == "extra_forbidden" else _explain_value(found)


def _explain_key(found: ErrorDetails) -> str:
    *tables, key = map(str, found["loc"])
    keys = _model(tables).model_fields
    said = f"{'.'.join([*tables, key])} is no key of a manifest"
    if tables and key in Manifest.model_fields:  # TOML gives each line below a [table] line to that table
        return f"{said}; move the line above [{tables[0]}]"
    near = difflib.get_close_matches(key, keys, n=1)
    return f"{said}; did you mean {near[0]}?" if near else f"{said}; write one of {', '.join(keys)}"


def _explain_value(found: ErrorDetails) -> str:
    *tables, key = (part for part in found["loc"] if isinstance(part, str))
    said = "is missing" if found["type"] == "missing" else f"is {_one_line(repr(found['input']))}"
    fields = _model(tables).model_fields
    field = fields[key if key in fields else tables[-1]]  # the keys of search.prefer are a person's own
    return f"{'.'.join([*tables, key])} {said}; write {field.description}"


def _model(tables: list[str]) -> type[BaseModel]:
    return _TABLES[tables[0]] if tables else Manifest


def _one_line(said: object, limit: int = 200) -> str:
    line = " ".join(str(said).split())
    return line if len(line) <= limit else f"{line[:limit]}..."
