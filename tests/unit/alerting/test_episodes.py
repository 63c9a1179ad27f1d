"""Episodes from scores written as text: one a step of 10 s, `_` where the entity was not judged.

The first score is that of the step that ends at 10 s.
"""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_settings import alert_policy

from monitor.alerting.episodes import EpisodeBook, Phase

STEP_SECONDS = 10
CHANGES = ("engaged", "lapsed", "opened", "followed", "recovered", "levelled", "accepted", "gone", "returned")


def policy(**seconds):
    """Give a policy of one step below 0.75 to close and no rest, unless said otherwise."""
    return alert_policy(**{"close_seconds": 10.0, "rest_seconds": 0.0, **seconds})


def score_of(word):
    return math.nan if word == "_" else float(word)


def run(text, rules, book=None):
    """Give the seconds at which each kind of change came, how many scores were suppressed, and the book."""
    book = book or EpisodeBook(rules)
    happened = {name: [] for name in CHANGES}
    suppressed = {"hold": 0, "rest": 0, "return": 0}
    for at, word in enumerate(text.split()):
        time_seconds = (at + 1) * STEP_SECONDS
        changes = book.update(time_seconds * 1000, np.array([score_of(word)]))
        for name in CHANGES:
            happened[name] += [time_seconds] * len(getattr(changes, name))
        for reason, count in changes.suppressed.items():
            suppressed[reason] += count
    return happened, suppressed, book


def test_an_episode_opens_when_the_score_reaches_one():
    happened, _, book = run("0.2 0.99 1.0", policy())

    assert happened["opened"] == [30]
    assert book.is_open.tolist() == [True]
    assert book.opened_ms.tolist() == [30_000]


def test_with_a_hold_it_opens_when_the_score_has_been_over_for_that_long():
    happened, suppressed, book = run("1 1 1", policy(hold_seconds=20))

    assert happened["engaged"] == [10]
    assert happened["opened"] == [30]
    assert book.over_since_ms.tolist() == [10_000]
    assert suppressed == {"hold": 0, "rest": 0, "return": 0}


def test_too_short_a_rise_lapses_and_its_scores_are_counted_as_suppressed():
    happened, suppressed, book = run("1 1.5 0.9", policy(hold_seconds=30))

    assert happened["lapsed"] == [30]
    assert happened["opened"] == []
    assert suppressed == {"hold": 2, "rest": 0, "return": 0}
    assert book.phase.tolist() == [Phase.IDLE]


def test_a_hold_starts_over_behind_a_lapse():
    happened, suppressed, _ = run("1 1 0 1 1 1", policy(hold_seconds=20))

    assert happened["opened"] == [60]
    assert suppressed["hold"] == 2


def test_an_episode_closes_when_the_score_has_been_low_for_long_enough():
    happened, _, book = run("1 .5 .5 .5", policy(close_seconds=20))

    assert happened["recovered"] == [40]
    assert book.is_open.tolist() == [False]


def test_a_score_between_closing_and_opening_keeps_an_episode_open():
    happened, _, _ = run("1 .5 .8 .5 .5 .5", policy(close_seconds=20))

    assert happened["recovered"] == [60]  # low since 40 s


def test_a_score_at_the_close_score_is_not_below_it():
    happened, _, _ = run("1 .75 .75 .75 .75", policy(close_score=0.75))

    assert happened["recovered"] == []


def test_at_rest_nothing_opens_and_what_would_have_is_counted():
    happened, suppressed, _ = run("1 .5 .5 1 1 1", policy(rest_seconds=30))

    assert happened["recovered"] == [30]
    assert suppressed == {"hold": 0, "rest": 2, "return": 0}  # at 40 and 50 s
    assert happened["opened"] == [10, 60]


def test_missing_data_neither_opens_an_episode_nor_lapses_one():
    happened, suppressed, book = run("1 _ _ _ _", policy(hold_seconds=20))

    assert happened["opened"] == happened["lapsed"] == []
    assert book.phase.tolist() == [Phase.PENDING]
    assert suppressed["hold"] == 0


