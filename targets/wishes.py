"""What a person wishes of a search, as two tables of a manifest: [search] says which edits to try, [reward] what a trial is worth.

No metric depends on either, so neither counts where a landscape recognises its target. Whether kinds and units exist is seen where a
target is opened (harness.wishes): nothing here knows the grammar or the sources.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Weight = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Bonus = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
_Price = Annotated[float, Field(strict=True, le=0, allow_inf_nan=False)]

LEAST_METRIC = -1.0  # of the reward: the limit of exp(z) - 1, see harness.reward
LEAST_COMPLEXITY = -1.0  # of the reward: what the most complex program gets


class Search(BaseModel):
    """Which edits a search tries more often, less often, or never."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefer: dict[str, _Weight] = Field(
        default_factory=dict,
        description='how often to try kinds of edits before anything is known, against 1: numbers above 0, as in { "insert-norm" = 3.0 }',
    )
    forbid: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="kinds, files and units that no edit of a search may touch, as in "
        '["swap-optimizer", "train.py", "model:GPT.forward"]',
    )

    def faults(self, files: Sequence[str]) -> Iterator[str]:
        """Say what does not fit the files of the target, mutable or frozen, or what else is wished."""
        for name in self.forbid:
            if name.endswith(".py") and name not in files:
                yield f"search.forbid names {name!r}, which neither mutable nor frozen does; write one of {', '.join(files)}"
            if name in self.prefer:
                yield f"search.forbid names {name!r}, which search.prefer names too; leave it in one of them"


class Weights(BaseModel):
    """What the terms of a reward weigh, in standard errors of a gain; see harness.reward for the terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    novelty: _Bonus = Field(default=0.25, description="what the most novel program gets, a number of at least 0")
    complexity: _Price = Field(
        default=-0.05,
        description="what each path beyond those of the unedited target gets, a number of at most 0; all of them get no less than "
        f"{LEAST_COMPLEXITY:g}",
    )
    equivalent: _Price = Field(
        default=-1.0, description="what an edit that changes no metric gets, a number of at most 0"
    )
    stopped: _Price = Field(default=-1.0, description="what a run that is stopped early gets, a number of at most 0")
    failure: _Price = Field(default=-2.0, description="what a run without a metric gets, a number of at most 0")

    def faults(self) -> Iterator[str]:
        """Say what a policy would exploit: a stop that is paid more than an end, a crash more than either."""
        finished = min(LEAST_METRIC, self.equivalent)
        if self.stopped > finished:
            yield f"reward.stopped is {self.stopped}, more than the same run may get when it ends; write at most {finished}"
        least = min(finished, self.stopped) + LEAST_COMPLEXITY
        if self.failure > least:
            yield f"reward.failure is {self.failure}, more than a run that was measured or stopped may get; write at most {least}"


DEFAULT_WEIGHTS = Weights()
