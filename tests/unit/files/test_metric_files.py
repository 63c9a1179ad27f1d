"""Metric files as samples: tables, dumped records, and finding them."""

import base64
import gzip
import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.decode.formats import FormatSettings
from monitor.decode.topic_decoders import TopicDecoders
from monitor.errors import SourceError
from monitor.files.metric_files import FileLayout, find_files, read_files
from monitor.sample import SeriesTable

WIDE = "timestamp,cpu,queue\n1000,0.5,3\n2000,0.75,4\n"
AS_READ = {
    'cpu{entity="web1"}': [(1000, 0.5), (2000, 0.75)],
    'queue{entity="web1"}': [(1000, 3.0), (2000, 4.0)],
}


def write(file, text):
    """Write a text file, compressed where its name says so."""
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return file


def read(*files, **layout):
    """Read files; give each series' samples as `(time_ms, value)`, and the counts of what was bad.

    The times of these tests are small numbers of ms, which are no times of today.
    """
    table = SeriesTable()
    recorded = read_files(files, FileLayout(**{"time_unit": "ms", **layout}), table)
    columns = recorded.columns
    series = {}
    for number, time_ms, value in zip(
        columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True
    ):
        series.setdefault(str(table[number]), []).append((time_ms, value))
    return series, dict(recorded.n_bad)


def times_of(series):
    """Give the times of the only series."""
    (points,) = series.values()
    return [time_ms for time_ms, _ in points]


# Wide files


@pytest.mark.parametrize("name", ["web1.csv", "web1.csv.gz"])
def test_a_wide_file_has_a_series_a_column_and_its_stem_as_entity(tmp_path, name):
    assert read(write(tmp_path / name, WIDE)) == (AS_READ, {})


def test_a_parquet_file_reads_like_a_csv_file(tmp_path):
    pd.DataFrame({"timestamp": [1000, 2000], "cpu": [0.5, 0.75], "queue": [3, 4]}).to_parquet(
        tmp_path / "web1.parquet"
    )

    assert read(tmp_path / "web1.parquet") == (AS_READ, {})


def test_a_dot_in_a_files_name_stays_in_its_stem(tmp_path):
    series, _ = read(write(tmp_path / "machine-1.2.csv.gz", "timestamp,cpu\n1000,1\n"))

    assert list(series) == ['cpu{entity="machine-1.2"}']


def test_columns_that_are_excluded_or_hold_no_numbers_never_become_metrics(tmp_path):
    text = "timestamp,cpu,label,label_kind,split,comment,labelled\n1000,1,0,2,3,fine,7\n2000,2,1,2,3,bad,8\n"

    series, _ = read(write(tmp_path / "web1.csv", text))

    assert list(series) == ['cpu{entity="web1"}', 'labelled{entity="web1"}']


def test_what_is_excluded_can_be_chosen(tmp_path):
    series, _ = read(
        write(tmp_path / "web1.csv", "timestamp,cpu,label,is_fault\n1000,1,2,3\n"), exclude=("is_*",)
    )

    assert list(series) == ['cpu{entity="web1"}', 'label{entity="web1"}']


def test_an_empty_cell_is_a_gap(tmp_path):
    series, n_bad = read(write(tmp_path / "web1.csv", "timestamp,cpu,queue\n1000,1,\n2000,2,5\n"))

    values = [value for _, value in series['queue{entity="web1"}']]
    assert math.isnan(values[0])
    assert values[1:] == [5.0]
    assert n_bad == {}


def test_a_stray_word_among_numbers_is_a_gap_that_is_counted_and_the_numbers_stay(tmp_path):
    series, n_bad = read(write(tmp_path / "web1.csv", "timestamp,cpu\n1000,1\n2000,down\n3000,3\n4000,4\n"))

    (points,) = series.values()
    assert [time_ms for time_ms, _ in points] == [1000, 2000, 3000, 4000]
    np.testing.assert_array_equal([value for _, value in points], [1, np.nan, 3, 4])
    assert n_bad == {"bad_value": 1}