def test_missing_data_never_closes_an_episode():
    happened, _, book = run("1 " + "_ " * 1000, policy(accept_after_seconds=100))

    assert happened["recovered"] == happened["accepted"] == []
    assert book.is_open.tolist() == [True]


def test_behind_missing_data_the_time_below_the_close_score_starts_over():
    happened, _, _ = run("1 .5 _ .5 .5 .5", policy(close_seconds=20))

    assert happened["recovered"] == [60]


def test_an_episode_that_lasts_is_accepted_as_the_new_normal_and_rests():
    happened, suppressed, _ = run("1 1 1 1 1 1 1", policy(accept_after_seconds=30, rest_seconds=20))

    assert happened["accepted"] == [40]
    assert suppressed["rest"] == 1  # at 50 s
    assert happened["opened"] == [10, 60]


def test_an_episode_is_accepted_on_a_judged_step_only():
    happened, _, _ = run("1 1 1 _ _ 1", policy(accept_after_seconds=30))

    assert happened["accepted"] == [60]


def test_an_entity_may_not_learn_from_engaging_to_closing():
    book = EpisodeBook(policy(hold_seconds=10, rest_seconds=30))
    frozen = []
    for at, score in enumerate([0.0, 1.0, 1.0, 0.9, 0.1, 0.1, 0.1]):
        book.update((at + 1) * 10_000, np.array([score]))
        frozen.append(book.frozen.tolist()[0])

    assert frozen == [False, True, True, True, True, False, False]


def test_entities_do_not_mind_each_other():
    book = EpisodeBook(policy(rest_seconds=100))
    first = book.update(10_000, np.array([1.0, 0.0, np.nan]))
    second = book.update(20_000, np.array([0.0, 2.0, 1.0]))
    third = book.update(30_000, np.array([0.0, 2.0, np.nan]))

    assert [changes.opened.tolist() for changes in (first, second, third)] == [[0], [1, 2], []]
    assert [changes.recovered.tolist() for changes in (first, second, third)] == [[], [], [0]]
    assert book.is_open.tolist() == [False, True, True]


def test_an_entity_that_appears_later_starts_idle():
    _, _, book = run("1 1", policy())

    changes = book.update(30_000, np.array([1.0, 0.5]))

    assert changes.opened.tolist() == []
    assert book.phase.tolist() == [Phase.OPEN, Phase.IDLE]


def test_an_open_episode_closes_in_its_time_after_the_clock_was_set_back():
    book = EpisodeBook(policy(close_seconds=20, rest_seconds=30))
    for time_ms, score in ((1_010_000, 1.0), (1_020_000, 0.5)):
        book.update(time_ms, np.array([score]))

    book.shift_time(1_000_000)
    ended = [len(book.update(time_ms, np.array([0.5])).recovered) for time_ms in (30_000, 40_000)]
    at_rest = [len(book.update(time_ms, np.array([1.0])).opened) for time_ms in (50_000, 60_000, 70_000)]

    assert ended == [0, 1]  # low since 20 s
    assert at_rest == [0, 0, 1]


def test_a_rest_ends_in_its_time_after_the_clock_was_set_back():
    book = EpisodeBook(policy(close_seconds=10, rest_seconds=30))
    for time_ms, score in ((1_010_000, 1.0), (1_020_000, 0.5), (1_030_000, 0.5)):
        book.update(time_ms, np.array([score]))

    book.shift_time(1_000_000)

    assert [len(book.update(time_ms, np.array([1.0])).opened) for time_ms in (40_000, 50_000, 60_000)] == [
        0,
        0,
        1,
    ]


def test_an_entity_without_an_episode_does_not_mind_the_clock_being_set_back():
    book = EpisodeBook(policy(close_seconds=20))
    book.update(1_010_000, np.array([0.5, 1.0]))

    book.shift_time(1_000_000)
    changes = book.update(20_000, np.array([1.0, 0.9]))

    assert changes.opened.tolist() == [0]
    assert changes.recovered.tolist() == []


