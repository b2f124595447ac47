"""Isolation in layers: what each protects, which of them this machine gives, by trying, and what a user may ask for.

A layer that does not work is left out, and the label of every run names those that were in force, as in
`posix+landlock7+seccomp+bwrap`. Whoever wants no less than that requires it, and nothing starts on a machine that gives less.
`auto` takes all that work but two: containers, which need an image, and control groups that could set no limit, since to be moved
into one costs a run 10 ms and the tree is ended without as well.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from harness import bubblewrap, cgroup, container
from harness.launcher import Surroundings
from harness.orders import SANDBOX_LAYERS
from harness.processes import NAMESPACES
from harness.sandbox import landlock_abi
from harness.seccomp import offers_filters
from harness.trial import PACKAGE_ROOT
from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.launcher import Enclosure

AUTO, STRICT = "auto", "strict"
IN_IMAGE = "container:"  # and the image behind it
_SCOPES_SINCE = 6  # version of Landlock: signals and abstract sockets; TCP since 4


class Layer(StrEnum):
    """A layer, by its name in the label of a run."""

    POSIX = "posix"
    LANDLOCK = "landlock"
    SECCOMP = "seccomp"
    BUBBLEWRAP = "bwrap"
    CGROUP = "cgroup"
    CONTAINER = "container"


_INSIDE = frozenset({Layer.POSIX, Layer.LANDLOCK, Layer.SECCOMP})
LEVELS = {
    "posix": frozenset({Layer.POSIX}),
    "landlock": _INSIDE,
    "bubblewrap": _INSIDE | {Layer.BUBBLEWRAP},
    "cgroup": _INSIDE | {Layer.BUBBLEWRAP, Layer.CGROUP},
}
REQUIREMENTS = (*LEVELS, "container", STRICT)

# --- what this machine gives


@dataclass(frozen=True, slots=True)
class Offer:
    """A layer, and whether it works here."""

    level: str  # L0 to L4
    layer: Layer
    is_there: bool
    detail: str  # what there is of it, or why it is not there
    protects: str


def offers() -> tuple[Offer, ...]:
    """Try every layer once. About 0.2 s."""
    inside = _try_inside()
    no_bubblewrap = bubblewrap.why_not()
    no_group, group = cgroup.why_not()
    no_engine, engine = container.why_no_engine()
    abi = landlock_abi()
    capable = "no capabilities" if inside.endswith(" 0") else "capabilities stay"
    landlock = f"version {abi}" + ("" if abi >= _SCOPES_SINCE else f", signals and sockets from {_SCOPES_SINCE} on")
    found: list[tuple[str, Layer, str, str, str]] = [
        ("L0", Layer.POSIX, "", "session, environment, limits of its own", "ends the whole tree; nothing of the user's environment"),
        ("L1", Layer.LANDLOCK, "" if "landlock" in inside else "the kernel has none", landlock,
         "held-out data, other runs, all files of the user; signals to others"),
        ("L1", Layer.SECCOMP, "" if "seccomp" in inside else "not on this architecture, or refused", capable,
         "the network; other processes; what would undo isolation"),
        ("L2", Layer.BUBBLEWRAP, no_bubblewrap, f"namespaces: {', '.join(NAMESPACES)}",
         "once more, by namespaces: all files read-only, nobody else's processes, no network"),
        ("L3", Layer.CGROUP, no_group, group, "memory and processes, counted by the kernel; ends the tree at one write"),
        ("L4", Layer.CONTAINER, no_engine, engine, "a file system of its own"),
    ]  # fmt: skip
    return tuple(
        Offer(level, layer, not why_not, why_not or detail, protects)
        for level, layer, why_not, detail, protects in found
    )


def label_of(found: tuple[Offer, ...]) -> str:
    """Write the label of a run that has all layers that are there."""
    return "+".join(
        f"{each.layer}{landlock_abi()}" if each.layer is Layer.LANDLOCK else each.layer
        for each in found
        if each.is_there
    )


def _try_inside() -> str:
    """Confine a process that grants itself nothing. Returns: its label and its capabilities, as in "landlock7+seccomp 0"."""
    script = (
        f"import sys; sys.path.insert(0, {PACKAGE_ROOT!r})\n"
        "from harness.orders import Access\nfrom harness.sandbox import confine\n"
        "label = confine(Access((), ()))\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(label, int(status['CapEff'], 16))"
    )
    tried = subprocess.run([sys.executable, "-P", "-s", "-c", script], capture_output=True, text=True, check=False)
    return tried.stdout.strip()


# --- what is asked for


@dataclass(frozen=True, slots=True)
class Plan:
    """The layers that a campaign's runs are started with."""

    layers: frozenset[Layer]
    image: str = ""  # of a container

    @property
    def inside(self) -> tuple[str, ...]:
        """The layers that a process takes on by itself."""
        return tuple(layer for layer in SANDBOX_LAYERS if layer in self.layers)

    def without(self, layer: Layer) -> Plan:
        """Return the plan with one layer less."""
        return Plan(self.layers - {layer}, self.image)

    def surroundings(self, data: Path, shown: Path, groups: Path | None) -> Surroundings:
        """Return what a launcher of trials is started in, which sees of the data only what is shown."""
        enclosure: Enclosure | None = None
        if Layer.CONTAINER in self.layers:
            enclosure = container.Container(self.image, shown)
        elif Layer.BUBBLEWRAP in self.layers:
            enclosure = bubblewrap.Bubblewrap(data, shown, (groups,) if groups else ())
        return Surroundings(self.inside, enclosure, groups)