def test_a_column_of_more_words_than_numbers_is_no_metric(tmp_path):
    series, n_bad = read(
        write(tmp_path / "web1.csv", "timestamp,cpu,state\n1000,1,up\n2000,2,down\n3000,3,7\n")
    )

    assert list(series) == ['cpu{entity="web1"}']
    assert n_bad == {}


def test_two_columns_of_one_name_are_refused(tmp_path):
    pa_table = pa.table(
        [pa.array([1000]), pa.array([0.5]), pa.array([0.75])], names=["timestamp", "cpu", "cpu"]
    )
    pq.write_table(pa_table, tmp_path / "web1.parquet")

    with pytest.raises(SourceError, match=r"web1\.parquet"):
        read(tmp_path / "web1.parquet")


def test_the_time_column_may_have_another_name(tmp_path):
    series, _ = read(write(tmp_path / "web1.csv", "when,cpu\n1000,1\n"), time_column="when")

    assert series == {'cpu{entity="web1"}': [(1000, 1.0)]}


def test_a_file_without_a_time_column_says_what_it_has(tmp_path):
    file = write(tmp_path / "web1.csv", "when,cpu\n1000,1\n")

    with pytest.raises(
        SourceError,
        match=r'web1\.csv has no column "timestamp", nor another that is called like a time\. '
        r"It has: when, cpu\. Set source\.replay\.time_column",
    ):
        read(file)


def test_a_file_without_numbers_says_what_it_has(tmp_path):
    file = write(tmp_path / "web1.csv", "timestamp,comment\n1000,fine\n")

    with pytest.raises(SourceError, match=r"no numeric column beside the time\. It has: timestamp, comment"):
        read(file)


# Long files


def test_a_long_file_has_a_series_for_each_name_and_set_of_labels(tmp_path):
    text = (
        "time,name,value,host,mode\n"
        "1000,cpu_seconds_total,5,web1,user\n"
        "1000,cpu_seconds_total,6,web1,idle\n"
        "1000,load,0.5,web1,\n"
        "2000,cpu_seconds_total,7,web1,user\n"
    )

    series, _ = read(write(tmp_path / "any.csv", text))

    assert series == {
        'cpu_seconds_total{host="web1",mode="user"}': [(1000, 5.0), (2000, 7.0)],
        'cpu_seconds_total{host="web1",mode="idle"}': [(1000, 6.0)],
        'load{host="web1"}': [(1000, 0.5)],
    }


def test_a_label_of_a_long_file_is_text_even_where_it_looks_like_a_number(tmp_path):
    series, _ = read(
        write(
            tmp_path / "any.csv",
            "time,name,value,shard,rack\n1000,load,1,1,007\n1000,load,2,2,008\n1000,load,3,,009\n",
        )
    )

    assert list(series) == ['load{rack="007",shard="1"}', 'load{rack="008",shard="2"}', 'load{rack="009"}']


def test_a_label_of_a_long_file_may_be_called_none(tmp_path):
    series, _ = read(write(tmp_path / "any.csv", "time,name,value,state\n1000,pods,1,None\n1000,pods,2,NA\n"))

    assert list(series) == ['pods{state="None"}', 'pods{state="NA"}']


def test_a_word_for_a_value_in_a_long_file_is_a_gap(tmp_path):
    series, _ = read(write(tmp_path / "any.csv", "time,name,value\n1000,load,high\n2000,load,2\n"))

    assert math.isnan(series["load"][0][1])
    assert series["load"][1] == (2000, 2.0)


# Times


@pytest.mark.parametrize(
    ("unit", "written", "time_ms"),
    [
        ("ms", "1704067200250", 1_704_067_200_250),
        ("s", "1704067200.25", 1_704_067_200_250),
        ("s", "1704067200", 1_704_067_200_000),
        ("iso", "2024-01-01T00:00:00.250Z", 1_704_067_200_250),
        ("iso", "2024-01-01T01:00:00.250+01:00", 1_704_067_200_250),
        ("iso", "2024-01-01T00:00:00.250", 1_704_067_200_250),  # a time without a zone is UTC
        ("iso", "2024-01-01 00:00:00", 1_704_067_200_000),
        ("iso", "2024-01-01", 1_704_067_200_000),
    ],
)
def test_times_are_read_in_their_unit(tmp_path, unit, written, time_ms):
    series, _ = read(write(tmp_path / "web1.csv", f"timestamp,cpu\n{written},1\n"), time_unit=unit)

    assert times_of(series) == [time_ms]


