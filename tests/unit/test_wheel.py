"""What is built from this tree can be installed and used: every module, and the shipped configuration."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SDIST = """
import sys
from setuptools import build_meta
print(build_meta.build_sdist(sys.argv[1]))
"""
IMPORT_ALL = """
import importlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
for file in sorted(folder.glob("m*/**/*.py")):
    name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith(".__main__"):  # it runs the command line
        assert importlib.import_module(name).__file__ == str(file), name
"""


def run(*command, cwd, **environment):
    """Run a command that does not see this tree, and must not fail."""
    base = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**base, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended


def pip(*arguments, cwd):
    """Run this environment's pip, without any index."""
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)


def modules(folder):
    return {
        file.relative_to(folder).as_posix()
        for package in ("monitor", "models")
        for file in (folder / package).rglob("*.py")
    }


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Give a copy of what the packages are built from: a build leaves files beside it."""
    tree = tmp_path_factory.mktemp("tree")
    for package in ("monitor", "models"):
        shutil.copytree(
            ROOT / package, tree / package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "config.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tree / name)
    return tree


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    built = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", built, tree, cwd=built)
    (wheel,) = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(tree, tmp_path_factory):
    built = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-c", SDIST, built, cwd=tree)
    (sdist,) = built.glob("*.tar.gz")
    return sdist


def test_a_wheel_has_every_module_and_each_can_be_imported(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)

    ran = run(sys.executable, "-c", IMPORT_ALL, tmp_path, cwd=tmp_path, PYTHONPATH=str(tmp_path))

    assert modules(tmp_path) == modules(ROOT)
    assert ran.stderr == ""


def test_a_wheel_has_the_shipped_configuration(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("monitor/config/default.toml") == (ROOT / "config.toml").read_bytes()


def test_a_wheel_has_what_a_backtests_report_is_made_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for name in ("report.html.j2", "report.css", "report.js"):
            part = f"monitor/backtest/{name}"
            assert archive.read(part) == (ROOT / part).read_bytes()


def test_a_source_distribution_has_every_module_and_what_an_installation_is_built_from(sdist, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()

    assert modules(unpacked) == modules(ROOT)
    for name in ("pyproject.toml", "README.md", "LICENSE", "config.toml", "constraints.txt"):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_installed_runs_outside_the_tree_with_the_shipped_configuration(kind, tmp_path, request):
    package = request.getfixturevalue(kind)
    environment, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python, program = environment / "bin/python", environment / "bin/barograph"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path)
    # The dependencies are those of this environment: nothing is downloaded.
    (Path(site.stdout.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]

    pip("--python", python, "install", *options, package, cwd=elsewhere)

    assert run(program, "--version", cwd=elsewhere).stdout.startswith(f"barograph {VERSION}, Python ")
    checked = run(program, "check-config", cwd=elsewhere)
    if not Path("/etc/barograph/config.toml").exists():
        assert checked.stdout.startswith(f"{site.stdout.strip()}/monitor/config/default.toml: good; ")
    assert (
        "watches host, service"
        in run(program, "check-config", "--config", ROOT / "config.toml", cwd=elsewhere).stdout
    )
    where = run(
        python, "-c", "import monitor, models; print(monitor.__file__, models.__file__)", cwd=elsewhere
    )
    assert all(file.startswith(str(environment)) for file in where.stdout.split())
