"""Which labels make an entity that lasts: a deployment outlives its pods, a service its instances. Pure.

A model knows the entities that it was trained with. Where each release brings pods of other names, entities
by pod would begin anew each time: they are judged by what stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.quickstart.sampled import Sampled

__all__ = ["POD_PATTERN", "Entity", "churn", "entity_of", "is_present_last", "workload_of"]

# The alphabet of Kubernetes' generated names (k8s.io/apimachinery, util/rand): no vowels, no 0, 1 or 3.
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
# A pod is called <deployment>-<replica set>-<5>, <daemon set>-<5> or <stateful set>-<number>.
POD_PATTERN = f"(.+?)(?:(?:-{_RANDOM}{{6,10}})?-{_RANDOM}{{5}}|-[0-9]{{1,3}})"

_POD_LABELS = ("pod", "pod_name", "k8s_pod_name", "kubernetes_pod_name")
_NAMESPACE_LABELS = ("namespace", "kubernetes_namespace", "k8s_namespace_name")
_WORKLOAD_LABELS = (
    "deployment",
    "statefulset",
    "daemonset",
    "workload",
    "k8s_deployment_name",
    "k8s_statefulset_name",
    "k8s_daemonset_name",
    "app_kubernetes_io_name",
    "kubernetes_name",
    "app",
)
# The smallest thing first. Where none lasts, a coarser one follows.
_MACHINE_LABELS = ("instance", "host", "hostname", "host_name", "node", "server", "machine")
_SERVICE_LABELS = ("service", "service_name", "application", "app", "container", "job")
_MOST_CHURN = 0.25  # of the values that were there in the first hours, or in the last ones, but not in both
_EDGE_SHARE = 0.15  # of the time: "the first hours" and "the last ones"
_NEARLY_ALL = 0.9  # of the series have a label


@dataclass(frozen=True, slots=True)
class Entity:
    """Labels whose values make an entity, and why.

    `pod_label` is the label that the workload is read from by its pods' names: then `labels` ends with
    `workload`, a label that only the query makes. Empty: the labels are there. `is_coarser`: it holds several
    pods or instances, perhaps others tomorrow.
    """

    labels: tuple[str, ...]
    reason: str
    pod_label: str = ""
    is_coarser: bool = False

    @property
    def hides(self) -> tuple[str, ...]:
        """Labels of what comes and goes within an entity: they tell no channels apart."""
        return (*_POD_LABELS, *_MACHINE_LABELS, "uid", "id", "container_id") if self.is_coarser else ()


def entity_of(series: Sequence[Sampled], wanted: Sequence[str] = ()) -> Entity:
    """Choose the labels of an entity.

    Parameters
    ----------
    wanted : sequence of str
        Labels that a preset names: taken where nearly all series have them and they last.

    Returns
    -------
    Entity
        Without labels where none fits: then each series is an entity.
    """
    if wanted and all(_covers(series, label) for label in wanted) and churn(series, wanted) <= _MOST_CHURN:
        return Entity(tuple(wanted), "")
    namespace = _first(series, _NAMESPACE_LABELS)
    pod = _first(series, _POD_LABELS)
    if pod:
        workload = next(
            (
                label
                for label in _WORKLOAD_LABELS
                if _covers(series, label) and _is_coarser(series, label, pod)
            ),
            "",
        )
        if workload:
            return Entity(
                (*namespace, workload),
                f"{workload} rather than {pod[0]}: it outlives its pods",
                is_coarser=True,
            )
        if _are_generated(_values(series, pod[0])):
            reason = f"the workload, read from the names in {pod[0]}: it outlives its pods"
            return Entity((*namespace, "workload"), reason, pod[0], is_coarser=True)
        if churn(series, pod) <= _MOST_CHURN:
            return Entity((*namespace, *pod), "")
    return _lasting(series, namespace)


def workload_of(labels: Mapping[str, str], entity: Entity) -> Mapping[str, str]:
    """Give a series' labels with the one that the query makes."""
    if not entity.pod_label or entity.pod_label not in labels:
        return labels
    pod = labels[entity.pod_label]
    match = re.fullmatch(POD_PATTERN, pod)
    return {**labels, "workload": match[1] if match else pod}


def is_present_last(member: Sampled) -> bool:
    """Tell whether a series has a value in the last hours."""
    present = (member.values == member.values).nonzero()[0]
    return len(present) > 0 and bool(present[-1] >= len(member.values) - _edge(member))


def churn(series: Iterable[Sampled], labels: Sequence[str]) -> float:
    """Give the share of label values, 0 to 1, that were there at one end of the time but not at the other."""
    first: set[tuple[str, ...]] = set()
    last: set[tuple[str, ...]] = set()
    for member in series:
        value = _value(member.labels, labels)
        present = (member.values == member.values).nonzero()[0]
        if len(present) and present[0] < _edge(member):
            first.add(value)
        if is_present_last(member):
            last.add(value)
    if not first or not last:
        return 0.0  # the time is not that long: nothing is known
    return 1 - len(first & last) / len(first | last)


def _edge(member: Sampled) -> int:
    return max(1, round(_EDGE_SHARE * len(member.values)))


def _lasting(series: Sequence[Sampled], namespace: tuple[str, ...]) -> Entity:
    """Take the finest label that lasts."""
    gone = []
    for label in (*_MACHINE_LABELS, *_SERVICE_LABELS):
        if not _covers(series, label):
            continue
        if churn(series, (label,)) > _MOST_CHURN:
            gone.append(label)
            continue
        reason = f"{label} rather than {gone[0]}, whose values come and go" if gone else ""
        spaces = namespace if label in _SERVICE_LABELS else ()
        return Entity((*spaces, label), reason, is_coarser=label in _SERVICE_LABELS)
    return Entity((), "no label names a host, a workload or a service that lasts: each series by itself")


def _covers(series: Sequence[Sampled], label: str) -> bool:
    return sum(label in member.labels for member in series) >= _NEARLY_ALL * len(series) > 0


def _first(series: Sequence[Sampled], labels: Sequence[str]) -> tuple[str, ...]:
    """Give the first of some labels that nearly all series have; none: nothing."""
    return next(((label,) for label in labels if _covers(series, label)), ())


def _is_coarser(series: Sequence[Sampled], label: str, pod: Sequence[str]) -> bool:
    """Tell whether pods share a label, or have it while they come and go: each pod has a single value."""
    pairs = {(_value(member.labels, pod), member.labels.get(label, "")) for member in series}
    pods = {of_pod for of_pod, _ in pairs}
    return len(pairs) == len(pods) and churn(series, (label,)) <= _MOST_CHURN


def _are_generated(values: set[str]) -> bool:
    return sum(bool(re.fullmatch(POD_PATTERN, value)) for value in values) >= _NEARLY_ALL * len(values) > 0


def _values(series: Iterable[Sampled], label: str) -> set[str]:
    return {member.labels[label] for member in series if label in member.labels}


def _value(labels: Mapping[str, str], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in names)
