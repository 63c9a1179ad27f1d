from __future__ import annotations

import pytest
from parsed_config import parsed

from monitor.config.watch import WatchConfig


def test_settings_cannot_be_changed_once_they_are_read():
    watch = parsed().watch[0]

    assert isinstance(watch, WatchConfig)
    with pytest.raises(ValueError, match="frozen"):
        watch.step_seconds = 1.0
