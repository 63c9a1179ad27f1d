"""Finding files: which names are read, and where."""

import pytest

from monitor.errors import SourceError
from monitor.files.find import find_files


@pytest.mark.parametrize(
    "name", ["a.json", "a.prom", "a.om.gz", "a.ndjson", "A.CSV", "a.tsv", "a.json.gz", "a.parquet"]
)
def test_exports_of_every_kind_are_found_in_a_folder(tmp_path, name):
    (tmp_path / name).write_text("")

    assert find_files([str(tmp_path)]).files == (tmp_path / name,)


def test_text_is_read_where_it_is_named_and_passed_over_in_a_folder(tmp_path):
    (tmp_path / "dump.txt").write_text("")

    assert find_files([str(tmp_path / "*.txt")]).files == (tmp_path / "dump.txt",)
    with pytest.raises(SourceError, match="or a folder of them"):
        find_files([str(tmp_path)])
