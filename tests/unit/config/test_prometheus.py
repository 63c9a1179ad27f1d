import pytest
from parsed_config import errors_of, parsed
from pydantic import ValidationError

from monitor.config.load import load_config
from monitor.config.prometheus import PrometheusConfig, is_loopback
from monitor.errors import ConfigError


def test_an_address_is_what_comes_before_the_api():
    assert PrometheusConfig(url="https://mimir/prometheus/").url == "https://mimir/prometheus"


@pytest.mark.parametrize("url", ["prom:9090", "ftp://prom", "http://", "http://prom:99999", "http://a?b=c"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValidationError):
        PrometheusConfig(url=url)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bearer_token": "t", "username": "u"}, "one way to log in"),
        ({"password": "p"}, "password is set without username"),
        ({"cert_file": "c"}, "cert_file and key_file belong together"),
        ({"bearer_token": "a\nb"}, "bearer_token holds a line break"),
        ({"tenant": "té"}, "tenant holds a character that a header cannot"),
        ({"url": "http://u:s3cret@prom"}, "url holds a name or password"),
    ],
)
def test_what_does_not_fit_together_is_refused_without_showing_a_secret(tmp_path, settings, text):
    file = tmp_path / "config.toml"
    keys = "\n".join(f"{key} = {value!r}" for key, value in settings.items() if "\n" not in value)
    keys += "".join(f'\n{key} = "a\\nb"' for key, value in settings.items() if "\n" in value)
    file.write_text(f"[source.prometheus]\n{keys}\n[[watch]]\nname = 'w'\n")

    with pytest.raises(ConfigError, match=text) as raised:
        load_config(file)

    assert "s3cret" not in str(raised.value)


def test_secrets_come_from_files(tmp_path):
    (tmp_path / "token").write_text("t0ken\n")
    file = tmp_path / "config.toml"
    token = f'{{ from_file = "{tmp_path / "token"}" }}'
    file.write_text(f"[source.prometheus]\nbearer_token = {token}\n[[watch]]\nname = 'w'\n")

    assert load_config(file).source.prometheus.bearer_token == "t0ken"


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
        ({"mode": "pull"}, "found 'pull', expected 'remote_write' or 'query_range'"),
        ({"max_log_bytes": 63 << 20}, "expected 4 times the larger of max_request_bytes"),
        ({"max_log_bytes": 64 << 20, "decode": {"max_record_bytes": 17 << 20}}, "which is 71303168"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_reason_and_no_secret(settings, expected):
    (line,) = prometheus_errors(**settings)

    assert expected in line
    assert "hush" not in line
