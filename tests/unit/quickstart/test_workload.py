import re

import pytest
from sampled_series import sampled

from monitor.quickstart.workload import POD_PATTERN, churn, entity_of, is_present_last, workload_of

ALWAYS, BEFORE, AFTER = "1 1 1 1 1 1", "1 1 1 _ _ _", "_ _ _ 1 1 1"


def release(*, deployment=None):
    """Give the series of a deployment whose pods were all replaced, and of a stateful set."""
    more = {"deployment": deployment} if deployment else {}
    return [
        sampled(BEFORE, namespace="shop", pod="web-7d4b9c6f5d-x2x4z", **more),
        sampled(BEFORE, namespace="shop", pod="web-7d4b9c6f5d-9kq7m", **more),
        sampled(AFTER, namespace="shop", pod="web-5f6d8b7c9c-bb4lt", **more),
        sampled(AFTER, namespace="shop", pod="web-5f6d8b7c9c-vvw2k", **more),
    ]


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        ("web-7d4b9c6f5d-x2x4z", "web"),
        ("my-web-shop-7d4b9c6f5d-x2x4z", "my-web-shop"),
        ("node-exporter-x2x4z", "node-exporter"),
        ("postgres-0", "postgres"),
    ],
)
def test_a_generated_name_of_a_pod_holds_its_workload(pod, workload):
    assert re.fullmatch(POD_PATTERN, pod)[1] == workload


def test_a_name_that_nobody_generated_is_left_as_it_is():
    assert re.fullmatch(POD_PATTERN, "redis-cache") is None  # an "a" is never generated


def test_a_deployment_is_taken_before_its_pods():
    entity = entity_of(release(deployment="web"))

    assert entity.labels == ("namespace", "deployment")
    assert entity.is_coarser
    assert "outlives its pods" in entity.reason


def test_without_such_a_label_the_workload_is_read_from_the_names_of_pods():
    series = release()
    entity = entity_of(series)

    assert (entity.labels, entity.pod_label) == (("namespace", "workload"), "pod")
    assert {workload_of(member.labels, entity)["workload"] for member in series} == {"web"}


def test_pods_of_given_names_that_last_are_entities():
    assert entity_of([sampled(ALWAYS, pod="alpha"), sampled(ALWAYS, pod="beta")]).labels == ("pod",)


def test_instances_that_last_are_entities():
    entity = entity_of([sampled(ALWAYS, instance="a:1", job="x"), sampled(ALWAYS, instance="b:1", job="x")])

    assert entity.labels == ("instance",)
    assert not entity.is_coarser


def test_instances_that_come_and_go_are_judged_by_their_service():
    series = [
        sampled(BEFORE, instance="10.0.0.1:80", service="api"),
        sampled(AFTER, instance="10.0.0.2:80", service="api"),
    ]

    entity = entity_of(series)

    assert entity.labels == ("service",)
    assert entity.reason == "service rather than instance, whose values come and go"


def test_the_labels_of_a_preset_are_taken_where_they_last():
    lasting = [sampled(ALWAYS, instance="db:1", datname="shop")]

    assert entity_of(lasting, ["instance", "datname"]).labels == ("instance", "datname")
    assert entity_of(release(), ["pod"]).labels == ("namespace", "workload")


def test_series_that_nothing_names_are_entities_themselves():
    assert entity_of([sampled(ALWAYS, colour="red")]).labels == ()


def test_churn_is_the_share_of_values_at_one_end_only():
    half = [sampled(ALWAYS, pod="a"), sampled(BEFORE, pod="b")]

    assert churn(half, ["pod"]) == 0.5
    assert churn([sampled(ALWAYS, pod="a")], ["pod"]) == 0
    assert churn(release(), ["pod"]) == 1
    assert churn([sampled(AFTER, pod="a")], ["pod"]) == 0  # it has only begun: nothing is known


def test_a_series_that_ended_is_not_present():
    assert is_present_last(sampled(AFTER))
    assert not is_present_last(sampled(BEFORE))
