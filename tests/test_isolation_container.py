"""The container adapter: the command line to the letter, what is refused, and the way in through a socket with a real launcher."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import bubblewrap, container
from harness.container import Container
from harness.isolation import choose
from harness.launcher import Launcher, Surroundings
from harness.orders import Access, Bounds, Order
from harness.trial import PACKAGE_ROOT
from harness.values import Status, TrialError
from harness.workspace import Workspace, make_scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

IMAGE = "registry.example/torch@sha256:" + "0123456789abcdef" * 4
ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
BOUNDS = Bounds(wall_s=20, cpu_s=20, memory_bytes=1 << 40, output_bytes=1 << 20, threads=1)


@pytest.fixture
def scratch() -> Iterator[Path]:
    folder = make_scratch()
    yield folder
    if folder.exists():
        folder.rmdir()


def test_command_line_gives_a_container_what_it_needs_and_no_more() -> None:
    command = Container(IMAGE, Path("/data/train"), engine="docker", memory_bytes=8 << 30).around(
        ["/usr/bin/python", "-P", "-c", "boot", "/scratch/launcher-1", "{}"],
        Path("/scratch"),
        {"PYTHONHASHSEED": "0", "PATH": "/bin"},
    )
    packages = [
        f"--mount=type=bind,source={PACKAGE_ROOT}/{name},target={PACKAGE_ROOT}/{name},readonly"
        for name in ("harness", "graph", "mutator", "policy", "targets")
    ]
    assert command == [
        "docker",
        "run",
        "--rm",
        "--pull=never",
        "--network=none",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--pids-limit=8192",
        "--memory=8589934592",
        "--memory-swap=8589934592",
        "--tmpfs=/tmp",
        f"--user={os.getuid()}:{os.getgid()}",
        "--workdir=/",
        "--env=PYTHONHASHSEED=0",
        *packages,
        "--mount=type=bind,source=/data/train,target=/data/train,readonly",
        "--mount=type=bind,source=/scratch,target=/scratch",
        "--entrypoint=python3",
        IMAGE,
        "-P",
        "-c",
        "boot",
        "/scratch/launcher-1",
        "{}",
    ]


@pytest.mark.parametrize(
    "image", ["torch", "torch:latest", "torch@sha256:abc", IMAGE + "0", "--privileged@sha256:" + "0" * 64]
)
def test_image_that_is_not_pinned_is_refused(image: str) -> None:
    with pytest.raises(TrialError, match="is not pinned; name it as NAME@sha256:DIGEST"):
        choose(f"container:{image}")


def put_on_path(folder: Path, patch: pytest.MonkeyPatch, **scripts: str) -> None:
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    patch.setenv("PATH", str(folder))


def test_engine_that_does_not_answer_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, docker="echo 'no daemon' >&2; exit 1", podman="exit 0")
    assert container.why_no_engine() == ("", "podman")
    assert choose(f"container:{IMAGE}").image == IMAGE


def test_no_engine_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, docker="echo 'no daemon' >&2; exit 1")
    assert container.why_no_engine() == ("docker info: no daemon; podman is not installed", "")
    with pytest.raises(TrialError, match="does not work here: docker info: no daemon; podman is not installed"):
        choose(f"container:{IMAGE}")


def test_image_that_does_not_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_on_path(tmp_path, monkeypatch, docker='[ "$1" = info ] || { echo "no such image" >&2; exit 125; }')
    assert container.why_not(IMAGE) == "no such image"


class Apart(bubblewrap.Bubblewrap):
    """What a container is to a launcher, without an engine: namespaces, an environment of its own, no descriptors."""

    def around(self, command: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        own = [f"{name}={value}" for name, value in env.items()]
        return ["env", "-i", f"PATH={os.environ['PATH']}", *own, *super().around(command, scratch, env)]


@pytest.mark.skipif(bool(bubblewrap.why_not()), reason="stands in for an engine, and does not work here")
def test_launcher_that_inherits_nothing_comes_in_through_the_socket(scratch: Path) -> None:
    apart = Apart(inherits=False)
    with Launcher(("numpy",), scratch, ENV, Surroundings(enclosure=apart)) as launcher, Workspace(scratch, {}) as space:
        launcher.wait_until_ready()
        assert not list(scratch.glob("launcher-*"))
        (space.work / "script.py").write_text("import os; os.write(4, b'through'); print('ran')")
        order = Order(("script.py",), str(space.work), {}, BOUNDS, access=Access((), (str(space.work),)))
        told, tell = os.pipe()
        run = launcher.start(order, [tell])
        os.close(tell)
        ending = run.wait()
        assert os.read(told, 100) == b"through"
        os.close(told)
    assert (ending.status, ending.log) == (Status.OK, "ran\n")
    assert ending.isolation.endswith("+bwrap")


def test_container_that_ends_before_the_launcher_is_there_says_why(
    scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_on_path(tmp_path, monkeypatch, docker="echo 'exec: python3: not found' >&2; exit 127")
    enclosure = Container(IMAGE, tmp_path, engine="docker")
    said = r"launcher: ended before it was ready \(exec: python3: not found\)"
    with (
        Launcher((), scratch, {}, Surroundings(enclosure=enclosure)) as launcher,
        pytest.raises(TrialError, match=said),
    ):
        launcher.wait_until_ready()
