from monitor.quickstart.promql import rate_name, selector, watch_query


def test_names_are_selected_literally_with_what_the_matchers_leave():
    assert selector(["up"], "") == '{__name__="up"}'
    assert selector(["a", "b:c"], 'job="x"') == '{__name__=~"a|b:c",job="x"}'


def test_a_counter_is_summed_as_a_rate_and_named_so_that_it_is_no_counter():
    query = watch_query([], ["reqs_total"], labels=["job"], match="", rate_seconds=60)

    assert rate_name("reqs_total") == "reqs_rate"
    assert query == (
        'label_replace(sum by (job) (rate({__name__="reqs_total"}[60s])), "__name__", "reqs_rate", "", "")'
    )


def test_levels_keep_their_names_and_shares_are_averaged():
    query = watch_query(["load", "used_percent"], [], labels=["host", "disk"], match="", rate_seconds=60)

    assert query.split("\nor on (__name__) ") == [
        'sum by (__name__, host, disk) ({__name__="load"})',
        'avg by (__name__, host, disk) ({__name__="used_percent"})',
    ]


def test_a_workload_is_made_from_the_names_of_pods():
    query = watch_query(["m"], [], labels=["workload"], match="", rate_seconds=60, pod_label="pod")

    assert query.count('"workload", "$1", "pod"') == 2
    assert query.startswith("sum by (__name__, workload) (label_replace(label_replace(")
