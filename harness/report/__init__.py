"""One offline HTML file that says what a campaign found: answer, chart, lineage, patch, and every trial with its diff and log.

The file is a pure function of the campaign's folder: no clock, no network, no framework. Sources under search and what they print
are hostile here: one environment escapes every string (`page`), and the content policy runs only our own style and script.
"""

from harness.report.page import write_report

__all__ = ["write_report"]