SECONDS = st.sampled_from([0.0, 10.0, 20.0, 35.0])


@settings(deadline=None, max_examples=200)
@given(
    words=st.lists(st.sampled_from(["_", "0.1", "0.8", "1.5"]), max_size=60),
    rules=st.builds(
        alert_policy,
        hold_seconds=SECONDS,
        close_seconds=SECONDS,
        rest_seconds=SECONDS,
        accept_after_seconds=st.just(80.0),
    ),
)
def test_every_over_limit_score_is_part_of_an_episode_or_counted_as_suppressed(words, rules):
    words = [*words, "0.1"]  # so that no hold is left undecided

    happened, suppressed, _ = run(" ".join(words), rules)

    over = [(at + 1) * STEP_SECONDS for at, word in enumerate(words) if word == "1.5"]
    ends = [*sorted(happened["recovered"] + happened["accepted"]), math.inf]
    since = [max(time for time in happened["engaged"] if time <= opened) for opened in happened["opened"]]
    until = [next(end for end in ends if end >= opened) for opened in happened["opened"]]
    n_in_episodes = sum(
        start <= time <= end for start, end in zip(since, until, strict=True) for time in over
    )
    assert len(over) == n_in_episodes + sum(suppressed.values())


def test_a_vetoed_score_opens_nothing_and_is_counted_and_closes_what_is_open():
    book = EpisodeBook(alert_policy(close_seconds=2.0, rest_seconds=0.0))
    yes, no = np.array([True]), np.array([False])

    vetoed = book.update(1000, np.array([5.0]), vetoed=yes)
    opened = book.update(2000, np.array([5.0]), vetoed=no)
    ended = [book.update(time_ms, np.array([5.0]), vetoed=yes) for time_ms in (3000, 4000, 5000)]

    assert (vetoed.opened.tolist(), vetoed.suppressed["policy"]) == ([], 1)
    assert opened.opened.tolist() == [0]
    assert [changes.recovered.tolist() for changes in ended] == [[], [], [0]]


@settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(st.tuples(st.sampled_from(["_", "0.1", "0.8", "1.5"]), st.booleans()), max_size=60),
    rules=st.builds(
        alert_policy,
        hold_seconds=SECONDS,
        close_seconds=SECONDS,
        rest_seconds=SECONDS,
        accept_after_seconds=st.just(80.0),
    ),
)
def test_scores_that_the_policy_vetoes_are_part_of_an_episode_or_counted_too(steps, rules):
    book = EpisodeBook(rules)
    n_suppressed = 0
    engaged, spans = 0, []  # seconds; [from, to] of each episode
    for at, (word, vetoed) in enumerate([*steps, ("0.1", False)]):
        seconds = (at + 1) * STEP_SECONDS
        changes = book.update(seconds * 1000, np.array([score_of(word)]), vetoed=np.array([vetoed]))
        n_suppressed += sum(changes.suppressed.values())
        engaged = seconds if len(changes.engaged) else engaged
        if len(changes.opened):
            spans.append([engaged, math.inf])
        if len(changes.recovered) or len(changes.accepted):
            spans[-1][1] = seconds
    over = [(at + 1) * STEP_SECONDS for at, (word, _) in enumerate(steps) if word == "1.5"]

    n_in_episodes = sum(start <= seconds <= end for start, end in spans for seconds in over)

    assert len(over) == n_in_episodes + n_suppressed


def expire(book, stale_from_seconds, time_seconds):
    return book.expire(np.array([stale_from_seconds * 1000]), time_seconds * 1000)


def test_the_episode_of_an_entity_that_stays_away_ends_when_absence_has_become_normal():
    _, _, book = run("1 _ _", policy(accept_after_seconds=100))

    early = expire(book, stale_from_seconds=50, time_seconds=149)
    late = expire(book, stale_from_seconds=50, time_seconds=150)
    again = expire(book, stale_from_seconds=50, time_seconds=151)

    assert [changes.gone.tolist() for changes in (early, late, again)] == [[], [0], []]
    assert book.is_open.tolist() == [False]


