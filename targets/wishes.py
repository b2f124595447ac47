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
