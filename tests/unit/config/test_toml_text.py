import tomllib

from monitor.config.toml_text import toml_comment, toml_setting, toml_table

ODD = 'quo"te\\back\x7fé\n'


def test_a_setting_reads_back_as_it_was():
    values = {
        "text": ODD,
        "number": 1.5,
        "flag": True,
        "list": [ODD, "b"],
        "odd key": 1,
        "table": {"a": ["b"]},
    }
    written = "\n".join(toml_setting(key, value) for key, value in values.items())

    assert tomllib.loads(written) == values


def test_a_long_list_takes_several_lines():
    names = [f"a_rather_long_name_{number}" for number in range(9)]
    written = toml_setting("names", names)

    assert max(map(len, written.splitlines())) <= 96
    assert tomllib.loads(written) == {"names": names}


def test_tables_lie_within_each_other():
    assert tomllib.loads("\n".join(toml_table("a", {"x": 1, "b": {"y": 2}}))) == {
        "a": {"x": 1, "b": {"y": 2}}
    }


def test_a_comment_is_one_line():
    assert toml_comment("a\nb = 1") == "# a?b = 1"
