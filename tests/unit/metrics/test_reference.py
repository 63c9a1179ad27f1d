from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from monitor.metrics.reference import reference


def test_the_written_reference_is_that_of_the_code():
    written = (Path(__file__).parents[3] / "docs/metrics.md").read_text()

    assert written == reference(), "run `make docs`"


def test_every_metric_that_is_scraped_stands_in_the_reference(served, noise):
    daemon = served()
    daemon.feed(noise(200))
    daemon.scrape()
    families = text_string_to_metric_families(daemon.exposition.text.decode())
    page = reference()

    for family in families:
        assert f"| `{family.name}{'_total' if family.type == 'counter' else ''}` |" in page
