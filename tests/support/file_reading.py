"""Files of metrics, written and read in one go."""

import gzip

from monitor.files.metric_files import FileLayout, read_files
from monitor.sample import SeriesTable

START_S = 1_767_571_200  # 2026-01-05T00:00:00Z
START_MS = START_S * 1000


class FileRead:
    """What a file gave: samples by series, kinds, counts of what was bad, and what the log says of it."""

    def __init__(self, file, content, **layout):
        content = content.encode() if isinstance(content, str) else content
        file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)
        table = SeriesTable()
        recorded = read_files([file], FileLayout(**layout), table)
        self.series, self.kinds = {}, {}
        columns = recorded.columns
        for number, time_ms, value in zip(
            columns.series.tolist(), columns.time_ms.tolist(), columns.value.tolist(), strict=True
        ):
            self.series.setdefault(str(table[number]), []).append((time_ms - START_MS, value))
            self.kinds[str(table[number])] = table[number].kind
        self.n_bad = dict(recorded.n_bad)
        self.warnings = recorded.warnings
        (self.read_as,) = recorded.read_as or ("",)

    @property
    def values(self):
        """Values by series, without times."""
        return {name: [value for _, value in points] for name, points in self.series.items()}
