"""librdkafka's mock cluster in its own process: the real wire protocol, no Java, faults by its C interface.

    python mock_cluster.py BROKERS

prints the address of its brokers, and then answers each line on stdin with `ok` or `error NUMBER`:

    topic NAME PARTITIONS          down BROKER           errors API CODE [CODE ...]
    delete TOPIC PARTITION BEFORE  up BROKER             clear API
    leader TOPIC PARTITION BROKER  rtt BROKER MS         coordinator GROUP BROKER

It ends with its stdin, and so with the test that started it. Kafka's own numbers stand for APIs and errors. A
partition keeps its newest 5 MiB only. The protocol is no newer than kafka-python's `api_version=(2, 3)`.
"""

import ctypes
import sys
from pathlib import Path

import confluent_kafka

_REBALANCE_DELAY_MS = 100  # before a new group's first assignment; the default is 3 s


def function(library, name, result, *arguments):
    found = getattr(library, f"rd_kafka_{name}")
    found.restype, found.argtypes = result, arguments
    return found


def main(n_brokers):
    libraries = sorted(
        (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*")
    )
    library = ctypes.CDLL(str(libraries[0]))
    pointer, text, number, long = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int64
    message = ctypes.create_string_buffer(512)
    settings = function(library, "conf_new", pointer)()
    function(library, "conf_set", ctypes.c_int, pointer, text, text, text, ctypes.c_size_t)(
        settings, b"log_level", b"0", message, 512
    )
    handle = function(library, "new", pointer, ctypes.c_int, pointer, text, ctypes.c_size_t)(
        0, settings, message, 512
    )  # 0: a producer
    cluster = function(library, "mock_cluster_new", pointer, pointer, ctypes.c_int)(handle, n_brokers)
    function(library, "mock_group_initial_rebalance_delay_ms", None, pointer, number)(
        cluster, _REBALANCE_DELAY_MS
    )

    create = function(library, "mock_topic_create", ctypes.c_int, pointer, text, ctypes.c_int, ctypes.c_int)
    delete = function(library, "mock_partition_delete_records", ctypes.c_int, pointer, text, number, long)
    leader = function(library, "mock_partition_set_leader", ctypes.c_int, pointer, text, number, number)
    down = function(library, "mock_broker_set_down", ctypes.c_int, pointer, number)
    up = function(library, "mock_broker_set_up", ctypes.c_int, pointer, number)
    rtt = function(library, "mock_broker_set_rtt", ctypes.c_int, pointer, number, ctypes.c_int)
    coordinator = function(library, "mock_coordinator_set", ctypes.c_int, pointer, text, text, number)
    clear = function(library, "mock_clear_request_errors", None, pointer, ctypes.c_int16)
    errors = function(
        library,
        "mock_push_request_errors_array",
        None,
        pointer,
        ctypes.c_int16,
        ctypes.c_size_t,
        ctypes.POINTER(ctypes.c_int),
    )

    def push(api, *codes):
        errors(cluster, int(api), len(codes), (ctypes.c_int * len(codes))(*map(int, codes)))

    commands = {
        "topic": lambda name, n: create(cluster, name.encode(), int(n), n_brokers),
        "delete": lambda name, partition, before: delete(cluster, name.encode(), int(partition), int(before)),
        "leader": lambda name, partition, broker: leader(cluster, name.encode(), int(partition), int(broker)),
        "down": lambda broker: down(cluster, int(broker)),
        "up": lambda broker: up(cluster, int(broker)),
        "rtt": lambda broker, ms: rtt(cluster, int(broker), int(ms)),
        "coordinator": lambda group, broker: coordinator(cluster, b"group", group.encode(), int(broker)),
        "clear": lambda api: clear(cluster, int(api)),
        "errors": push,
    }
    print(function(library, "mock_cluster_bootstraps", text, pointer)(cluster).decode(), flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        code = commands[command](*words)
        print(f"error {code}" if code else "ok", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
