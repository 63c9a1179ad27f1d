"""The quality card: how well the product and its rivals detect, on labelled sets and on simulated series.

    make quality QUALITY_ARGS="--data ../shared/data"
    make quality QUALITY_ARGS="--data ../shared/data --sets nab,asd --seeds 1"
    make quality QUALITY_ARGS=--quick

One configuration for every set: the defaults, with a budget of one false episode an entity-week. Nothing sees
the future. Results are kept in --out, one file for each set, contender and seed: a run that was interrupted
goes on where it was, as long as neither the code nor the data are others.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from card.field import FIELD
from card.picture import draw
from card.report import as_data, collect, markdown
from card.sets import SETS, SIMULATED_SET
from card.work import Unit, do_units, load_from, plan, plan_scenarios, state_of
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def main() -> None:
    """Measure what is not measured yet, and write the card."""
    options = _options()
    root = Path(__file__).parents[1]
    units_folder = options.out / "units" / state_of(root, options.data, quick=options.quick)
    units_folder.mkdir(parents=True, exist_ok=True)
    units = plan(options.sets, options.contenders, options.seeds)
    units += plan_scenarios(options.sets, options.seeds, quick=options.quick) if options.simulated else []
    load = functools.partial(load_from, options.data, quick=options.quick)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    with Progress(*columns) as progress:
        bar = progress.add_task("measuring", total=len(units))

        def on_done(unit: Unit) -> None:
            progress.update(bar, advance=1, description=f"{unit.set_name}, {unit.contender}")

        do_units(units, load, units_folder, n_jobs=options.jobs, quick=options.quick, on_done=on_done)
    card = collect(units_folder, options.data)
    (options.out / "card.json").write_text(json.dumps(as_data(card), indent=1))
    (options.out / "card.md").write_text(markdown(card))
    draw(card, options.out / "card.png")
    Console().print(Markdown(markdown(card)))
    print(f"wrote card.json, card.md and card.png to {options.out}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of labelled sets")
    parser.add_argument("--sets", default=",".join(SETS), help="of it, by name; default: %(default)s")
    parser.add_argument("--contenders", default=",".join(["product", *FIELD]), help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("build/quality"), help="default: %(default)s")
    parser.add_argument("--no-simulated", dest="simulated", action="store_false", help="labelled sets alone")
    parser.add_argument("--quick", action="store_true", help="two series of each set, one seed")
    options = parser.parse_args()
    if options.data is None and not options.quick:
        parser.error("give --data, a folder of labelled sets, or --quick to do with simulated ones")
    if options.quick:
        options.seeds = 1
    options.sets = options.sets.split(",") if options.data else [SIMULATED_SET]
    options.contenders = options.contenders.split(",")
    return options


if __name__ == "__main__":
    main()
