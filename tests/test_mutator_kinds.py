"""Every edit kind holds its own examples and refusals."""

import pytest

from mutator.shipped import default_grammar
from mutator.testing import cases


@pytest.mark.parametrize("case", cases(default_grammar()), ids=str)
def test_kind_conforms(case):
    case.check()
