import base64
import hashlib
import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from backtests import HOSTILE, labelled_backtest, trained_side

from monitor.backtest.figures import figures_of
from monitor.backtest.render import render_report


class _Page(HTMLParser):
    """Collects a page's elements, and checks that they are closed in order."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, tag

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


def render(backtest):
    return render_report(backtest, figures_of(backtest), made_at="2026-01-01T00:00:00Z", version="1.0")


@pytest.fixture(scope="module")
def full():
    """Give a report with every section, with hostile text in each."""
    name = f"{HOSTILE}'\"&"
    fired = (
        ({"alertname": name, "host": HOSTILE}, np.array([trained_side().pages[0].opened_ms])),
        ({"alertname": name}, np.array([trained_side().runs[0].replayed.from_ms + 60_000])),
    )
    other = replace(trained_side(), name=name, runs=trained_side().runs, skipped=(name,))
    return render(labelled_backtest(fired=fired, against=other, files=(name,)))


def test_hostile_text_is_shown_and_never_an_element(full):
    page = _Page(full)

    assert len(page.all("script")) == 1
    assert "<b>step" not in full
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in full


def test_nothing_leaves_the_page(full):
    page = _Page(full)

    assert "http:" not in full
    assert "https:" not in full
    assert [attributes.get("href") for attributes in page.all("link")] == ["data:,"]
    assert not any("src" in attributes or "style" in attributes for _, attributes in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_only_the_pages_own_script_and_style_may_run(full):
    policy = next(
        attributes["content"]
        for attributes in _Page(full).all("meta")
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )

    assert policy.startswith("default-src 'none';")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", full, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_headings_follow_each_other_and_drawings_have_a_text(full):
    page = _Page(full)

    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all("aria-label" in svg for svg in page.all("svg") if svg.get("role") == "img")
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["for"] for attributes in page.all("label")} <= set(ids)


def test_every_section_is_there_when_there_is_something_to_say(full):
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", full)

    assert titles == [
        "The worst episodes",
        "Time line",
        "Labelled incidents",
        "What another budget would have done",
        "Side by side",
        "Beside your own alerts",
        "What it takes",
        "How this was judged",
    ]


def test_a_report_without_episodes_or_comparisons_is_whole():
    run = trained_side().runs[0]
    quiet = replace(
        run, pages=(), pictures=(), trials=(), simple=None, replayed=replace(run.replayed, alerts=())
    )

    text = render(labelled_backtest(side=replace(trained_side(), runs=(quiet,)), incidents=None))

    assert "No episode opened." in text
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", text) == [
        "The worst episodes",
        "Time line",
        "What it takes",
        "How this was judged",
    ]
