"""The inside of a supervised process: take on the limits, forget the harness, enter the sandbox, run the target's code.

The same function runs in a fork of the launcher and in a fresh interpreter, so the two launches differ in nothing that
target code can see. It never returns to the code that called it: what target code left in this process ends with it.
"""

from __future__ import annotations

import atexit
import os
import random
import resource
import site
import sys
import tempfile
import threading
import traceback
import weakref
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from harness.orders import parse_order
from harness.sandbox import confine

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.orders import Bounds, Order

PACKAGE_ROOT = str(Path(__file__).resolve().parents[1])
REPORT_FD = 3  # where a process writes the isolation that it reached, and closes before target code runs
FIRST_FD = 4  # the first descriptor that is passed on to target code or to a driver
_N_FILES = 1024
_SET_ASIDE: list[object] = []  # what must not be freed: that would write to pages shared with the launcher


def run_order(order: Order) -> NoReturn:
    """Become the process that the order asks for, from limits to exit code.

    Raises: Nothing. What goes wrong before target code runs leaves the report empty, which the supervisor reads.
    """
    exit_code = 1
    try:
        _set_limits(order.bounds)
        _offer_to_the_kernel(order)
        os.environ.clear()
        os.environ.update(order.env)
        os.chdir(order.folder)
        call = _prepare_call(order)
        level = confine(order.access, order.layers) if order.access else ""
        os.write(REPORT_FD, "+".join(filter(None, ("posix", level))).encode())
        os.close(REPORT_FD)
        exit_code = _run_to_its_end(call)
    except BaseException:  # noqa: BLE001 - the process ends here, and its log says why
        traceback.print_exc()
    finally:
        os._exit(exit_code)


def run_fresh() -> NoReturn:
    """Run the order of the command line with the environment of this process, a new interpreter."""
    run_order(replace(parse_order(sys.argv[1]), env=dict(os.environ)))


def load_entry(entry: str) -> Callable[..., Any]:
    """Import the function that `file.py:function` names, below the working directory.

    Raises: ImportError: there is no such function.
    """
    file, _, name = entry.partition(":")
    module = import_module(file.removesuffix(".py").replace("/", "."))
    return getattr(module, name)  # type: ignore[no-any-return]  # the manifest says that it is a function


def call_entry(entry: str, *paths: str) -> None:
    """Call a target's function with paths, as `prepare(data_dir)`."""
    load_entry(entry)(*map(Path, paths))


def do_nothing() -> None:
    """Be a process that ends at once: what is asked for is how it was started."""


def _set_limits(bounds: Bounds) -> None:
    """Set the kernel's limits. They are backstops: the supervisor's own are tighter and say what happened.

    RLIMIT_DATA and not RLIMIT_AS, because libraries reserve address space that they never touch.
    """
    cpu_s = int(min(bounds.cpu_s, 1e9)) + 2
    limits = {
        resource.RLIMIT_DATA: (bounds.memory_bytes, bounds.memory_bytes),
        resource.RLIMIT_FSIZE: (bounds.memory_bytes, bounds.memory_bytes),
        resource.RLIMIT_NOFILE: (_N_FILES, _N_FILES),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (cpu_s, cpu_s + 2),  # SIGXCPU, which has a name, before SIGKILL
    }
    for kind, (soft, hard) in limits.items():
        _, highest = resource.getrlimit(kind)
        room = max(soft, hard) if highest == resource.RLIM_INFINITY else highest
        resource.setrlimit(kind, (min(soft, room), min(hard, room)))


def _offer_to_the_kernel(order: Order) -> None:
    """When memory runs out, the kernel ends what runs edited code first, and not the controller or a program of the user."""
    if order.access:
        Path("/proc/self/oom_score_adj").write_text("1000")  # man 5 proc: the highest


def _prepare_call(order: Order) -> Callable[[], object]:
    """Import what is ours, then make the process look as if only the target lived in it."""
    name, *arguments = order.main
    is_script = name.endswith(".py")
    driver = None if is_script else getattr(import_module(name), arguments.pop(0))
    _forget_harness()
    _forget_finalizers()
    sys.path.insert(0, order.folder)
    if is_script and "/" in name:
        sys.path.insert(
            0, str(Path(order.folder, name).parent)
        )  # as an interpreter does, for modules beside the script
    sys.argv = [name, *arguments] if is_script else [name]
    tempfile.tempdir = None  # a library that was imported in the launcher may have asked for it, and it is remembered
    seed = int(order.env.get("CODEGRAFT_SEED", "0"))
    random.seed(seed)  # a fork would inherit one state of the generators, the same for every seed
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(order.bounds.threads)
    if driver is None:
        return lambda: _run_script(Path(order.folder) / name)
    return lambda: driver(*arguments)


def _forget_harness() -> None:
    """Take our modules and their folder out of sight, so that a target's own `harness.py` or `graph.py` is found."""
    # From the package's own names: a walk over all of sys.modules writes to 1,200 pages that are shared with the launcher.
    for name in [name for name, value in vars(sys.modules["harness"]).items() if isinstance(value, ModuleType)]:
        sys.modules.pop(f"harness.{name}", None)
    del sys.modules["harness"]
    if PACKAGE_ROOT not in site.getsitepackages():
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) != PACKAGE_ROOT]


def _forget_finalizers() -> None:
    """Leave to the launcher what its libraries tidy up at exit: that is no business of a fork, and torch takes 45 ms for it.

    Set aside and not emptied: a walk over it would copy every page that it is on.
    """
    registry = weakref.finalize._registry  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public list
    _SET_ASIDE.append(registry)
    weakref.finalize._registry = type(registry)()  # type: ignore[attr-defined]  # noqa: SLF001


def _run_script(path: Path) -> None:
    main = ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["__main__"] = main
    exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), main.__dict__)


def _run_to_its_end(call: Callable[[], object]) -> int:
    """Do what an interpreter does around a script: report the exception, join threads, run exit functions, flush."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text file here
    exit_code = 0
    try:
        call()
    except SystemExit as stop:
        if isinstance(stop.code, str):
            sys.stderr.write(f"{stop.code}\n")
        exit_code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException as error:  # noqa: BLE001 - whatever target code raises is its exit code
        error.__traceback__ = _below_this_file(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        exit_code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - os._exit leaves both out; no public name
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        if not stream.closed:
            stream.flush()
    return exit_code & 0xFF


def _below_this_file(trace: TracebackType | None) -> TracebackType | None:
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace
