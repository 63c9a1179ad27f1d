"""collectd's JSON (write_kafka and write_http): an array of value lists.

    [{"values": [42], "dstypes": ["gauge"], "dsnames": ["value"], "time": 1700000000.123, "interval": 10.000,
      "host": "web1", "plugin": "load", "plugin_instance": "", "type": "load", "type_instance": ""}]

A sample is named after the plugin, then `_` and the type unless it equals the plugin, then `_` and the
dsname unless it is `value`. Its labels are host, plugin_instance and type_instance. `null` is a gap: a rate
that is not known yet.
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
_IDENTITY = ("host", "plugin", "plugin_instance", "type", "type_instance")
# `absolute` is an increase: the value starts again at zero with each reading.
_KIND_OF_TOTALS = {"counter": Kind.COUNTER, "derive": Kind.COUNTER, "absolute": Kind.DELTA}


def decode_collectd_json(
    records: Sequence[Record],
    table: SeriesTable,
    limits: Limits = DEFAULT_LIMITS,
    *,
    store_rates: bool = True,
) -> Decoded:
    """Read collectd's JSON; a bad value list is rejected alone.

    Parameters
    ----------
    store_rates : bool
        The value of collectd's own `StoreRates` for this topic. The payload does not show it: a rate is still
        called `derive`. True: every value is a level. False: counters and derives are running totals,
        absolutes are increases.
    """
    known: dict[tuple[object, ...], list[int]] = {}  # by a list's identity

    def read(index: int, record: Record, gathered: Gathered) -> None:
        message = json_of(record.value, limits)
        if not isinstance(message, list):
            raise RejectedError("wrong_schema", f"{shown(message)}, expected a list of value lists")
        for value_list in message:
            try:
                read_value_list(value_list, gathered)
            except RejectedError as error:
                gathered.reject(index, error)

    def read_value_list(value_list: object, gathered: Gathered) -> None:
        if not isinstance(value_list, dict):
            raise RejectedError("wrong_schema", f"a value list is {shown(value_list)}, expected an object")
        raw_values = value_list.get("values")
        names = value_list.get("dsnames")
        types = value_list.get("dstypes")
        if not isinstance(raw_values, list) or not isinstance(names, list) or not isinstance(types, list):
            raise RejectedError("wrong_schema", "values, dsnames and dstypes, expected a list each")
        if not len(raw_values) == len(names) == len(types):
            raise RejectedError(
                "wrong_schema", f"{len(raw_values)} values with {len(names)} dsnames and {len(types)} dstypes"
            )
        time_ms = time_ms_from(value_list.get("time"), "s")
        values = [number_from(value) for value in raw_values]
        for number, value in zip(numbers_of(value_list, names, types), values, strict=True):
            if value is not None:
                gathered.add(number, time_ms, value)

    def numbers_of(value_list: dict[str, Any], names: list[Any], types: list[Any]) -> list[int]:
        key = (*map(value_list.get, _IDENTITY), *names, *types)
        try:
            numbers = known.get(key)
        except TypeError as error:
            raise RejectedError(
                "wrong_schema", "a part of the identity is a list or an object, expected text"
            ) from error
        if numbers is None:
            labels = labels_from(((name, value_list.get(name, "")) for name in _LABELS), limits)
            plugin = name_from(value_list.get("plugin"), limits)
            type_name = name_from(value_list.get("type"), limits)
            stem = plugin if type_name == plugin else f"{plugin}_{type_name}"
            pairs = [
                (_name(stem, name, limits), _kind(kind, store_rates))
                for name, kind in zip(names, types, strict=True)
            ]
            numbers = known[key] = [table.intern(name, labels, kind) for name, kind in pairs]
        return numbers

    return gather(records, read)


def _name(stem: str, dsname: object, limits: Limits) -> str:
    name = name_from(dsname, limits)
    return stem if name == "value" else name_from(f"{stem}_{name}", limits)


def _kind(dstype: object, store_rates: bool) -> Kind:
    return Kind.GAUGE if store_rates else _KIND_OF_TOTALS.get(str(dstype), Kind.GAUGE)
