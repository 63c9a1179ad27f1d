"""Which fields of Telegraf's inputs are counters: line protocol and Telegraf's JSON do not say it.

The tables follow the READMEs of Telegraf's inputs (`plugins/inputs/*/README.md`) and, where those refer to
another program's documentation, that program's. A name is the sample's: measurement, `_` and field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from monitor.sample import Kind

__all__ = ["telegraf_kind"]


def _names(measurement: str, fields: str) -> list[str]:
    return [f"{measurement}_{field}" for field in fields.split()]


# Asked in this order, patterns (`*` and `?`) of names; the first table that has a name decides.
_COUNTERS_AMONG_LEVELS = [
    *_names("cpu", "time_*"),
    *_names("swap", "in out"),
    *_names("kernel_vmstat", "nr_dirtied nr_written nr_vmscan_write nr_vmscan_immediate_reclaim"),
]
_LEVELS = [
    *_names("cpu", "usage_*"),
    *_names("mem", "*"),
    *_names("swap", "total used free used_percent"),
    *_names("disk", "total free used used_percent inodes_*"),
    *_names("system", "load1 load5 load15 n_*"),
    *_names("processes", "*"),
    *_names("netstat", "tcp_* udp_*"),
    *_names("net", "tcp_currestab tcp_maxconn tcp_rto* ip_defaultttl ip_forwarding"),
    *_names(
        "nstat", "TcpCurrEstab TcpMaxConn TcpRto* IpDefaultTTL IpForwarding IpReasmTimeout Ip6ReasmTimeout"
    ),
    *_names("kernel", "boot_time entropy_avail"),
    *_names("kernel_vmstat", "nr_* workingset_nodes"),
    *_names("docker", "n_* memory_total pool_blocksize"),
    *_names("docker_data", "*"),
    *_names("docker_metadata", "*"),
    *_names("procstat", "memory_* cpu_usage num_* rlimit_*"),
]
_COUNTERS = [
    *_names("net", "bytes_* packets_* err_* drop_* icmp_* icmpmsg_* ip_* tcp_* udp_* udplite_*"),
    *_names("nstat", "*"),
    *_names("diskio", "reads writes read_* write_* io_time weighted_io_time merged_*"),
    *_names("kernel", "context_switches disk_pages_* interrupts processes_forked ksm_full_scans"),
    *_names("kernel_vmstat", "*"),
    *_names("pressure", "total"),
    *_names("interrupts", "CPU* cpu* count total"),
    *_names("soft_interrupts", "CPU* cpu* count total"),
    *_names("procstat", "cpu_time_* read_* write_* *_context_switches *_faults"),
    *_names("docker_container_cpu", "throttling_* usage_in_* usage_system usage_total"),
    *_names("docker_container_net", "rx_* tx_*"),
    *_names("docker_container_blkio", "io_*"),
    *_names("docker_container_mem", "*pgfault *pgmajfault *pgpgin *pgpgout fail_count failcnt"),
    # Files of the kernel's control groups, versions 1 and 2.
    *_names("cgroup", "cpuacct.usage* cpuacct.stat.* cpu.stat.* io.stat.* memory.failcnt memory.events.*"),
    *_names("cgroup", "blkio.*io_serviced* blkio.*io_service_bytes* memory.stat.*pg*"),
    *_names("nginx", "accepts handled requests"),
    *_names("apache", "TotalAccesses TotalkBytes TotalDuration"),
    *_names(
        "haproxy", "stot bin bout dreq dresp dcon dses ereq econ eresp wretr wredis wrew chkfail chkdown"
    ),
    *_names("haproxy", "downtime lbtot http_response.* hrsp_* req_tot conn_tot cli_ab* srv_ab* comp_*"),
    *_names("haproxy", "intercepted hanafail connect reuse cache_lookups cache_hits"),
    *_names("memcached", "*_hits *_misses cmd_* evictions total_items total_connections bytes_read"),
    *_names("memcached", "bytes_written conn_yields rejected_connections reclaimed"),
    *_names("redis", "total_connections_received total_commands_processed total_net_*_bytes"),
    *_names("redis", "rejected_connections sync_* expired_keys evicted_keys keyspace_hits keyspace_misses"),
    *_names("redis", "used_cpu_* total_reads_processed total_writes_processed total_error_replies"),
    *_names("redis_cmdstat", "calls usec"),
    *_names("postgresql", "xact_* blks_* tup_* conflicts temp_files temp_bytes deadlocks blk_*_time"),
    *_names("postgresql", "sessions sessions_* session_time active_time idle_in_transaction_time"),
    *_names("postgresql", "buffers_* checkpoints_* checkpoint_*_time maxwritten_clean"),
    # SHOW GLOBAL STATUS; what is not here is a level, or is learned.
    *_names("mysql", "aborted_* access_denied_errors binlog_cache_*use binlog_stmt_cache_*use"),
    *_names("mysql", "bytes_received bytes_sent com_* commands_* connections connection_errors_*"),
    *_names("mysql", "created_tmp_* flush_commands handler_* handlers_* innodb_buffer_pool_read*"),
    *_names("mysql", "innodb_buffer_pool_write_requests innodb_buffer_pool_wait_free"),
    *_names("mysql", "innodb_buffer_pool_pages_flushed innodb_data_fsyncs innodb_data_read"),
    *_names("mysql", "innodb_data_reads innodb_data_writes innodb_data_written innodb_dblwr_*"),
    *_names("mysql", "innodb_log_waits innodb_log_write* innodb_os_log_fsyncs innodb_os_log_written"),
    *_names("mysql", "innodb_pages_* innodb_row_lock_time innodb_row_lock_waits innodb_rows_* key_read*"),
    *_names("mysql", "key_write* opened_* qcache_hits qcache_inserts qcache_lowmem_prunes"),
    *_names("mysql", "qcache_not_cached queries questions select_* slow_queries sort_* slow_launch_threads"),
    *_names("mysql", "table_locks_* table_open_cache_* threads_created"),
]


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


_TABLES = (
    (Kind.COUNTER, _any_of(_COUNTERS_AMONG_LEVELS)),
    (Kind.GAUGE, _any_of(_LEVELS)),
    (Kind.COUNTER, _any_of(_COUNTERS)),
)


@lru_cache(maxsize=65536)  # decoders ask for every series of every batch
def telegraf_kind(name: str) -> Kind | None:
    """Give the kind of a field of Telegraf's inputs by the sample's name; None where it is not documented."""
    return next((kind for kind, pattern in _TABLES if pattern.match(name)), None)