def test_who_comes_back_rests_from_the_time_it_was_gone():
    _, _, book = run("1", policy(accept_after_seconds=100, rest_seconds=30))
    expire(book, stale_from_seconds=50, time_seconds=1000)

    changes = book.update(179_000, np.array([1.0]))
    after = book.update(180_000, np.array([1.0]))

    assert (changes.opened.tolist(), changes.suppressed["rest"]) == ([], 1)  # gone at 150 s
    assert after.opened.tolist() == [0]


def test_a_hold_of_an_entity_that_is_gone_lapses_and_its_scores_are_counted():
    _, _, book = run("1 1", policy(hold_seconds=1000, accept_after_seconds=100))

    changes = expire(book, stale_from_seconds=50, time_seconds=150)

    assert (changes.lapsed.tolist(), changes.gone.tolist(), changes.suppressed) == ([0], [], {"hold": 2})
    assert book.frozen.tolist() == [False]


def test_idle_entities_and_those_without_a_step_yet_are_never_gone():
    _, _, book = run("0.1", policy(accept_after_seconds=100))

    changes = book.expire(np.array([0, 0]), 1_000_000)  # the second has no phase yet

    assert changes.gone.tolist() == changes.lapsed.tolist() == []


def test_an_open_episode_ends_with_a_new_level_and_rests():
    book = EpisodeBook(policy(rest_seconds=20))
    book.update(10_000, np.array([2.0, 0.0]))

    changes = book.update(20_000, np.array([2.0, 0.0]), levelled=np.array([True, True]))

    assert changes.levelled.tolist() == [0]
    assert changes.recovered.tolist() == changes.accepted.tolist() == []
    assert book.phase.tolist() == [Phase.RESTING, Phase.IDLE]
    assert book.update(30_000, np.array([2.0, 0.0])).suppressed["rest"] == 1
    assert book.update(40_000, np.array([2.0, 0.0])).opened.tolist() == [0]


def test_who_goes_back_to_an_earlier_level_rests_instead_of_opening_and_is_counted():
    book = EpisodeBook(policy(rest_seconds=20))

    changes = book.update(10_000, np.array([2.0, 0.5, 2.0]), returning=np.array([True, True, False]))

    assert changes.returned.tolist() == [0]
    assert changes.engaged.tolist() == changes.opened.tolist() == [2]
    assert changes.suppressed["return"] == 1
    assert book.phase.tolist() == [Phase.RESTING, Phase.IDLE, Phase.OPEN]


def test_an_accepted_episode_is_over_and_rests():
    _, _, book = run("2 2", policy(rest_seconds=20.0))
    book.accept(0, 20_000)
    was_open = book.is_open.any()
    resting = book.update(30_000, np.array([2.0]))
    opened = book.update(40_000, np.array([2.0]))

    assert not was_open
    assert (resting.suppressed["rest"], len(resting.opened)) == (1, 0)
    assert opened.opened.tolist() == [0]


def second(book, time_ms, *, since_ms, score=2.0):
    return book.update(time_ms, np.array([score]), second_since_ms=np.array([since_ms]))


def test_a_second_fault_ends_an_open_episode_and_opens_another_after_the_hold():
    _, _, book = run("1 1 1", policy(hold_seconds=10))
    held = second(book, 40_000, since_ms=40_000)

    followed = second(book, 50_000, since_ms=40_000)

    assert not held.followed.size
    assert followed.followed.tolist() == followed.opened.tolist() == [0]
    assert (book.over_since_ms[0], book.opened_ms[0]) == (40_000, 50_000)
    assert book.is_open.tolist() == [True]


def test_where_no_episode_is_open_there_is_no_second_fault():
    _, _, book = run("0 0", policy())

    assert not second(book, 30_000, since_ms=30_000, score=0.5).followed.size
