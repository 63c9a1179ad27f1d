from __future__ import annotations

import base64

import pytest

from monitor.remote_write.authentication import Authentication

BOTH = Authentication("prom", "päss:word", "token-1")


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("header", [basic("prom:päss:word"), "Bearer token-1", "bearer  token-1 "])
def test_the_password_or_the_token_is_accepted(header):
    assert BOTH.accepts(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic !!!",
        "Basic \udcff",
        basic("prom:wrong"),
        basic("other:päss:word"),
        basic("prom"),
        "Bearer",
        "Bearer token-2",
        "Bearer \udcff",
        "Token token-1",
        "token-1",
    ],
)
def test_nothing_else_is_accepted(header):
    assert not BOTH.accepts(header)


def test_a_token_of_any_letters_is_accepted_as_a_server_reads_it():
    token = Authentication(bearer_token="schlüssel-€")

    assert token.accepts("Bearer " + "schlüssel-€".encode().decode("latin-1"))
    assert not token.accepts("Bearer " + "schlüssel-$".encode().decode("latin-1"))


def test_an_empty_secret_opens_nothing():
    assert not Authentication("prom", "secret").accepts("Bearer ")
    assert not Authentication(bearer_token="token").accepts(basic(":"))


def test_without_a_secret_everybody_may_send():
    assert Authentication().accepts(None)


def test_a_refusal_names_the_schemes_that_are_accepted():
    assert BOTH.challenge == 'Basic realm="barograph", charset="UTF-8", Bearer realm="barograph"'
    assert Authentication(bearer_token="token").challenge == 'Bearer realm="barograph"'


def test_no_secret_is_shown():
    assert "word" not in repr(BOTH)
    assert "token" not in repr(BOTH).replace("bearer_token", "")