def test_times_with_and_without_a_zone_may_stand_in_one_file(tmp_path):
    text = "timestamp,cpu\n2024-01-01T00:00:00,1\n2024-01-01T02:00:01+02:00,2\n"

    series, n_bad = read(write(tmp_path / "web1.csv", text), time_unit="iso")

    assert times_of(series) == [1_704_067_200_000, 1_704_067_201_000]
    assert n_bad == {}


@pytest.mark.parametrize(
    ("unit", "good"),
    [("ms", ("1000", "3000")), ("s", ("1", "3")), ("iso", ("1970-01-01T00:00:01", "1970-01-01T00:00:03"))],
)
def test_rows_without_a_time_are_counted_and_passed_over(tmp_path, unit, good):
    first, last = good

    series, n_bad = read(
        write(tmp_path / "web1.csv", f"timestamp,cpu\n{first},1\nnoon,2\n,3\n{last},4\n"), time_unit=unit
    )

    assert series == {'cpu{entity="web1"}': [(1000, 1.0), (3000, 4.0)]}
    assert n_bad == {"bad_time": 2}


@pytest.mark.parametrize(
    ("unit", "written"),
    [("ms", "2024-01-01T00:00:00"), ("s", "noon"), ("iso", "yesterday"), ("ms", "1704067200000000000")],
)
def test_a_file_without_a_single_good_time_names_the_setting_to_look_at(tmp_path, unit, written):
    file = write(tmp_path / "web1.csv", f"timestamp,cpu\n{written},1\n")

    with pytest.raises(
        SourceError, match=rf'no time can be read as "{unit}" .*{written[:8]}.*source\.replay\.time_unit'
    ):
        read(file, time_unit=unit)


@pytest.mark.parametrize(
    ("written", "shown"), [("17000000000000000", "17000000000000000"), ("1e30", r"1e30")]
)
def test_a_time_that_cannot_be_read_is_shown_as_it_is_written(tmp_path, written, shown):
    file = write(tmp_path / "web1.csv", f"timestamp,cpu\n{written},1\n")

    with pytest.raises(SourceError, match=rf"\(the first is '{shown}'\)"):
        read(file, time_unit="ms")


def test_unsorted_files_are_put_in_order_and_merged(tmp_path):
    first = write(tmp_path / "web1.csv", "timestamp,cpu\n3000,3\n1000,1\n")
    second = write(tmp_path / "web2.csv", "timestamp,cpu\n2000,2\n4000,4\n")
    table = SeriesTable()

    columns = read_files([first, second], FileLayout(time_unit="ms"), table).columns

    assert columns.time_ms.tolist() == [1000, 2000, 3000, 4000]
    assert columns.value.tolist() == [1.0, 2.0, 3.0, 4.0]


# Choosing rows


def test_where_takes_only_the_rows_with_its_values(tmp_path):
    text = "timestamp,cpu,split,run\n1000,1,train,1\n2000,2,test,1\n3000,3,test,2\n4000,4,test,1\n"

    series, _ = read(
        write(tmp_path / "web1.csv", text), where={"split": "test", "run": "1"}, exclude=("split", "run")
    )

    assert times_of(series) == [2000, 4000]


def test_where_works_on_the_labels_of_a_long_file(tmp_path):
    text = "time,name,value,host\n1000,load,1,web1\n1000,load,2,web2\n"

    series, _ = read(write(tmp_path / "any.csv", text), where={"host": "web2"})

    assert series == {'load{host="web2"}': [(1000, 2.0)]}


def test_where_on_a_column_that_is_not_there_says_what_is(tmp_path):
    file = write(tmp_path / "web1.csv", WIDE)

    with pytest.raises(
        SourceError, match=r'has no column "split", which `where` asks for\. It has: timestamp, cpu, queue'
    ):
        read(file, where={"split": "test"})