def choose(wanted: str) -> Plan:
    """Read what isolation is wanted: auto, a level, layers as `posix+seccomp`, or `container:IMAGE@sha256:DIGEST`.

    Raises: TrialError: there is no such layer, or it does not work here.
    """
    if wanted == AUTO:
        return _best()
    if wanted.startswith(IN_IMAGE):
        image = wanted.removeprefix(IN_IMAGE)
        _refuse(wanted, container.why_not(image))
        return Plan(_INSIDE | {Layer.CONTAINER}, image)
    plan = Plan(LEVELS[wanted] if wanted in LEVELS else _parse(wanted))
    reasons: dict[Layer, Callable[[], str]] = {
        Layer.LANDLOCK: lambda: "" if landlock_abi() else "the kernel has no Landlock",
        Layer.SECCOMP: lambda: "" if offers_filters() else "the kernel has no seccomp, or codegraft no filter for it",
        Layer.BUBBLEWRAP: bubblewrap.why_not,
        Layer.CGROUP: lambda: cgroup.why_not()[0],
    }
    for layer in sorted(plan.layers & reasons.keys()):
        _refuse(wanted, reasons[layer]())
    return plan


def _best() -> Plan:
    """Take what works. Landlock and seccomp are tried by each process itself, which says what it got."""
    layers = set(_INSIDE)
    if not bubblewrap.why_not():
        layers.add(Layer.BUBBLEWRAP)
    no_group, group = cgroup.why_not()
    if not no_group and group != Layer.CGROUP:
        layers.add(Layer.CGROUP)
    return Plan(frozenset(layers))


def _parse(wanted: str) -> frozenset[Layer]:
    names = wanted.split("+")
    known = {layer.value for layer in Layer} - {Layer.CONTAINER}
    if not set(names) <= known:
        choices = f"auto, {', '.join(LEVELS)}, container:IMAGE@sha256:DIGEST, or some of {'+'.join(sorted(known))}"
        raise TrialError(f"isolation: is {wanted!r}; give {choices}")
    return frozenset(map(Layer, names)) | {Layer.POSIX}


def _refuse(wanted: str, why_not: str) -> None:
    if why_not:
        raise TrialError(f"isolation: {wanted} does not work here: {why_not}; give auto for what does")


# --- what is required


def refuse_less(label: str, required: str) -> None:
    """Compare what runs really get with what is required of it.

    Raises: TrialError: it is less.
    """
    lacking = missing(label, required)
    if lacking:
        said = f"isolation: {required} is required, and {label or 'nothing'} is reached"
        raise TrialError(f"{said}: lacks {', '.join(lacking)}; codegraft check says why")


def missing(label: str, required: str) -> list[str]:
    """Name what a label lacks of a requirement."""
    got = set(label.split("+"))
    abi = max((int(name.removeprefix("landlock")) for name in got if name.startswith("landlock")), default=0)
    has = {
        "landlock": abi >= 1,
        f"landlock{_SCOPES_SINCE}, which hides the network and signals": abi >= _SCOPES_SINCE,
        "seccomp": "seccomp" in got,
        "bwrap or container": bool({"bwrap", "container"} & got),
        "cgroup": "cgroup" in got,
        "container": "container" in got,
    }
    landlock, scoped, seccomp, apart, group, image = has
    needed = {
        "posix": (),
        "landlock": (landlock, seccomp),
        "bubblewrap": (landlock, seccomp, apart),
        "cgroup": (landlock, seccomp, apart, group),
        "container": (landlock, seccomp, image),
        STRICT: (scoped, seccomp, apart),
    }
    return [name for name in needed[required] if not has[name]]
