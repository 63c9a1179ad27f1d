"""Which of Telegraf's fields are counters, by the READMEs of its inputs."""

from __future__ import annotations

import pytest

from monitor.decode.telegraf_kinds import telegraf_kind
from monitor.sample import Kind

COUNTERS = """
net_bytes_sent net_packets_sent net_err_in net_drop_out net_tcp_retranssegs net_udp_indatagrams
net_icmpmsg_outtype3 diskio_reads diskio_write_bytes diskio_io_time diskio_weighted_io_time
diskio_merged_writes kernel_context_switches kernel_interrupts kernel_processes_forked kernel_vmstat_pgfault
kernel_vmstat_nr_vmscan_write nstat_TcpRetransSegs nstat_IpExtInOctets cpu_time_user swap_in pressure_total
interrupts_CPU0 soft_interrupts_total procstat_cpu_time_user procstat_read_bytes
docker_container_cpu_usage_total docker_container_net_rx_bytes docker_container_mem_pgmajfault
docker_container_blkio_io_serviced_recursive_read cgroup_cpuacct.usage cgroup_cpu.stat.usage_usec
nginx_requests nginx_accepts apache_TotalAccesses haproxy_stot haproxy_http_response.5xx haproxy_bin
memcached_get_hits memcached_cmd_set memcached_total_items redis_total_commands_processed
redis_keyspace_misses redis_used_cpu_sys postgresql_xact_commit postgresql_buffers_alloc mysql_queries
mysql_com_select mysql_innodb_rows_read mysql_bytes_sent
"""
LEVELS = """
net_tcp_currestab net_ip_forwarding netstat_tcp_established kernel_boot_time kernel_entropy_avail
kernel_vmstat_nr_dirty nstat_TcpCurrEstab cpu_usage_idle mem_used mem_total mem_swap_total swap_total
swap_used_percent disk_total disk_inodes_total disk_inodes_used system_load1 processes_total
docker_n_containers docker_memory_total docker_data_total procstat_memory_rss
"""
UNKNOWN = """
net_speed net_response_result_code diskio_iops_in_progress system_uptime docker_container_mem_usage
docker_container_cpu_usage_percent nginx_active nginx_waiting haproxy_scur haproxy_qcur memcached_curr_items
memcached_bytes memcached_uptime redis_clients redis_used_memory postgresql_numbackends
mysql_threads_running cgroup_memory.usage_in_bytes queue_done jobs_total mynet_bytes_sent
"""


@pytest.mark.parametrize("name", COUNTERS.split())
def test_a_documented_counter_is_known(name):
    assert telegraf_kind(name) is Kind.COUNTER


@pytest.mark.parametrize("name", LEVELS.split())
def test_a_documented_level_is_known_whatever_its_name_ends_in(name):
    assert telegraf_kind(name) is Kind.GAUGE


@pytest.mark.parametrize("name", UNKNOWN.split())
def test_of_other_fields_nothing_is_known(name):
    assert telegraf_kind(name) is None