def ten_seconds(folder, name="web1", start=0):
    rows = "".join(f"{start + 1000 * k},{k}\n" for k in range(11))
    return write(folder / f"{name}.csv", f"timestamp,cpu\n{rows}")


def test_the_start_belongs_to_what_is_taken_and_the_end_does_not(tmp_path):
    series, _ = read(ten_seconds(tmp_path), start_ms=3000, end_ms=6000)

    assert times_of(series) == [3000, 4000, 5000]


def test_a_first_share_counts_from_each_files_own_first_sample(tmp_path):
    series, _ = read(
        ten_seconds(tmp_path, "early"), ten_seconds(tmp_path, "late", start=100_000), first_share=0.5
    )

    assert [time_ms for time_ms, _ in series['cpu{entity="early"}']] == [0, 1000, 2000, 3000, 4000]
    assert [time_ms for time_ms, _ in series['cpu{entity="late"}']] == [
        100_000,
        101_000,
        102_000,
        103_000,
        104_000,
    ]


def test_the_whole_share_takes_the_last_sample_too(tmp_path):
    series, _ = read(ten_seconds(tmp_path), first_share=1.0)

    assert len(times_of(series)) == 11


def test_where_that_matches_no_row_at_all_is_an_error_that_shows_what_there_is(tmp_path):
    file = write(tmp_path / "web1.csv", "timestamp,cpu,split\n1000,1,train\n2000,2,test\n3000,3,test\n")

    with pytest.raises(SourceError) as caught:
        read(file, where={"split": "tset"})

    assert str(caught.value) == (
        f"nothing to replay: no sample is left of {file}: "
        f'{file} has no row with split = "tset"; it has test, train'
    )


def test_where_that_matches_nothing_in_one_file_of_several_is_said_and_the_others_are_taken(tmp_path, caplog):
    first = write(tmp_path / "web1.csv", "timestamp,cpu,split\n1000,1,train\n")
    second = write(tmp_path / "web2.csv", "timestamp,cpu,split\n1000,2,test\n")

    series, _ = read(first, second, where={"split": "test"})

    assert series == {'cpu{entity="web2"}': [(1000, 2.0)]}
    assert [record.getMessage() for record in caplog.records] == [
        f'file gave no sample: {first} has no row with split = "test"; it has train'
    ]


def test_of_many_values_of_a_column_a_few_are_shown(tmp_path):
    rows = "".join(f"1000,1,host{k}\n" for k in range(8))
    file = write(tmp_path / "web1.csv", f"timestamp,cpu,host\n{rows}")

    with pytest.raises(SourceError, match=r"it has host0, host1, host2, host3, host4, and 3 more$"):
        read(file, where={"host": "web1"})


def test_a_span_without_a_sample_is_an_error_that_tells_the_files_own(tmp_path):
    with pytest.raises(
        SourceError,
        match=r"11 samples read lie between 1970-01-01T00:00:00\.000Z and 1970-01-01T00:00:10\.000Z, outside",
    ):
        read(ten_seconds(tmp_path), start_ms=60_000)


@pytest.mark.parametrize(
    ("name", "text"), [("web1.csv", "timestamp,cpu\n"), ("any.csv", "time,name,value\n"), ("any.jsonl", "\n")]
)
def test_files_without_a_row_leave_nothing_to_replay(tmp_path, name, text):
    with pytest.raises(
        SourceError, match=r"nothing to replay: no sample is left of .*(has no rows|there are no rows)"
    ):
        read(write(tmp_path / name, text))


def test_messages_none_of_which_can_be_read_are_an_error_that_counts_them(tmp_path):
    with pytest.raises(SourceError, match=r"2 could not be read \(invalid_json\)"):
        read(write(tmp_path / "any.jsonl", "{torn\nalso torn}\n"))


# Messages


