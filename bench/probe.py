"""What a recipe may use in the process that runs a repository's own training script: probes, stand-ins and smaller constants.

The probe notes every loss that `backward` starts from and every optimizer step, whatever optimizer it is, and hashes what was trained.
Clocks count calls, so that a loop that a clock ends runs the same number of steps every time.
"""

from __future__ import annotations

import random
import re
import runpy
import sys
import time
import traceback
from hashlib import blake2b
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MOST_STEPS = 24


class Enough(BaseException):
    """Raised out of the training when there were steps enough; no `except Exception` of a repository stops it."""


class Probe:
    """Collects what a training run computes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.losses: list[float] = []
        self.most_steps = _MOST_STEPS
        self._steps = 0
        self._digest = blake2b(digest_size=8)
        self._optimizers: dict[int, torch.optim.Optimizer] = {}

    def install(self) -> None:
        """Watch `backward` and every optimizer, stop the clocks and seed what a script may have left unseeded."""
        backward = torch.autograd.backward

        def noted(tensors: Any, *rest: Any, **named: Any) -> None:  # noqa: ANN401 - the signature of torch's own
            self.note(tensors if isinstance(tensors, torch.Tensor) else tensors[0])
            backward(tensors, *rest, **named)

        torch.autograd.backward = noted
        register_optimizer_step_post_hook(self._stepped)
        ticks = count(1_000_000)
        time.time = time.perf_counter = lambda: float(next(ticks))
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)

    def note(self, loss: torch.Tensor) -> None:
        """Add a loss, or whatever else is worth comparing."""
        self.losses.append(float(loss.detach().float().sum()))
        if len(self.losses) > 20 * self.most_steps:
            raise Enough

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Add tensors to the digest."""
        for tensor in tensors:
            self._digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
            self._digest.update(
                tensor.detach().contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
            )

    def fingerprint(self) -> str:
        """Print losses and digest."""
        shown = [repr(loss) for loss in self.losses]
        rest = blake2b(" ".join(shown).encode(), digest_size=8).hexdigest()
        return f"{' '.join(shown[:3])} n={len(shown)} losses={rest} parameters={self._digest.hexdigest()}"

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        self.add(p.data.reshape(-1) for group in optimizer.param_groups for p in group["params"])
        self._steps += 1
        if self._steps >= self.most_steps:
            raise Enough

    # --- what recipes call

    def script(self, path: str, *arguments: str) -> dict[str, Any]:
        """Run a script as `python path arguments` does, and return its globals; they are empty when it was stopped."""
        sys.argv = [path, *arguments]
        sys.path.insert(0, str((self.folder / path).parent))
        sys.path.insert(0, str(self.folder))
        try:
            found = runpy.run_path(path, run_name="__main__")
        except Enough:
            return {}
        for module in (value for value in found.values() if isinstance(value, torch.nn.Module)):
            self.add(p.data.reshape(-1) for p in module.state_dict().values() if not p.is_meta)
        return found

    def shrink(self, path: str, divisors: Mapping[str, int]) -> None:
        """Divide top-level constants of a file, and defaults of its command line, so that an edit of one still counts."""
        file = self.folder / path
        text = file.read_text()
        for name, divisor in divisors.items():
            pattern = (
                rf"(?m)(\"{name}\",.*?default=)([^,)]+)"
                if name.startswith("--")
                else rf"(?m)^({name}\s*=\s*)([^#\n]+?)(?=\s*(?:#|$))"
            )
            text = re.sub(pattern, rf"\g<1>(\g<2>) // {divisor}", text, count=1)
        file.unlink()
        file.write_text(text)


def drive(recipe: Callable[[Probe], None], folder: Path) -> dict[str, object]:
    """Run a recipe and say what came of it, as the fields of an Outcome."""
    probe = Probe(folder)
    sys.dont_write_bytecode = True
    try:
        probe.install()
        recipe(probe)
    except Enough:
        pass
    except BaseException as error:  # noqa: BLE001 - whatever a repository does is an outcome
        return {"ok": False, "error": _say(error, folder), "fingerprint": probe.fingerprint()}
    if not probe.losses:
        return {"ok": False, "error": "NoStep: nothing was trained"}
    return {"ok": True, "fingerprint": probe.fingerprint()}


def _say(error: BaseException, folder: Path) -> str:
    ours = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if f.filename.startswith(str(folder)) or "/" not in f.filename
    ]
    where = f" @ {Path(ours[-1].filename).name}:{ours[-1].lineno}: {ours[-1].line}" if ours else ""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}{where}"


# --- stand-ins


def stand_in(name: str, /, **members: object) -> ModuleType:
    """Have `import name` give a module with these members alone."""
    module = ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], last, module)
    return module


class Anything:
    """Takes every call, attribute and item; what a missing library hands out."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __call__(self, *arguments: Any, **_: object) -> Any:  # noqa: ANN401
        """Give a decorated function back, else another of these."""
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else Anything()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything

    def __mro_entries__(self, _: object) -> tuple[type, ...]:
        return (Anything,)


class _Missing(MetaPathFinder, Loader):
    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] in self.names else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: _refuse(name) if name.startswith("__") else Anything  # type: ignore[method-assign]  # PEP 562
        return module

    def exec_module(self, module: ModuleType) -> None: ...


def _refuse(name: str) -> object:
    raise AttributeError(name)


def pretend(*names: str) -> None:
    """Have libraries that are not installed import as modules that take everything."""
    sys.meta_path.insert(0, _Missing(names))


def tokens(n: int, vocab: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a sequence with something to learn in it: each token is mostly a function of the one before."""
    rng = np.random.default_rng(seed)
    found = np.zeros(n, dtype=np.int64)
    for i in range(1, n):
        found[i] = (5 * found[i - 1] + 3) % vocab if rng.random() < 0.8 else rng.integers(vocab)
    return found
