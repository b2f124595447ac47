"""Every edit kind holds its own examples and refusals."""

import pytest

from mutator.conformance import cases
from mutator.grammar import DEFAULT_GRAMMAR


@pytest.mark.parametrize("case", cases(DEFAULT_GRAMMAR), ids=str)
def test_kind_conforms(case):
    case.check()