def test_a_file_of_messages_holds_batches_and_samples_and_counts_what_is_neither(tmp_path):
    lines = [
        '{"labels": {"host": "web1"}, "time_ms": [1000, 2000], "metrics": {"load": [1, 2]}}',
        "",
        '{"name": "load", "labels": {"host": "web1"}, "time": 3, "value": 3}',
        '{"name": "load", "labels": {"host": "web1"}, "time": null, "value": 4}',
        "{torn",
        "also torn}",
    ]
    for name in ("any.jsonl", "any.jsonl.gz"):
        series, n_bad = read(write(tmp_path / name, "\n".join(lines) + "\n"))

        assert series == {'load{host="web1"}': [(1000, 1.0), (2000, 2.0), (3000, 3.0)]}
        assert n_bad == {"bad_time": 1, "invalid_json": 2}


def test_a_sample_with_a_label_called_metrics_is_still_a_sample(tmp_path):
    file = write(
        tmp_path / "any.jsonl",
        '{"name": "load", "labels": {"kind": "metrics", "metrics": "all"}, "time": 3, "value": 3}\n',
    )

    series, n_bad = read(file)

    assert series == {'load{kind="metrics",metrics="all"}': [(3000, 3.0)]}
    assert n_bad == {}


# Dumped topics


def record(payload, offset=0, topic="metrics"):
    """Write a record as a line of a dumped topic."""
    value = base64.b64encode(payload).decode()
    return json.dumps(
        {
            "topic": topic,
            "partition": 0,
            "offset": offset,
            "timestamp": 5000,
            "key": None,
            "value": value,
            "headers": [],
        }
    )


@pytest.mark.parametrize("name", ["dump.jsonl", "dump.jsonl.gz"])
def test_a_dumped_topic_is_read_in_its_wire_format_and_what_is_bad_is_counted(tmp_path, name):
    lines = [
        record(b"cpu,host=a idle=1 2000000000\ncpu,host=a idle=2 1000000000\n"),
        record(b"no line", 1),
        record(b"load 7 3\n", topic="paths"),
        record(b"cpu,host=a idle=3", 2),
    ]

    series, n_bad = read(write(tmp_path / name, "\n".join(lines) + "\n"))

    assert series == {'cpu_idle{host="a"}': [(1000, 2.0), (2000, 1.0), (5000, 3.0)], "load": [(3000, 7.0)]}
    assert n_bad == {"invalid_line": 1}


def test_a_topics_format_may_be_set(tmp_path):
    decoders = TopicDecoders(FormatSettings(), {"metrics": "graphite"}, "influx")

    series, n_bad = read(
        write(tmp_path / "dump.jsonl", record(b"load 7 3") + "\n" + record(b"load 7 3", topic="other")),
        decoder_of=decoders.of,
    )

    assert (series, n_bad) == ({"load": [(3000, 7.0)]}, {"invalid_line": 1})


def test_a_torn_dump_says_which_line_to_take_out(tmp_path):
    file = write(
        tmp_path / "dump.jsonl",
        f"{record(b'load 7 3')}\n{record(b'load 8 4')}\n{record(b'load 9 5')[:-30]}\n",
    )

    with pytest.raises(
        SourceError, match=r"dump\.jsonl: line 3 is no record, but the 2 before it are\. .* remove that line"
    ):
        read(file)


# What cannot be read

