"""One shallow tree of errors, a class for each reaction."""

import pytest

from monitor import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_a_monitor_error_and_its_text_is_what_it_was_given(name):
    error = getattr(errors, name)("source.kind is 'pipe', expected one of: host, kafka, replay")

    assert isinstance(error, errors.MonitorError)
    assert str(error) == "source.kind is 'pipe', expected one of: host, kafka, replay"


def test_no_reaction_is_a_case_of_another():
    reactions = [getattr(errors, name) for name in errors.__all__ if name != "MonitorError"]

    assert all(reaction.__bases__ == (errors.MonitorError,) for reaction in reactions)
