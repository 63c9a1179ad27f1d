"""The layers, held by a table: which module may import what."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAGES = (
    "monitor.decode", "monitor.progress", "monitor.grid", "monitor.entities", "monitor.score", "monitor.alert", "monitor.revision",
    "monitor.coverage", "monitor.pipeline", "monitor.quiet", "monitor.survey", "monitor.suggest", "monitor.format_check",
)  # fmt: skip
EDGES = (
    "monitor.sources", "monitor.outlets", "monitor.web", "monitor.app", "monitor.cli", "monitor.metrics", "monitor.loop",
    "monitor.record", "monitor.train", "monitor.demo", "monitor.testing", "monitor.healthcheck", "monitor.history", "monitor.lock",
    "monitor.retrain", "monitor.handover", "monitor.learning", "monitor.scheduler", "monitor.episodes", "monitor.watchdog",
)  # fmt: skip
# What a pure stage has no use for: the clock, files, threads, the network, other processes.
IMPURE = (
    "time", "datetime", "os", "io", "pathlib", "shutil", "tempfile", "glob", "socket", "ssl", "http", "urllib", "requests", "httpx",
    "threading", "queue", "asyncio", "concurrent", "multiprocessing", "subprocess", "signal", "logging", "sqlite3", "psutil", "pandas",
    "pyarrow", "prometheus_client", "starlette", "uvicorn", "apscheduler", "kafka", "fcntl", "resource",
)  # fmt: skip
OURS = ("monitor", "models")
KAFKA = tuple(f"monitor.sources.{file.stem}" for file in sorted((ROOT / "monitor" / "sources").glob("kafka*.py")))

# Modules (with all that lies below them), what they must not import, and what of it they may nevertheless.
RULES = {
    "models knows no monitor": (("models",), ("monitor",), ()),
    "the clock and the errors import nothing of ours": (("monitor.clock", "monitor.errors"), OURS, ()),
    "samples import nothing of ours": (("monitor.sample",), OURS, ()),
    "stages import no edge": (STAGES, EDGES, ()),
    "stages are pure": (STAGES, IMPURE, ()),
    "stages are handed their settings": (STAGES, ("monitor.config",), ()),
    "the host source imports no other edge": (("monitor.sources.host",), EDGES, ("monitor.sources", "monitor.sources.host")),
    "the replay source imports no other edge": (("monitor.sources.replay",), EDGES, ("monitor.sources", "monitor.sources.replay")),
    "captures and dead letters import no edge": (("monitor.captures", "monitor.decode_files", "monitor.dead_letter"), EDGES, ()),
    "the Kafka source imports no other edge": (KAFKA, EDGES, ("monitor.sources", *KAFKA)),
    "only a client's own module knows its library": (("monitor", "models"), ("kafka", "confluent_kafka"), ()),
    "looking at a cluster imports no other edge": (
        ("monitor.sources.kafka_topics", "monitor.topics", "monitor.dead_letters"),
        EDGES,
        ("monitor.sources", "monitor.sources.kafka_python", "monitor.sources.kafka_topics"),
    ),
    "sources import no outlet and no web server": (("monitor.sources",), ("monitor.outlets", "monitor.web"), ()),
    "outlets import no other edge": (("monitor.outlets",), EDGES, ("monitor.outlets", "monitor.outlets.log")),
    "the web server imports no other edge": (("monitor.web",), EDGES, ("monitor.web",)),
    "the health check imports no other edge": (("monitor.healthcheck",), EDGES, ("monitor.healthcheck",)),
    "the lock imports nothing of ours but the errors": (("monitor.lock",), OURS, ("monitor.errors",)),
    "the history imports no other edge": (("monitor.history",), EDGES, ("monitor.history",)),
    "the alert history imports no other edge": (("monitor.episodes",), EDGES, ("monitor.episodes",)),
    "only the alert history knows its database": (("monitor", "models"), ("sqlite3",), ()),
    "only the daemon's own assembly knows the scheduler": (("monitor",), ("monitor.scheduler",), ()),
    "the scheduler's library stays in its edge, but for the check of an expression": (("monitor",), ("apscheduler",), ()),
    "the daemon meets torch through models, but for the process' own settings": (("monitor",), ("torch",), ()),
}
ALLOWED_MODULES = {
    "the daemon meets torch through models, but for the process' own settings": ("monitor.runtime",),
    "only the daemon's own assembly knows the scheduler": ("monitor.app", "monitor.learning"),
    "the scheduler's library stays in its edge, but for the check of an expression": ("monitor.scheduler", "monitor.config"),
    # the last looks at a cluster for a person, in no group
    "only a client's own module knows its library": (
        "monitor.sources.kafka_python",
        "monitor.sources.kafka_confluent",
        "monitor.sources.kafka_topics",
    ),
    "only the alert history knows its database": ("monitor.episodes",),
}


def modules():
    """Give every module of ours by name."""
    found = {}
    for package in OURS:
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def lies_in(name, places):
    return any(name == place or name.startswith(f"{place}.") for place in places)


def imports_of(module):
    """Give the modules that a module imports, at its top, in its functions, or for types only."""
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from monitor import grid` imports a module, `from monitor.grid import Grid` does not.
            below = {f"{base}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= below if below and base in OURS else below | {base}
    return found


@pytest.mark.parametrize("claim", RULES)
def test_layer(claim):
    importers, forbidden, allowed = RULES[claim]
    bound = [module for module in MODULES if lies_in(module, importers) and module not in ALLOWED_MODULES.get(claim, ())]

    broken = [
        f"{module} imports {imported}"
        for module in bound
        for imported in sorted(imports_of(module))
        if lies_in(imported, forbidden) and imported not in allowed
    ]

    assert bound, "the rule binds no module any more"
    assert broken == []


def test_only_the_command_line_and_the_demo_build_the_daemon():
    importers = {module for module in MODULES if lies_in(module, ("monitor",)) and "monitor.app" in imports_of(module)}

    assert importers <= {"monitor.cli", "monitor.__main__", "monitor.demo"}


def test_only_the_command_line_and_what_it_prints_with_know_the_demo():
    importers = {module for module in MODULES if "monitor.demo" in imports_of(module)}

    assert importers <= {"monitor.cli", "monitor.__main__", "monitor.console"}


def test_every_import_names_a_module_that_is_there():
    missing = {
        f"{module} imports {imported}"
        for module in MODULES
        for imported in imports_of(module)
        if lies_in(imported, OURS) and imported not in MODULES
    }

    assert missing == set()


def test_modules_import_each_other_in_one_direction_only():
    graphlib.TopologicalSorter({module: imports_of(module) - {module} for module in MODULES}).prepare()  # raises on a cycle


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_line_loads_no_heavy_library_before_it_needs_one():
    heavy = "'torch', 'pandas', 'pyarrow', 'uvicorn', 'starlette', 'apscheduler', 'kafka'"
    code = f"import sys, monitor.cli; print(sorted({{{heavy}}} & set(sys.modules)))"

    ran = run_python("-c", code)

    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "[]")


def test_help_is_shown_and_is_no_failure():
    ran = run_python("-m", "monitor", "--help")

    assert ran.returncode == 0
    assert "Usage" in ran.stdout