TORN_GZIP = gzip.compress(WIDE.encode())[:-12]
BROKEN_GZIP = gzip.compress(b"")[:10] + b"\xff" * 40  # a good header, and no block of data that could be


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("web1.csv", b""),
        ("web1.csv", b"timestamp,cpu\n1000,\xff\xfe\n"),
        ("web1.csv.gz", b"timestamp,cpu\n1000,1\n"),
        ("web1.csv.gz", TORN_GZIP),
        ("web1.csv.gz", BROKEN_GZIP),
        ("web1.parquet", b"PAR1 but not really"),
        ("web1.parquet", b""),
        ("any.jsonl.gz", b'{"name": "load"}\n'),
        ("any.jsonl.gz", TORN_GZIP),
        ("any.jsonl.gz", BROKEN_GZIP),
    ],
    ids=[
        "empty", "no text", "not compressed", "torn", "broken", "no parquet", "empty parquet",
        "messages not compressed", "messages torn", "messages broken",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_one_line_with_its_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(SourceError) as caught:
        read(tmp_path / name)

    assert str(caught.value).startswith(f"cannot read {tmp_path / name}: ")
    assert "\n" not in str(caught.value)


# Finding files


def test_files_are_found_in_folders_and_by_patterns_each_once_in_order(tmp_path):
    (tmp_path / "deep").mkdir()
    b, a, deep = (write(tmp_path / name, WIDE) for name in ("b.csv", "a.csv.gz", "deep/c.parquet"))
    write(tmp_path / "notes.txt", "nothing")

    assert find_files([str(tmp_path)]).files == (a, b, deep)
    assert find_files([str(tmp_path / "*.csv*"), str(b), str(tmp_path)]).files == (a, b, deep)


@pytest.mark.parametrize("name", ["nowhere.csv", "*.parquet", "notes.doc"])
def test_a_path_that_names_nothing_to_replay_is_an_error_that_says_which(tmp_path, name):
    write(tmp_path / "notes.doc", "nothing")

    with pytest.raises(SourceError, match=r"nothing to replay at .*expected \.parquet, \.csv"):
        find_files([str(tmp_path / name)])


def test_no_path_at_all_is_an_error_that_names_the_setting():
    with pytest.raises(SourceError, match=r"source\.replay\.paths"):
        find_files([])


def test_only_what_a_folder_holds_counts_as_not_named(tmp_path):
    a, b = (write(tmp_path / name, WIDE) for name in ("a.csv", "b.csv"))

    assert find_files([str(tmp_path)]).in_folder == {a, b}
    assert find_files([str(tmp_path), str(a)]).in_folder == {b}
    assert find_files([str(tmp_path / "*.csv")]).in_folder == set()


def test_a_file_whose_name_looks_like_a_pattern_is_found_by_its_name(tmp_path):
    file = write(tmp_path / "web[1].csv", WIDE)

    assert find_files([str(file)]).files == (file,)


def read_folder(folder, **layout):
    files = find_files([str(folder)])
    table = SeriesTable()
    settings = FileLayout(**{"time_unit": "ms", **layout})
    recorded = read_files(files.files, settings, table, in_folder=files.in_folder)
    return [str(table[number]) for number in range(len(table))], recorded


def test_a_recordings_folder_is_usable_as_it_is_and_its_labels_are_passed_over(tmp_path, caplog):
    write(tmp_path / "web1.csv", WIDE)
    labels = write(tmp_path / "labels.csv", "kind,start_ms,end_ms\ncpu_hog,1000,2000\n")

    series, recorded = read_folder(tmp_path)

    assert series == list(AS_READ)
    assert len(recorded.columns) == 4
    assert [record.getMessage() for record in caplog.records] == [
        f'file gave no sample: {labels} has no column "timestamp", nor another that is called like a time. '
        "It has: kind, start_ms, end_ms. "
        "Set source.replay.time_column, or give a long file with the columns time, name, value."
    ]


def test_the_labels_are_an_error_where_they_are_named(tmp_path):
    metrics = write(tmp_path / "web1.csv", WIDE)
    labels = write(tmp_path / "labels.csv", "kind,start_ms,end_ms\ncpu_hog,1000,2000\n")

    with pytest.raises(SourceError, match=r'labels\.csv has no column "timestamp"'):
        read(metrics, labels)


def test_a_folder_in_which_no_table_has_the_time_column_is_an_error_that_names_the_setting(tmp_path):
    for name in ("web1.csv", "web2.csv"):
        write(tmp_path / name, "when,cpu\n1000,1\n")

    with pytest.raises(
        SourceError, match=r"nothing to replay: .*web1\.csv has no column .*Set source\.replay\.time_column"
    ):
        read_folder(tmp_path)


def test_a_damaged_file_in_a_folder_is_never_passed_over(tmp_path):
    write(tmp_path / "web1.csv", WIDE)
    (tmp_path / "web2.parquet").write_bytes(b"PAR1 but not really")

    with pytest.raises(SourceError, match=r"cannot read .*web2\.parquet"):
        read_folder(tmp_path)
