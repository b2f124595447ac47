"""Edit: what the policy emits, the ledger stores and a person types: kind, site, choice; as data and as a URI.

`swap-optimizer@optim:build_optimizer/call.AdamW?to=SGD#3f9a2c81` names the kind, the site by its slot (see graph.model), the choice,
and, after `#`, the anchor: a digest of the site's statement. With an anchor, a site whose own code has changed since is refused
(`SiteGone`); without one, as a person types it, the slot alone decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Iterable

Scalar = str | int | float | bool
Choice = tuple[tuple[str, Scalar], ...]
"""What is chosen at a site: (name, value) pairs, sorted by name; empty where there is nothing to choose."""

_URI = re.compile(
    r"(?P<kind>[a-z][a-z0-9-]*)(?::(?P<version>[1-9][0-9]{0,3}))?@(?P<site>[^?#]+)(?:\?(?P<choice>[^#]*))?(?:#(?P<anchor>[0-9a-f]+))?"
)
_INT = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?")


class EditError(Exception):
    """An edit that cannot be applied: unknown, refused, drifted, conflicting or rendering to broken code."""

    rung = ""  # of the verification ladder, where that refused it (mutator.verify.Rung)


class SiteGone(EditError):
    """The site of an edit is not there any more, or its own code has changed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One typed edit: a kind at a site with a choice. The choice is name -> scalar, sorted by name."""

    kind: str
    site: str
    choice: Choice = ()
    anchor: str = ""
    version: int = 1  # of the kind

    @property
    def uri(self) -> str:
        """Print the edit; `parse_edit` reads it back."""
        choice = urlencode([(name, print_scalar(value)) for name, value in self.choice], quote_via=quote)
        return (
            f"{self.kind}{f':{self.version}' if self.version > 1 else ''}@{self.site}"
            + (f"?{choice}" if choice else "")
            + (f"#{self.anchor}" if self.anchor else "")
        )

    @property
    def address(self) -> str:
        """Print the edit as a person would type it: without the anchor."""
        return replace(self, anchor="").uri


def print_script(script: Iterable[Edit], *, anchors: bool = True) -> str:
    """Print edits on one line; without anchors, as a person would type them."""
    return " + ".join(edit.uri if anchors else edit.address for edit in script)


def parse_edit(uri: str) -> Edit:
    """Read the URI of an edit.

    Raises: EditError: the text is no edit URI.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise EditError(f"{uri}: is no edit; write kind@site?name=value, as `codegraft edits` prints them")
    pairs = parse_qsl(match["choice"] or "", keep_blank_values=True)
    choice = tuple(sorted((name, _parse_scalar(text)) for name, text in pairs))
    return Edit(match["kind"], match["site"], choice, match["anchor"] or "", int(match["version"] or 1))


def print_scalar(value: Scalar) -> str:
    """Print a value as an edit's URI has it; a text that would read as something else stands in quotes."""
    if isinstance(value, str):
        return f"'{value}'" if value[:1] == "'" or _parse_scalar(value) != value else value
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _parse_scalar(text: str) -> Scalar:
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
