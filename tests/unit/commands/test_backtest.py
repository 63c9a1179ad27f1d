import json

import numpy as np
import pandas as pd
import pytest
from command_line import barograph

WATCH = """
data_dir = "data"
[[watch]]
name = "web"
by = ["entity"]
step_seconds = 10.0
window_length = 8
lateness_seconds = 0.0
budget = "1/day"
[watch.model]
hidden = 8
latent = 4
epochs = 2
windows_per_epoch = 128
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"load": 5 + rng.normal(0, 0.3, 700), "queue": 9 + rng.normal(0, 0.3, 700)})
    frame.loc[550:590] += 9
    frame["label"] = 0
    frame.loc[550:590, "label"] = 1
    frame.insert(0, "timestamp", 1_700_000_000_000 + np.arange(700) * 10_000)
    frame.to_csv(tmp_path / "web1.csv", index=False)
    (tmp_path / "config.toml").write_text(WATCH)
    return tmp_path


def test_a_report_figures_and_a_summary_are_written(folder):
    ran = barograph("backtest", "web1.csv", "-o", "r.html", "--json", "r.json", cwd=folder)

    assert ran.returncode == 0, ran.stderr
    figures = json.loads((folder / "r.json").read_text())
    assert figures["labels"]["recall"] == 1.0
    assert ran.stdout.startswith(figures["status"])
    assert "wrote r.html" in ran.stderr
    assert (folder / "r.html").read_text().startswith("<!doctype html>")
    assert not (folder / "data").exists()  # a backtest leaves models and state alone


def test_the_champion_and_a_version_are_compared_without_a_training(folder):
    trained = barograph("train", "web1.csv", "--share", "0.5", cwd=folder)
    assert trained.returncode == 0, trained.stderr
    (version,) = [path.name for path in (folder / "data/bundles/web").iterdir() if path.is_dir()]

    ran = barograph(
        "backtest", "web1.csv", "--no-train", "--against-version", version, "--json", "r.json", cwd=folder
    )

    assert ran.returncode == 0, ran.stderr
    against = json.loads((folder / "r.json").read_text())["against"]
    assert [side["models"] for side in against["sides"]] == [{"web": f"model {version}"}] * 2
    assert (against["only_first"], against["only_second"]) == ([], [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "none.csv"], "--labels none.csv: cannot be read"),
        (["--alerts", "config.toml"], "expected the answer of Prometheus"),
        (["--against", "none.toml"], "none.toml"),
        (["--against", "config.toml", "--against-version", "v"], "expected one of the two"),
        (["--watch", "nobody"], "no watch is named nobody"),
        (["--train-days", "30"], "nothing would be left to judge"),
        (["--against-version", "v9"], "--against-version v9: no watch has that version"),
        (["--train-share", "2"], "--train-share"),
    ],
)
def test_a_wrong_option_is_named_and_ends_with_2(folder, options, message):
    ran = barograph("backtest", "web1.csv", *options, cwd=folder)

    assert ran.returncode == 2
    assert message in ran.stderr
    assert not (folder / "backtest.html").exists()


def test_files_of_no_watch_and_a_report_that_cannot_be_written_end_with_1(folder):
    (folder / "other.toml").write_text(WATCH.replace('by = ["entity"]', 'by = ["entity"]\nmetrics = ["x_*"]'))

    unmatched = barograph("backtest", "web1.csv", "--config", "other.toml", cwd=folder)
    unwritable = barograph("backtest", "web1.csv", "-o", "no/r.html", cwd=folder)

    assert (unmatched.returncode, unwritable.returncode) == (1, 1)
    assert "nothing was judged: watch web: none of its series is in these files" in unmatched.stderr
    assert "cannot write no/r.html" in unwritable.stderr
