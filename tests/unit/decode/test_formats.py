"""Formats by their names."""

import pytest
from payloads import PAYLOADS, decoded

from monitor.decode.formats import FORMATS, FormatSettings
from monitor.decode.record import Limits
from monitor.decode.topic_decoders import build_decoder


def test_every_format_has_a_payload_here():
    assert set(PAYLOADS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_built_by_its_name_and_reads_its_own_payload(name):
    assert decoded(build_decoder(name), PAYLOADS[name]).rejected == {}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_keeps_to_the_limits_that_it_is_built_with(name):
    settings = FormatSettings(limits=Limits(max_record_bytes=5))

    assert decoded(build_decoder(name, settings), PAYLOADS[name]).rejected == {"too_large": 1}
