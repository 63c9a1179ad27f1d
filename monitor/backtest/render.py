"""The report as one HTML file: no request leaves it, and nothing but its own script and style may run.

Every text is escaped by the template engine; the only parts that are not are the script and the style of this
package, whose hashes the page's policy names.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from monitor.alerting.text import duration_text
from monitor.backtest.figures import Figures, rate_text
from monitor.backtest.outcome import Backtest
from monitor.backtest.report import drawings_of

__all__ = ["render_report"]

_PACKAGE = "monitor.backtest"


def render_report(backtest: Backtest, figures: Figures, *, made_at: str, version: str) -> str:
    """Write a backtest as HTML.

    Parameters
    ----------
    figures : dict
        Those of the backtest.
    made_at, version : str
        When the report is made, and by which version of the program.
    """
    style, script = _part("report.css"), _part("report.js")
    environment = Environment(
        loader=PackageLoader(_PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "rate": rate_text,
        "percent": _percent,
        "duration": _duration,
        "mb": _megabytes,
        "when": _when,
    }
    return environment.get_template("report.html.j2").render(
        figures=figures,
        drawings=drawings_of(backtest),
        style=Markup(style),  # noqa: S704 - of this package
        script=Markup(script),  # noqa: S704 - of this package
        policy=_policy(style, script),
        made_at=made_at,
        version=version,
    )


def _part(name: str) -> str:
    return (files(_PACKAGE) / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Allow this style and this script, and nothing from anywhere."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else duration_text(round(seconds * 1000))


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB"


def _when(time: str) -> str:
    """Write a time as `time_text` gives it for a page that says UTC once."""
    return time.replace("T", " ").removesuffix("Z")
