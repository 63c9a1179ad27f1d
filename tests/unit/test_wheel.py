"""A wheel built from this tree has every module, and each can be imported from it."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT_ALL = """
import importlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
for file in sorted(folder.glob("m*/**/*.py")):
    name = ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    if not name.endswith(".__main__"):  # it runs the command line
        assert importlib.import_module(name).__file__ == str(file), name
"""


def modules(folder):
    return {
        file.relative_to(folder).as_posix()
        for package in ("monitor", "models")
        for file in (folder / package).rglob("*.py")
    }


def test_a_wheel_has_every_module_and_each_can_be_imported(tmp_path):
    tree, built, unpacked = tmp_path / "tree", tmp_path / "built", tmp_path / "unpacked"
    for package in ("monitor", "models"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)

    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        built,
        tree,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    ran = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, unpacked],
        cwd=unpacked,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert modules(unpacked) == modules(ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")
