"""Layers of isolation: equal results with and without each, labels that say what was really in force, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.snapshot import read_snapshot
from harness import bubblewrap, cgroup
from harness.cgroup import Campaign, Group, find_delegated
from harness.isolation import REQUIREMENTS, Layer, choose, missing, offers
from harness.measure import Runner
from harness.sandbox import landlock_abi
from harness.start import look
from harness.values import Status, TrialError
from targets.manifest import load_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graph.snapshot import Snapshot
    from harness.values import Outcome
    from targets.manifest import Target

BUBBLEWRAPPED = pytest.mark.skipif(bool(bubblewrap.why_not()), reason="bubblewrap does not work here")
GROUPED = pytest.mark.skipif(bool(cgroup.why_not()[0]), reason="no control group is delegated here")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Return the smallest shipped target, with a budget of seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield load_target(Path(__file__).parents[1] / "targets" / "toy")


@pytest.fixture(scope="module")
def snapshot(target: Target) -> Snapshot:
    return read_snapshot(target.root_dir, target.mutable, frozen=target.frozen)


def with_end(snapshot: Snapshot, target: Target, *lines: str) -> Snapshot:
    source = snapshot.files[target.train].decode()
    return snapshot.with_files({target.train: "\n".join((source, *lines)).encode()}, edit="test")


@pytest.fixture(scope="module")
def honest(target: Target, snapshot: Snapshot) -> Outcome:
    with Runner(target, launch="exec", isolation="posix") as runner:
        return runner.run(snapshot, seed=1)


def test_without_layers_the_label_says_posix(honest: Outcome) -> None:
    assert (honest.status, honest.isolation) == (Status.OK, "posix")


@BUBBLEWRAPPED
@GROUPED
@pytest.mark.parametrize("launch", ["zygote", "exec"])
def test_all_layers_together_change_no_bit(target: Target, snapshot: Snapshot, honest: Outcome, launch: str) -> None:
    with Runner(target, launch="exec" if launch == "exec" else "zygote", isolation="cgroup") as runner:
        outcome = runner.run(snapshot, seed=1)
    assert (outcome.status, outcome.metric, outcome.steps) == (Status.OK, honest.metric, honest.steps)
    assert outcome.isolation.startswith(f"posix+landlock{landlock_abi()}+seccomp+bwrap+cgroup")


FULL = ("posix", "landlock", "seccomp", "bwrap", "cgroup")


@BUBBLEWRAPPED
@GROUPED
@pytest.mark.parametrize("off", FULL[1:])
def test_a_layer_that_is_forced_off_is_missing_in_the_label_only(
    target: Target, snapshot: Snapshot, honest: Outcome, off: str
) -> None:
    wanted = [layer for layer in FULL if layer != off]
    with Runner(target, isolation="+".join(wanted)) as runner:
        outcome = runner.run(snapshot, seed=1)
    assert re.sub(r"(?<=landlock)\d+", "", outcome.isolation).split("+")[: len(wanted)] == wanted
    assert outcome.metric == honest.metric
    assert bool(missing(outcome.isolation, "strict")) == (off in {"landlock", "seccomp", "bwrap"})


@pytest.mark.parametrize("given", ["posix", "posix+landlock", "landlock", "posix+seccomp"])
def test_strict_refuses_to_start_with_less(target: Target, given: str) -> None:
    with pytest.raises(TrialError, match=r"strict is required, and posix.* is reached: lacks "):
        Runner(target, launch="exec", isolation=given, required="strict").__enter__()


@BUBBLEWRAPPED
@pytest.mark.skipif(landlock_abi() < 6, reason="signals are hidden since Landlock 6")
def test_strict_starts_with_enough(target: Target) -> None:
    with Runner(target, launch="exec", required="strict") as runner:
        assert look(runner._trials, runner._scratch, runner._bounds).endswith("+bwrap")


@pytest.mark.parametrize(
    ("label", "satisfied"),
    [
        ("posix", {"posix"}),
        ("posix+landlock5+seccomp", {"posix", "landlock"}),
        ("posix+landlock5+seccomp+bwrap", {"posix", "landlock", "bubblewrap"}),
        ("posix+landlock6+seccomp+bwrap", {"posix", "landlock", "bubblewrap", "strict"}),
        ("posix+landlock7+seccomp+container", {"posix", "landlock", "bubblewrap", "container", "strict"}),
        ("posix+landlock7+seccomp+bwrap+cgroup", {"posix", "landlock", "bubblewrap", "cgroup", "strict"}),
        ("posix+landlock10+seccomp+cgroup", {"posix", "landlock"}),
        ("posix+seccomp+bwrap", {"posix"}),
    ],
)
def test_labels_satisfy_what_they_hold(label: str, satisfied: set[str]) -> None:
    assert {each for each in REQUIREMENTS if not missing(label, each)} == satisfied


def test_isolation_without_a_name_is_refused() -> None:
    with pytest.raises(
        TrialError, match=r"isolation: is 'chroot'; give auto, posix, landlock, bubblewrap, cgroup, container:"
    ):
        choose("chroot")


# --- machines that give less


def put_on_path(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Let `bwrap` be a script: what a machine without user namespaces answers."""
    (folder / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bwrap").chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_machine_without_user_namespaces_has_no_bubblewrap(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, monkeypatch, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    offer = next(offer for offer in offers() if offer.layer is Layer.BUBBLEWRAP)
    assert (offer.is_there, offer.detail) == (False, "bwrap: No permissions to create new namespace")
    with pytest.raises(TrialError, match="isolation: bubblewrap does not work here: bwrap: No permissions"):
        choose("bubblewrap")
    with Runner(target, launch="exec") as runner:
        assert "bwrap" not in look(runner._trials, runner._scratch, runner._bounds)


def test_bubblewrap_that_sets_nothing_apart_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    assert bubblewrap.why_not() == "pid, ipc, net, uts are not apart"


def test_bubblewrap_that_fails_at_the_launcher_is_said_and_left_out(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = shutil.which("bwrap") or "/bin/false"
    put_on_path(
        tmp_path, monkeypatch, f'case "$*" in *harness.forks*) echo no >&2; exit 1;; *) exec {real} "$@";; esac'
    )
    said = list[str]()
    if bubblewrap.why_not():
        pytest.skip("bubblewrap does not work here")
    with Runner(target, launch="exec", announce=said.append) as runner:
        assert "bwrap" not in look(runner._trials, runner._scratch, runner._bounds)
    assert said == ["launcher: ended before it was ready (no); goes on without bubblewrap"]


def test_machine_without_bubblewrap_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert bubblewrap.why_not() == "bwrap is not installed; install the package bubblewrap"


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to become a user without rights")
def test_machine_that_delegates_no_group_says_so() -> None:
    script = "import os, harness.cgroup as it\nos.setgid(65534); os.setuid(65534); print(it.why_not())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    tried = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "Permission denied; start in a delegated group" in tried.stdout or "no hierarchy" in tried.stdout, tried


# --- control groups


@GROUPED
def test_group_ends_a_tree_at_one_write_and_leaves_nothing() -> None:
    delegated = find_delegated()
    assert delegated
    with Campaign() as campaign:
        group = Group(campaign.folder, "run", memory_bytes=1 << 30)
        command = "import os, time\nif os.fork() == 0: os.setsid()\nos.fork(); time.sleep(600)"
        with subprocess.Popen([sys.executable, "-c", f"input()\n{command}"], stdin=subprocess.PIPE) as process:
            (group.folder / "cgroup.procs").write_text(str(process.pid))
            assert process.stdin
            process.stdin.write(b"go\n")
            process.stdin.close()
            deadline = time.monotonic() + 10
            while len((group.folder / "cgroup.procs").read_text().split()) < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
            pids = [int(pid) for pid in (group.folder / "cgroup.procs").read_text().split()]
            assert len(pids) == 4
            group.kill()
            assert process.wait(10) == -signal.SIGKILL
        group.remove()
        assert not group.folder.exists()
    assert not campaign.folder.exists()


def test_kernel_says_whether_memory_ran_out(tmp_path: Path) -> None:
    group = Group(tmp_path, "run", memory_bytes=1 << 30)
    assert group.label == "cgroup"
    assert group.ran_out_of_memory() is None
    for n_kills, is_short in ((0, False), (2, True)):
        (group.folder / "memory.events").write_text(f"low 0\nhigh 0\nmax 7\noom 3\noom_kill {n_kills}\n")
        assert group.ran_out_of_memory() is is_short


def test_label_names_the_limits_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Path.mkdir

    def mkdir_with_controllers(folder: Path) -> None:
        made(folder)
        (folder / "memory.max").touch()
        (folder / "memory.oom.group").touch()

    monkeypatch.setattr(Path, "mkdir", mkdir_with_controllers)
    group = Group(tmp_path, "run", memory_bytes=1 << 30)
    assert group.label == "cgroup+memory.max"
    assert (group.folder / "memory.max").read_text() == str(1 << 30)
    assert (group.folder / "memory.oom.group").read_text() in {"1", ""}  # the swap limit is tried first


@pytest.mark.parametrize("command", ["check", "run"])
def test_commands_refuse_a_machine_that_gives_less(command: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/nowhere"}  # without bwrap
    script = "from harness.cli import main; main()"
    arguments = ["toy", "--require-isolation", "strict"]
    tried = subprocess.run(
        [sys.executable, "-c", script, command, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 1
    assert re.search(r"isolation: strict is required, and posix.* is reached: lacks .*bwrap or container", tried.stderr)
    assert len(tried.stderr.splitlines()) == 1


def test_check_prints_the_table_of_layers() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "/nowhere"}
    script = "from harness.cli import main; main()"
    command = [sys.executable, "-c", script, "check", "toy", "--runs", "0", "--json"]
    said = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    table = {each["layer"]: each for each in said["isolation"]}
    assert list(table) == [layer.value for layer in Layer]
    assert table["posix"]["is_there"]
    assert table["bwrap"]["detail"] == "bwrap is not installed; install the package bubblewrap"
