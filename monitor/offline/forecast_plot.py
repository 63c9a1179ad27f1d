"""The picture of a forecast: predicted against real."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from monitor.offline.forecast_files import FileForecast, Question

__all__ = ["N_PANELS", "forecast_plot"]

N_PANELS = 8  # series drawn at most: more cannot be read on a page
_N_SHOWN = 1000  # newest steps of a file that are drawn


def forecast_plot(watch: str, forecast: FileForecast, questions: Sequence[Question]) -> bytes:
    """Draw real and predicted values with the band, and the steps behind the end; as PNG.

    A panel for each series, those with a question first, with a line at the value that is asked for.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    asked = {question.channel: question.value for question in questions}
    series = [
        (entity in asked or channel in asked, row, column)
        for row, entity in enumerate(forecast.entities)
        for column, channel in enumerate(forecast.channels)
        if not np.isnan(forecast.values[:, row, column]).all()
    ]
    series = sorted(series, key=lambda panel: not panel[0])[:N_PANELS]
    figure = Figure(figsize=(12, 2.8 * len(series)), layout="constrained")
    panels = figure.subplots(len(series), 1, squeeze=False)[:, 0]
    times = forecast.time_ms[-_N_SHOWN:].astype("datetime64[ms]")
    past, future = forecast.past, forecast.future
    ahead_ms = forecast.step_ms * np.arange(1, future.expected.shape[1] + 1)
    for panel, (_, row, column) in zip(panels, series, strict=True):
        entity, channel = forecast.entities[row], forecast.channels[column]
        here = (slice(-_N_SHOWN, None), row, column)
        panel.fill_between(times, past.low[here], past.high[here], color="C1", alpha=0.25, linewidth=0)
        panel.plot(times, forecast.values[here], color="C0", linewidth=1, label="real")
        panel.plot(times, past.expected[here], color="C1", linewidth=1, label="predicted")
        behind = (forecast.newest_ms[row] + ahead_ms).astype("datetime64[ms]")
        there = (row, slice(None), column)
        panel.fill_between(behind, future.low[there], future.high[there], color="C3", alpha=0.2, linewidth=0)
        panel.plot(behind, future.expected[there], color="C3", linewidth=1.5, label="behind the end")
        for name in (channel, entity):
            if name in asked:
                panel.axhline(asked[name], linestyle=":", color="grey")
        panel.set_title(f"{watch}/{entity}: {channel}", fontsize=9)
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    panels[0].legend(loc="upper left", fontsize=8)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture)  # type: ignore[no-untyped-call]
    return picture.getvalue()
