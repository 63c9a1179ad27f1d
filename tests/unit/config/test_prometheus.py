import pytest
from pydantic import ValidationError

from monitor.config.load import load_config
from monitor.config.prometheus import PrometheusConfig
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
