"""Line protocol: what producers write, what it says, and what is refused line by line."""

import pytest

from monitor.decode.influx import decode_influx
from monitor.decode.record import Limits

NS = 1_700_000_000_123_456_789
MS = 1_700_000_000_123


def test_every_field_is_a_sample_named_after_measurement_and_field(read):
    got = read(decode_influx, f"cpu,cpu=cpu0,host=web1 usage_idle=97.1,usage_user=1.9 {NS}\n")

    assert got.samples == [
        ('cpu_usage_idle{cpu="cpu0",host="web1"}', MS, 97.1),
        ('cpu_usage_user{cpu="cpu0",host="web1"}', MS, 1.9),
    ]
    assert got.rejected == {}


def test_integers_booleans_and_text_stand_among_the_fields(read):
    got = read(
        decode_influx,
        f'odd i=42i,u=7u,n=-3i,f=-1.5e-3,b=true,F=F,s="text with \\"quotes\\", commas",t=T {NS}',
    )

    assert [(name, value) for name, _, value in got.samples] == [
        ("odd_i", 42.0),
        ("odd_u", 7.0),
        ("odd_n", -3.0),
        ("odd_f", -0.0015),
        ("odd_b", 1.0),
        ("odd_F", 0.0),
        ("odd_t", 1.0),
    ]
    assert got.rejected == {}


@pytest.mark.parametrize("word", ["t", "T", "true", "True", "TRUE"])
def test_truth_is_written_in_five_ways(read, word):
    assert read(decode_influx, f"m ok={word} {NS}").samples == [("m_ok", MS, 1.0)]
    no = {"t": "f", "T": "F", "true": "false", "True": "False", "TRUE": "FALSE"}[word]
    assert read(decode_influx, f"m ok={no} {NS}").samples == [("m_ok", MS, 0.0)]


def test_a_line_of_nothing_but_text_is_read_and_holds_no_sample(read):
    got = read(decode_influx, f'system,host=web1 uptime_format=" 0:20" {NS}\n')

    assert (got.samples, got.rejected, got.series) == ([], {}, [])


def test_what_is_not_finite_is_a_gap(read):
    got = read(decode_influx, f"m a=NaN,b=+Inf,c=-inf,d=1e999,e=1 {NS}")

    assert [value for _, _, value in got.samples] == [None, None, None, None, 1.0]


def test_escapes_are_undone_and_names_kept_as_sent(read):
    got = read(decode_influx, rf"odd\ na\,me,tag\ one=a\,b\=c,uni=café field\ a\=b\,c=1 {NS}")

    (number,) = range(len(got.table))
    assert got.table[number].name == "odd na,me_field a=b,c"
    assert got.table[number].labels == (("tag one", "a,b=c"), ("uni", "café"))


def test_a_backslash_before_anything_else_stands_for_itself(read):
    got = read(decode_influx, rf"m,path=C:\dir\\\,x,q=say\"hi\" v=1 {NS}")

    assert got.table[0].labels == (("path", r"C:\dir\\,x"), ("q", r"say\"hi\""))


def test_quotes_in_a_tag_are_no_quotation_marks(read):
    got = read(decode_influx, f'm,q=sa"y v=1 {NS}\nm,q=no v=2 {NS}')

    assert [value for _, _, value in got.samples] == [1.0, 2.0]


def test_text_may_hold_line_breaks_and_what_looks_like_fields(read):
    got = read(decode_influx, f'm a=1,s="one\ntwo, b=5 x\\\\",c=2 {NS}\nm a=3 {NS}')

    assert [(name, value) for name, _, value in got.samples] == [("m_a", 1.0), ("m_c", 2.0), ("m_a", 3.0)]


