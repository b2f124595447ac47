"""A campaign in the formats of other tools: one small file per format, each a function that reads a `History` and writes one place.

Exports are never on the hot path: they read the ledger, also while the campaign runs, and a search knows nothing of them. What they
hold is hostile (an edit, a file name, what a trial printed), so each format escapes it in its own way. The ledger stays the truth:
nothing reads an export back.
"""

from harness.export.formats import FORMATS, Format, find_place, write_export
from harness.export.history import read_history

__all__ = ["FORMATS", "Format", "find_place", "read_history", "write_export"]
