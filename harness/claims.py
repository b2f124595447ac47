"""What is said about a metric: by a training that prints one, and by the manifest about which values can be true.

Under the tiers that score, a printed metric better than the measured one is made up: no trial sees the held-out data. Under the
tier self-reported the printed one is all there is; it is read here, and whoever edits the training can print what he likes.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from targets.manifest import Target

CLAIM_MARGIN = 0.01  # of the metric: how much better than measured a printed value may be, for rounding
LARGEST = 1e100  # of a metric: sums and squares of larger ones overflow
_NUMBER = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|inf)"


def false_claim(log: str, target: Target, measured: float) -> str:
    """Say which printed metric is better than the measured one; empty when none is.

    No trial sees the held-out data, so such a line is made up, and what made it up has no honest metric either.
    """
    pattern = rf"(?<![\w.]){re.escape(target.metric)}[\"']?\s*[:=\s]\s*({_NUMBER})"
    for claim in re.finditer(pattern, log, re.IGNORECASE):
        if target.sign * (float(claim[1]) - measured) > CLAIM_MARGIN * abs(measured):
            return f"stdout claims {target.metric} {float(claim[1]):g}, the scorer measured {measured:g}"
    return ""


def implausible(target: Target, *metrics: float) -> str:
    """Say which metric is no number, or outside what the manifest calls plausible; empty when none is."""
    low, high = target.plausible
    for metric in metrics:
        if not math.isfinite(metric):
            return f"{target.metric} is {metric}"
        if abs(metric) > LARGEST:
            return f"{target.metric} is {metric:g}; no statistics go beyond {LARGEST:g}"
        if not low <= metric <= high:
            return f"{target.metric} is {metric:g}; the manifest calls {low:g} to {high:g} plausible"
    return ""


def reported_metric(log: str, target: Target) -> tuple[float, str]:
    """Read the last metric that a training printed. Returns: the metric, or NaN and why there is none."""
    pattern = target.pattern or rf"^\s*{re.escape(target.metric)}\s*[:=]\s*(\S+)"
    found = re.findall(pattern, log, re.MULTILINE)
    if not found:
        return math.nan, f"no metric: the training printed no line that matches {pattern}"
    try:
        metric = float(found[-1])
    except ValueError:
        return math.nan, f"no metric: the training printed {found[-1][:40]!r} for {target.metric}, which is no number"
    fault = implausible(target, metric)
    return math.nan if fault else metric, fault
