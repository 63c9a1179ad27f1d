"""docs/faults.md: its numbers are in order, and every test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROWS = [
    line.split("|")
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if line.startswith("| ") and line[2].isdigit()
]


def named_tests(cell):
    """Give the tests that a cell names, as (file, name); a name without a file is in the file before it."""
    file, found = None, []
    for before, name in re.findall(r"`([^`]*?)::(test_\w+)`", cell):
        file = before or file
        found.append((file, name))
    return found


def test_there_is_one_line_a_fault_in_the_order_of_their_numbers():
    numbers = [int(row[1]) for row in ROWS]

    assert numbers
    assert numbers == sorted(set(numbers))


def test_every_line_names_a_test_and_every_test_that_is_named_is_there():
    assert [row[1] for row in ROWS if not named_tests(row[4])] == []
    missing = [
        f"{file}::{name}"
        for row in ROWS
        for file, name in named_tests(row[4])
        if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert missing == []
