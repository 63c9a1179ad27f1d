"""Turn a command's coloured output into an SVG picture of a terminal.

FORCE_COLOR=1 COLUMNS=140 .venv/bin/barograph demo --exit | .venv/bin/python docs/picture.py docs/demo.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

MAX_HEAD, MAX_TAIL = 30, 32  # lines kept from the beginning and from the end


def main() -> None:
    """Read stdin, write the file named by the first argument."""
    lines = sys.stdin.read().rstrip().splitlines()
    if len(lines) > MAX_HEAD + MAX_TAIL:
        lines = [*lines[:MAX_HEAD], "           ...", *lines[-MAX_TAIL:]]
    console = Console(record=True, width=140, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$[/bold] make demo DEMO_ARGS=--exit")
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    picture = console.export_svg(title="Barograph")
    # The picture shall need no network: the reader's own monospace font will do.
    Path(sys.argv[1]).write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main()
