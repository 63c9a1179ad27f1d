"""collectd's JSON (write_kafka and write_http): an array of value lists.

    [{"values": [42], "dstypes": ["gauge"], "dsnames": ["value"], "time": 1700000000.123, "interval": 10.000,
      "host": "web1", "plugin": "load", "plugin_instance": "", "type": "load", "type_instance": ""}]

A sample is called plugin, `_` type unless it is equal to plugin, `_` dsname unless it is `value`;
its labels are host, plugin_instance and type_instance. `null` is a gap: a rate that is not known yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monitor.decode.batch import Gathered, gather
from monitor.decode.fields import json_of, labels_from, name_from, number_from, shown, time_ms_from
from monitor.decode.record import DEFAULT_LIMITS, Decoded, Limits, Record, RejectedError
from monitor.sample import Kind, SeriesTable

__all__ = ["decode_collectd_json"]

_LABELS = ("host", "plugin_instance", "type_instance")
_PARALLEL = ("values", "dsnames", "dstypes")
_KIND_OF_TOTALS = {"counter": Kind.COUNTER, "derive": Kind.COUNTER, "absolute": Kind.DELTA}  # absolute: it restarts with each reading


def decode_collectd_json(
    records: Sequence[Record], table: SeriesTable, limits: Limits = DEFAULT_LIMITS, *, store_rates: bool = True
) -> Decoded:
    """Read collectd's JSON; a bad value list is rejected alone.

    Parameters
    ----------
    store_rates : bool
        What collectd's own `StoreRates` says for this topic. The bytes do not tell: a rate is
        still called `derive`. True: every value is a level. False: counters and derives are
        running totals, absolutes are increases.
    """
    known: dict[tuple[object, ...], list[int]] = {}  # by a list's identity

    def read(index: int, record: Record, gathered: Gathered) -> None:
        message = json_of(record.value, limits)
        if not isinstance(message, list):
            raise RejectedError("wrong_schema", f"{shown(message)}, expected a list of value lists")
        for one in message:
            try:
                take(one, gathered)
            except RejectedError as error:
                gathered.reject(index, error)

    def take(one: object, gathered: Gathered) -> None:
        if not isinstance(one, dict):
            raise RejectedError("wrong_schema", f"a value list is {shown(one)}, expected an object")
        values, names, types = (one.get(key) for key in _PARALLEL)
        if not isinstance(values, list) or not isinstance(names, list) or not isinstance(types, list):
            raise RejectedError("wrong_schema", "values, dsnames and dstypes, expected a list each")
        if not len(values) == len(names) == len(types):
            raise RejectedError("wrong_schema", f"{len(values)} values with {len(names)} dsnames and {len(types)} dstypes")
        time_ms = time_ms_from(one.get("time"), "s")
        found = [number_from(value) for value in values]
        for number, value in zip(numbers_of(one, names, types), found, strict=True):
            if value is not None:
                gathered.add(number, time_ms, value)

    def numbers_of(one: dict[str, Any], names: list[Any], types: list[Any]) -> list[int]:
        key = (one.get("host"), one.get("plugin"), one.get("plugin_instance"), one.get("type"), one.get("type_instance"), *names, *types)
        try:
            numbers = known.get(key)
        except TypeError as error:
            raise RejectedError("wrong_schema", "a part of the identity is a list or an object, expected text") from error
        if numbers is None:
            labels = labels_from(((name, one.get(name, "")) for name in _LABELS), limits)
            plugin, type_name = name_from(one.get("plugin"), limits), name_from(one.get("type"), limits)
            stem = plugin if type_name == plugin else f"{plugin}_{type_name}"
            pairs = [(_name(stem, name, limits), _kind(kind, store_rates)) for name, kind in zip(names, types, strict=True)]
            numbers = known[key] = [table.intern(name, labels, kind) for name, kind in pairs]
        return numbers

    return gather(records, read)


def _name(stem: str, dsname: object, limits: Limits) -> str:
    name = name_from(dsname, limits)
    return stem if name == "value" else name_from(f"{stem}_{name}", limits)


def _kind(dstype: object, store_rates: bool) -> Kind:
    return Kind.GAUGE if store_rates else _KIND_OF_TOTALS.get(str(dstype), Kind.GAUGE)
