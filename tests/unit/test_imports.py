"""The layers, held by a table: which folder may import what, and which library stays in which folder."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BELOW_THE_DAEMON = (
    "models clock errors log_limit sample text alerting decode derive detection config outlets web storage "
    "files sources kafka prometheus remote_write training metrics"
)
# What each folder of `monitor` (and each module beside them) may import of ours.
TABLE = {
    "models": "",
    "clock": "",
    "errors": "",
    "log_limit": "",
    "text": "",
    "sample": "text",
    "testing": "sample sources",
    "alerting": "text models",
    "decode": "sample",
    "derive": "sample models",
    "detection": "errors sample text alerting derive models",
    "config": "errors decode derive detection alerting models",
    "outlets": "alerting",
    "web": "errors",
    "storage": "clock errors sample alerting detection models",
    "files": "errors sample text decode config",
    "sources": "clock errors sample text decode config files",
    "kafka": "sources decode config clock errors log_limit sample text",
    "prometheus": "sources config clock errors log_limit sample",
    "remote_write": "sources decode clock errors log_limit sample text models",
    "training": "clock errors sample config detection storage models",
    "metrics": "sample alerting detection sources kafka storage training",
    "discovery": "errors sample text kafka decode detection config",
    "quickstart": "errors sample text prometheus config",
    "daemon": BELOW_THE_DAEMON,
    "offline": BELOW_THE_DAEMON,
    "backtest": BELOW_THE_DAEMON,
    "commands": f"{BELOW_THE_DAEMON} discovery quickstart daemon offline backtest",
    "__main__": "commands",
}
# Of a folder, the modules that others may import, where that is not all.
ONLY = {
    ("alerting", "models"): ("models.row_arrays",),
    ("derive", "models"): ("models.row_arrays",),
    ("config", "derive"): ("monitor.derive.rules",),
    ("kafka", "sources"): ("monitor.sources.source", "monitor.sources.position"),
    ("prometheus", "sources"): ("monitor.sources.source", "monitor.sources.position"),
    ("remote_write", "sources"): ("monitor.sources.source", "monitor.sources.position"),
    ("remote_write", "models"): ("models.atomic_file",),
    ("metrics", "sources"): ("monitor.sources.source",),
    ("metrics", "kafka"): ("monitor.kafka.dead_letter",),
    ("metrics", "storage"): ("monitor.storage.step_history_reader",),
    ("metrics", "training"): ("monitor.training.gate",),
    ("storage", "models"): ("models.atomic_file", "models.registry"),
    ("storage", "detection"): ("monitor.detection.steps",),
    ("discovery", "detection"): ("monitor.detection.entities",),
}
# What a pure stage has no use for: the clock, files, threads, the network, other processes.
PURE = (
    "monitor.alerting",
    "monitor.decode",
    "monitor.derive",
    "monitor.detection",
    "monitor.kafka.backlog",
    "monitor.kafka.batch_size",
    "monitor.kafka.commit_metadata",
    "monitor.kafka.format_check",
    "monitor.kafka.progress",
    "monitor.prometheus.answers",
    "monitor.prometheus.kinds",
    "monitor.prometheus.ranges",
    "monitor.remote_write.authentication",
    "monitor.remote_write.watermark",
    "monitor.backtest.evaluate",
    "monitor.backtest.figures",
    "monitor.backtest.outcome",
    "monitor.backtest.plots",
    "monitor.backtest.report",
    "monitor.backtest.summary",
    "monitor.quickstart.candidates",
    "monitor.quickstart.choose",
    "monitor.quickstart.promql",
    "monitor.quickstart.sampled",
    "monitor.quickstart.workload",
    "monitor.quickstart.write_config",
    "monitor.discovery.advice",
    "monitor.discovery.survey",
    "monitor.discovery.suggest",
    "monitor.discovery.topic_choice",
)
IMPURE = (
    "time", "datetime", "os", "io", "pathlib", "shutil", "tempfile", "glob", "socket", "ssl", "http",
    "urllib", "requests", "httpx", "threading", "queue", "asyncio", "concurrent", "multiprocessing",
    "subprocess", "signal", "logging", "sqlite3", "psutil", "pandas", "pyarrow", "prometheus_client",
    "starlette", "uvicorn", "apscheduler", "kafka", "confluent_kafka", "fcntl", "resource",
)  # fmt: skip
PURE_ENOUGH = {  # they write times, and ask no clock
    ("monitor.alerting.text", "datetime"),
    ("monitor.backtest.plots", "datetime"),
}
# Libraries that stay in one place, and the modules and folders that may import them.
LIBRARIES = {
    "kafka": ("monitor.kafka",),
    "confluent_kafka": ("monitor.kafka",),
    "httpx": ("monitor.prometheus.http",),
    "apscheduler": ("monitor.training", "monitor.config"),
    "prometheus_client": ("monitor.metrics", "monitor.daemon.build", "monitor.web.server"),
    "sqlite3": (
        "monitor.storage.alert_history",
        "monitor.storage.action_rows",
        "monitor.storage.episode_rows",
    ),
    "starlette": ("monitor.web", "monitor.remote_write.receiver", "monitor.remote_write.source"),
    "uvicorn": ("monitor.web",),
    "jinja2": ("monitor.backtest",),
    "torch": ("models", "monitor.daemon.process"),
}


def modules():
    """Give every module of ours by name."""
    found = {}
    for package in ("monitor", "models"):
        for file in sorted((ROOT / package).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def lies_in(name, places):
    return any(name == place or name.startswith(f"{place}.") for place in places)


def folder_of(module):
    """Give the folder, or the module beside the folders, that a module of ours is or lies in."""
    package, _, rest = module.partition(".")
    return package if package == "models" or not rest else rest.split(".")[0]


def imports_of(module):
    """Give the modules that a module imports, at its top, in its functions, or for types only."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: the table reads whole names"
            # `from monitor.detection import grid` imports a module, `from monitor.detection.grid import Grid`
            # does not.
            below = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= below or {node.module}
    return found


