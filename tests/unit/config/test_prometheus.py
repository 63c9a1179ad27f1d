from __future__ import annotations

import pytest
from parsed_config import errors_of, parsed

from monitor.config.prometheus import is_loopback


def prometheus_errors(*, listen="127.0.0.1:9469", decode=None, **settings):
    return errors_of(
        {
            "source": {"kind": "prometheus", "prometheus": settings},
            "web": {"listen": listen},
            "decode": decode or {},
            "watch": [{"name": "web"}],
        }
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "localhost:1"])
def test_on_loopback_no_authentication_is_needed(listen):
    assert is_loopback(listen)
    parsed(source={"kind": "prometheus"}, web={"listen": listen})


@pytest.mark.parametrize("listen", ["0.0.0.0:9469", "[::]:9469", "10.1.2.3:9469", "monitor.example:9469"])
def test_where_others_can_send_the_start_is_refused_without_authentication(listen):
    (line,) = prometheus_errors(listen=listen)

    assert f'web.listen is "{listen}", so that other machines can send samples' in line
    assert "set one, or listen on 127.0.0.1, or set allow_unauthenticated = true" in line
    for settings in (
        {"receive_username": "u", "receive_password": "p"},
        {"receive_bearer_token": "t"},
        {"allow_unauthenticated": True},
    ):
        parsed(source={"kind": "prometheus", "prometheus": settings}, web={"listen": listen})
    parsed(source={"kind": "host"}, web={"listen": listen})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"receive_username": "u"}, "receive_password is empty"),
        ({"receive_password": "hush"}, "receive_username is empty"),
        ({"receive_username": "u:hush", "receive_password": "hush"}, "receive_username has a colon"),
        ({"mode": "pull"}, "found 'pull', expected 'remote_write'"),
        ({"max_log_bytes": 63 << 20}, "expected 4 times the larger of max_request_bytes"),
        ({"max_log_bytes": 64 << 20, "decode": {"max_record_bytes": 17 << 20}}, "which is 71303168"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_reason_and_no_secret(settings, expected):
    (line,) = prometheus_errors(**settings)

    assert expected in line
    assert "hush" not in line