@pytest.mark.parametrize(
    ("precision", "time"), [("ns", NS), ("us", NS // 1000), ("ms", MS), ("auto", MS), ("auto", NS)]
)
def test_times_are_in_the_configured_precision(read, precision, time):
    assert read(decode_influx, f"m v=1 {time}", precision=precision).samples == [("m_v", MS, 1.0)]


def test_without_a_time_the_record_s_own_counts(read):
    assert read(decode_influx, "m v=1\n", time_ms=MS).samples == [("m_v", MS, 1.0)]
    assert read(decode_influx, "m v=1\n").rejected == {"bad_time": 1}


def test_several_lines_with_empty_ones_comments_and_windows_line_ends(read):
    got = read(decode_influx, f"# a=1\r\nm v=1 {NS}\r\n\r\n  m  v=2  {NS} \n#x\nm v=3 {NS}")

    assert [value for _, _, value in got.samples] == [1.0, 2.0, 3.0]
    assert got.rejected == {}


def test_one_series_however_its_tags_are_ordered(read):
    got = read(decode_influx, f"m,a=1,b=2 v=1 {NS}\nm,b=2,a=1 v=2 {NS}\nm,b=2,a=1,c= v=3 {NS}")

    assert got.series == ['m_v{a="1",b="2"}']
    assert len(got.samples) == 3


BAD_LINES = [
    ("m", "invalid_line"),
    ("m v", "invalid_line"),
    ("m v=", "invalid_line"),
    ("m v=abc", "invalid_line"),
    ("m v=1ii", "invalid_line"),
    ("m v=1=2", "invalid_line"),
    ("m v=1_000", "invalid_line"),
    ("m v=0x10", "invalid_line"),
    ("m =1", "invalid_line"),
    (",host=web1 v=1", "invalid_line"),
    ("m,host v=1", "invalid_line"),
    ("m,host=a=b v=1", "invalid_line"),
    ("m v=1,", "invalid_line"),
    ("m v=1 noon", "invalid_line"),
    ("m v=1 1 2", "invalid_line"),
    ("m v=1 999999999999999999999999999999", "invalid_line"),
    ('m s="open', "invalid_line"),
    ("m v=1 -1", "bad_time"),
    ("m v=1 18446744073709551615999", "invalid_line"),
    ("m,=x v=1", "bad_label"),
    ("m,a=1,a=2 v=1", "duplicate_label"),
    ("m,a=" + "x" * 20_000 + " v=1", "label_too_long"),
    ("m " + "x" * 20_000 + "=1", "label_too_long"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[line[:20] for line, _ in BAD_LINES])
def test_a_bad_line_is_rejected_alone(read, line, reason):
    got = read(decode_influx, f"good v=1 {NS}\n{line}\ngood v=2 {NS}\n", time_ms=MS)

    assert [value for _, _, value in got.samples] == [1.0, 2.0]
    assert got.rejected == {reason: 1}
    assert got.series == ["good_v"]


def test_a_line_that_is_no_utf_8_costs_itself_only(read):
    got = read(
        decode_influx, f"m v=1 {NS}\nm,host=".encode() + b"\xed\xa0\x80" + f" v=2 {NS}\nm v=3 {NS}".encode()
    )

    assert [value for _, _, value in got.samples] == [1.0, 3.0]
    assert got.rejected == {"invalid_utf8": 1}


def test_what_stands_behind_the_last_good_line_is_counted(read):
    got = read(decode_influx, f"m v=1 {NS}\n\x00\x01garbage")

    assert (len(got.samples), got.rejected) == (1, {"invalid_line": 1})


def test_a_payload_over_the_limit_is_refused(read):
    assert read(decode_influx, f"m v=1 {NS}", limits=Limits(max_record_bytes=10)).rejected == {"too_large": 1}


@pytest.mark.parametrize(
    "payload",
    [
        "\\" * 200_000,
        "m,a=" + "\\x" * 100_000 + " v=1",
        "m" + ",a=b" * 50_000 + " v=1",
        "m v=1" + ",v=1" * 50_000,
        "m v=" + "1" * 200_000,
        'm s="' + '\\"' * 100_000,
        'm s="\n' * 39_999,
        "m v=1 " * 30_000,
        "1" * 200_000 + "=" + "1" * 200_000,
    ],
    ids=["backslashes", "escapes", "tags", "fields", "digits", "quotes", "open texts", "spaces", "a number"],
)
def test_lines_made_to_be_slow_are_read_in_one_pass(read, payload):
    # Each holds some 200 000 characters: a reader that goes back over them would take minutes.
    got = read(decode_influx, payload, time_ms=MS)

    assert sum(got.rejected.values()) >= 1 or got.samples


def test_counters_of_telegraf_s_inputs_are_counters_though_the_format_has_none(read):
    lines = ("net,host=web1 bytes_recv=7i,speed=-1i", "mem total=8i", "queue done=3i,sent_total=4i")

    got = read(decode_influx, *lines, time_ms=MS)

    assert got.kinds == {
        "net_bytes_recv": "counter",
        "net_speed": "gauge",
        "mem_total": "gauge",  # an amount, in spite of its name
        "queue_done": "gauge",
        "queue_sent_total": "counter",
    }
