"""Quantiles of histograms against those of real Prometheus servers over the same buckets."""

from __future__ import annotations

import math
import subprocess
import time

import httpx
import numpy as np
import pytest

from monitor.derive.quantile import histogram_quantile

pytestmark = pytest.mark.e2e

N_HISTOGRAMS, N_BUCKETS = 60, 9
QUANTILES = (0.001, 0.1, 0.5, 0.9, 0.99, 0.9999)


def histograms():
    """Give histograms of all kinds: bounds and cumulative counts (H, B); NaN where a bucket is missing."""
    rng = np.random.default_rng(0)
    bounds = np.sort(rng.uniform(-1, 10, (N_HISTOGRAMS, N_BUCKETS)), axis=1)
    bounds[::2] = np.abs(bounds[::2]).cumsum(axis=1)
    bounds[:, -1] = math.inf
    counts = rng.poisson(rng.choice([0.2, 3, 500], (N_HISTOGRAMS, 1)), bounds.shape).cumsum(axis=1) * 1.0
    counts[3:12] = rng.permuted(counts[3:12], axis=1)  # counts that fall
    counts[12:24][rng.random((12, N_BUCKETS)) < 0.3] = math.nan
    counts[24] = 0.0
    counts[25, :-1] = math.nan
    counts[26:30, -1] = math.nan
    counts[30:40] /= 300.0  # rates
    return bounds, counts


@pytest.fixture(scope="module", params=["prometheus", "prometheus3"])
def answers(request, tool, servers, free_port):
    """Start a server of version 2 or 3 over the histograms; give its answers (Q, H), NaN for none."""
    program = tool(request.param, "prometheus")
    promtool = tool("promtool", "prometheus")
    folder = servers.folder(f"quantiles-{request.param}")
    at = round(time.time()) - 3 * 3600
    lines = ["# TYPE h gauge"]
    for number, (of_bounds, of_counts) in enumerate(zip(*histograms(), strict=True)):
        for bound, count in zip(of_bounds.tolist(), of_counts.tolist(), strict=True):
            if not math.isnan(count):
                le = "+Inf" if math.isinf(bound) else repr(bound)
                lines.append(f'h{{number="{number}",le="{le}"}} {count!r} {at}')
    (folder / "samples.om").write_text("\n".join([*lines, "# EOF"]) + "\n")
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "samples.om", "tsdb"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (folder / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{free_port()}"
    listen = f"--web.listen-address={url.removeprefix('http://')}"
    command = [
        program,
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=tsdb",
        "--log.level=warn",
        listen,
    ]
    servers.process(command, folder / "prometheus.log", cwd=folder)
    servers.wait_for("Prometheus", lambda: httpx.get(f"{url}/-/ready").status_code == 200, seconds=60)
    found = np.full((len(QUANTILES), N_HISTOGRAMS), math.nan)
    for place, quantile in enumerate(QUANTILES):
        query = {"query": f"histogram_quantile({quantile}, h)", "time": str(at + 1)}
        for series in httpx.get(f"{url}/api/v1/query", params=query).json()["data"]["result"]:
            found[place, int(series["metric"]["number"])] = float(series["value"][1])
    return found


def test_quantiles_are_those_of_prometheus(answers):
    bounds, counts = histograms()

    ours = np.stack([histogram_quantile(quantile, bounds, counts) for quantile in QUANTILES])

    assert np.isnan(answers).any()
    assert (~np.isnan(answers)).sum() > 200
    np.testing.assert_allclose(ours, answers, rtol=1e-9, atol=1e-12)