IMPORTS = {module: imports_of(module) for module in MODULES}
OURS = {
    module: {imported for imported in imports if lies_in(imported, ("monitor", "models"))}
    for module, imports in IMPORTS.items()
}


@pytest.mark.parametrize("folder", TABLE)
def test_a_folder_imports_only_what_the_table_allows(folder):
    allowed = set(TABLE[folder].split())
    broken = []
    for module in (module for module in MODULES if folder_of(module) == folder):
        for imported in OURS[module]:
            target = folder_of(imported)
            if target != folder and (
                target not in allowed or imported not in ONLY.get((folder, target), (imported,))
            ):
                broken.append(f"{module} imports {imported}")

    assert broken == []


def test_every_folder_is_in_the_table():
    assert {folder_of(module) for module in MODULES} - {"monitor"} <= set(TABLE)


def test_folders_import_each_other_in_one_direction_only():
    graph = {}
    for module in MODULES:
        folder = folder_of(module)
        targets = {folder_of(imported) for imported in OURS[module]} - {folder}
        graph.setdefault(folder, set()).update(targets)

    graphlib.TopologicalSorter(graph).prepare()  # raises on a cycle


def test_modules_import_each_other_in_one_direction_only():
    graphlib.TopologicalSorter(
        {module: OURS[module] - {module} for module in MODULES}
    ).prepare()  # raises on a cycle


def test_every_import_names_a_module_that_is_there():
    assert {
        f"{module} imports {imported}"
        for module in MODULES
        for imported in OURS[module]
        if imported not in MODULES
    } == set()


def test_stages_are_pure():
    broken = [
        f"{module} imports {imported}"
        for module in MODULES
        if lies_in(module, PURE)
        for imported in sorted(IMPORTS[module])
        if imported.partition(".")[0] in IMPURE and (module, imported) not in PURE_ENOUGH
    ]

    assert broken == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_where_it_belongs(library):
    users = {
        module
        for module in MODULES
        if lies_in(module, ("monitor", "models")) and any(lies_in(one, (library,)) for one in IMPORTS[module])
    }

    assert users, "nobody uses it any more"
    assert {module for module in users if not lies_in(module, LIBRARIES[library])} == set()


def test_only_commands_build_the_daemon():
    importers = {module for module in MODULES if "monitor.daemon.build" in OURS[module]}

    assert {folder_of(module) for module in importers} <= {"commands", "daemon"}


def run_python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_command_line_loads_no_heavy_library_before_it_needs_one():
    heavy = "'torch', 'pandas', 'pyarrow', 'uvicorn', 'starlette', 'apscheduler', 'kafka', 'httpx'"
    code = f"import sys, monitor.commands.main; print(sorted({{{heavy}}} & set(sys.modules)))"

    ran = run_python("-c", code)

    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "[]")


def test_settings_and_states_are_read_without_the_network_s_library():
    """`healthcheck` runs every few seconds: it must not take seconds and hundreds of megabytes."""
    modules = (
        "monitor.config.load, monitor.web.healthcheck, monitor.commands.tables, monitor.commands.console"
    )
    code = f"import sys, {modules}; print('torch' in sys.modules)"

    ran = run_python("-c", code)

    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", "False")


def test_help_is_shown_and_is_no_failure():
    ran = run_python("-m", "monitor", "--help")

    assert ran.returncode == 0
    assert "Usage" in ran.stdout
