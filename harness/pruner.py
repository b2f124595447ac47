"""Any pruner of Optuna as the comparison of a stopping rule; what has failed or is near the incumbent is not its business.

The earlier trials are told to the pruner in their order and mark by mark, as if it had seen them live, because some pruners (successive
halving, Hyperband) keep notes on a trial when they are asked about it.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

from harness.meter import N_MARKS
from harness.values import TrialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.evidence import Curve, Evidence


class Pruned:
    """A comparison that asks a pruner; one for each trial, because the pruner follows it."""

    def __init__(self, text: str) -> None:
        """Take a pruner as it is written: "MedianPruner", or "PercentilePruner(25.0, n_startup_trials=8)".

        Raises: TrialError: Optuna is not installed, or there is no such pruner.
        """
        try:
            import optuna  # noqa: PLC0415 - an optional extra, and heavy
        except ImportError:
            raise TrialError("optuna: is not installed; pip install 'codegraft[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._text = text
        self._make = _parse(text, optuna.pruners)
        self._trial: Any = None
        self._followed: Curve = ()

    def __call__(self, curve: Curve, evidence: Evidence) -> str:
        """Say that the pruner would prune a trial with these marks; empty when it would not."""
        if self._trial is None or curve[: len(self._followed)] != self._followed:
            self._trial, self._followed = self._study(evidence).ask(), ()
        is_behind = _follow(self._trial, curve, since=len(self._followed))
        self._followed = curve
        return f"{self._text} stops it at {100 * len(curve) / N_MARKS:.0f} % of the budget" if is_behind else ""

    def _study(self, evidence: Evidence) -> Any:  # noqa: ANN401 - a class of an optional extra
        study = self._optuna.create_study(
            study_name=f"codegraft {evidence.seed}",  # Hyperband deals its brackets by the name
            sampler=self._optuna.samplers.RandomSampler(seed=0),
            pruner=self._make(),
        )
        states = self._optuna.trial.TrialState
        for curve in evidence.finished:
            trial = study.ask()
            _follow(trial, curve, since=0)
            is_whole = len(curve) == N_MARKS and math.isfinite(curve[-1])
            study.tell(trial, curve[-1] if is_whole else None, state=states.COMPLETE if is_whole else states.PRUNED)
        return study


def _parse(text: str, pruners: Any) -> Callable[[], Any]:  # noqa: ANN401 - a module of an optional extra
    """Read a class with literal arguments, and try it."""
    try:
        call: Any = ast.parse(
            text if "(" in text else f"{text}()", mode="eval"
        ).body  # a call, or it lacks what is read
        kind = getattr(pruners, call.func.id)
        positional = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
        kind(*positional, **named)
    except (SyntaxError, AttributeError, TypeError, ValueError) as error:
        raise TrialError(
            f"optuna:{text}: is no pruner of Optuna ({error}); write its class, with arguments if it needs any"
        ) from error
    return lambda: kind(*positional, **named)


def _follow(trial: Any, curve: Curve, *, since: int) -> bool:  # noqa: ANN401 - a class of an optional extra
    """Report the marks of a curve, the first as step 1, and say whether the pruner would have stopped it at the last."""
    is_behind = False
    for step, mark in enumerate(curve[since:], since + 1):
        if not math.isnan(mark):
            trial.report(mark, step)
            is_behind = trial.should_prune()
    return is_behind
