"""What keeps the tree readable: sizes, names, who may change what, and a test file for every file."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "monitor").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py"))]
TREES = {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in FILES}
FOLDERS = sorted({file.parent for file in FILES})
LEAVES = {"__init__", "__main__", "clock", "errors", "log_limit", "sample", "testing", "text"}
CLIENT_LIBRARIES = {"monitor/kafka/kafka_python_client.py", "monitor/kafka/confluent_client.py"}
MOST_FILES, MOST_LINES, MOST_ATTRIBUTES, MOST_METHODS = 25, 450, 20, 18
# Each had a word of the field beside it, or stood for several things.
FORBIDDEN = {
    "one", "mine", "its", "theirs", "letters", "moments", "quiet", "teller", "handover", "keeping", "look",
    "took", "told",
}  # fmt: skip
SET_ON_LIBRARIES = {
    "propagate",
    "row_factory",
    "should_exit",
    "is_open",
}  # logging's, sqlite3's, uvicorn's, pyarrow's way
FILLED = {"WatchReport"}  # a stage is given one to count in
OF_LIBRARIES = {"OneCycleLR"}
SETTINGS = {"WatchSettings", "ModelSettings"}  # as many fields as there are settings


def classes():
    """Give every class with the file that it is in."""
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield file, node


def is_settings(node):
    return node.name in SETTINGS or any(
        isinstance(base, ast.Name) and base.id == "Table" for base in node.bases
    )


def attributes_of(node):
    """Name what instances of a class hold: fields of a dataclass, and what its methods set on `self`."""
    fields = {
        part.target.id
        for part in node.body
        if isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.unparse(part.annotation)
    }
    targets = (
        part for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
    )
    return fields | {
        part.attr for part in targets if isinstance(part.value, ast.Name) and part.value.id == "self"
    }


def test_only_leaves_lie_beside_the_folders():
    assert {file.stem for file in (ROOT / "monitor").glob("*.py")} <= LEAVES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_folder_can_be_read_at_a_glance(folder):
    assert (
        len(list(folder.glob("*.py"))) <= MOST_FILES + 1
    )  # `__init__` is no file to read: it says what the others are


def test_a_file_can_be_read_in_one_sitting():
    lengths = {
        file.relative_to(ROOT).as_posix(): len(file.read_text(encoding="utf-8").splitlines())
        for file in FILES
    }

    assert {file: n for file, n in lengths.items() if n > MOST_LINES and file not in CLIENT_LIBRARIES} == {}


def test_one_head_can_hold_a_class():
    large = {}
    for file, node in classes():
        n_methods = sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body)
        n_attributes = len(attributes_of(node))
        if not is_settings(node) and (n_methods > MOST_METHODS or n_attributes > MOST_ATTRIBUTES):
            large[f"{file}:{node.name}"] = (n_attributes, n_methods)

    assert large == {}


def test_no_two_public_classes_have_one_name():
    files = defaultdict(list)
    for file, node in classes():
        if not node.name.startswith("_"):
            files[node.name].append(file)

    assert {name: places for name, places in files.items() if len(places) > 1} == {}


def test_attributes_are_set_by_name_in_row_arrays_alone():
    users = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("setattr", "delattr")
    }

    assert users <= {"models/row_arrays.py"}


def test_nothing_is_cloned_by_trick():
    tricks = re.compile(r"vars\(self\)\.update|copy\.copy\(self\)|self\.__dict__")

    assert {file for file in TREES if tricks.search((ROOT / file).read_text(encoding="utf-8"))} == set()


def set_on_others(file, tree):
    """Name each public attribute that a function sets on an object of another module that it has not made."""
    own_classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for function in (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ):
        own = {"self", "cls"}
        for argument in (*function.args.args, *function.args.kwonlyargs):
            if argument.annotation is not None and ast.unparse(argument.annotation) in own_classes | FILLED:
                own.add(argument.arg)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        for node in ast.walk(function):
            is_set = (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and not node.attr.startswith("_")
            )
            if is_set and not (isinstance(node.value, ast.Name) and node.value.id in own):
                yield f"{file}:{node.lineno} {ast.unparse(node)}"


def test_nobody_sets_a_public_attribute_of_another_object():
    found = {place for file, tree in TREES.items() for place in set_on_others(file, tree)}

    assert {place for place in found if place.rpartition(".")[2] not in SET_ON_LIBRARIES} == set()


def identifiers_of(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).rpartition(".")[2]


def words_of(identifier):
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)]


def test_names_are_the_fields_words():
    private = defaultdict(set)
    for file, tree in TREES.items():
        for identifier in set(identifiers_of(tree)):
            words = words_of(identifier)
            if FORBIDDEN & set(words) and "dead_letters" not in identifier and identifier not in OF_LIBRARIES:
                private[file].add(identifier)

    assert dict(private) == {}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_a_package_says_what_each_of_its_files_is(folder):
    if folder == ROOT / "monitor":
        names = {
            path.name for path in folder.iterdir() if path.is_dir() and (path / "__init__.py").exists()
        } | LEAVES - {"__init__"}
    else:
        names = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    docstring = ast.get_docstring(TREES[f"{folder.relative_to(ROOT).as_posix()}/__init__.py"]) or ""

    assert {name for name in names if not re.search(rf"\b{name}\b", docstring)} == set()


def test_every_file_has_tests_in_the_folder_of_the_same_name():
    missing = set()
    for file in FILES:
        path = file.relative_to(ROOT)
        if path.stem not in ("__init__", "__main__", "testing"):
            folder = Path(*path.parts[1:-1]) if path.parts[0] == "monitor" else path.parent
            if not (ROOT / "tests" / "unit" / folder / f"test_{path.stem}.py").exists():
                missing.add(path.as_posix())

    assert missing == set()


def test_text_files_are_read_and_written_in_a_named_encoding():
    """Without one the locale of the machine decides, and a file cannot be read on another one."""
    unnamed = {
        f"{file}:{node.lineno}"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("read_text", "write_text")
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    }

    assert unnamed == set()
