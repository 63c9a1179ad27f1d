"""Topics are chosen by name or pattern; one that does not exist is told with what may have been meant."""

from __future__ import annotations

import pytest

from monitor.discovery.topic_choice import ChosenTopics, choose_topics, some_of
from monitor.errors import SourceError


def test_internal_topics_are_hidden_unless_they_are_named():
    existing = ["__consumer_offsets", "_schemas", "metrics"]

    assert choose_topics(existing, []) == ChosenTopics(("metrics",), n_internal=2)
    assert choose_topics(existing, ["_schemas"]).names == ("_schemas",)


def test_topics_are_chosen_by_name_or_pattern():
    chosen = choose_topics(["cpu-eu", "cpu-us", "mem-eu"], ["cpu-*"])

    assert (chosen.names, chosen.others) == (("cpu-eu", "cpu-us"), ("mem-eu",))


def test_a_name_that_looks_like_a_pattern_is_a_name_too():
    assert choose_topics(["a[1]", "b"], ["a[1]"]).names == ("a[1]",)


def test_a_topic_that_is_missing_is_told_with_what_may_have_been_meant():
    with pytest.raises(SourceError, match=r"no topic is named telegarf: did you mean telegraf\?"):
        choose_topics(["telegraf"], ["telegarf"])
    with pytest.raises(SourceError, match="no topic is named xyz: there are a, b, c and 1 more"):
        choose_topics(["a", "b", "c", "d"], ["xyz"])


def test_a_topic_that_is_missing_does_not_hide_the_others():
    chosen = choose_topics(["telegraf"], ["telegraf", "xyz"])

    assert (chosen.names, chosen.missing) == (("telegraf",), ("xyz",))
    assert chosen.missing_text() == "no topic is named xyz: there is no other"


def test_a_cluster_without_topics_is_an_error():
    with pytest.raises(SourceError, match="the cluster has no topic"):
        choose_topics([], [])


def test_a_long_list_is_cut():
    assert some_of(["a", "b", "c"]) == "a, b, c"
    assert some_of(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
