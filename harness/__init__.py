"""Run, sandbox, measure, judge, remember, report: the campaign loop and the command line."""
