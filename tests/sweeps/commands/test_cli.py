"""The command line: whole messages, exit statuses, and what it imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import record_builders as build

from sweeps.commands.main import build_parser, main
from sweeps.run.one_setting import train_setting
from sweeps.store.log import SweepLock

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = (
    "run",
    "resume",
    "extend",
    "lessons",
    "course",
    "check-homework",
    "report",
    "list",
    "show",
    "digest",
    "sync",
    "import",
    "schema",
    "ui",
    "audit",
    "doctor",
    "train",
    "replay",
    "playground",
    "predict",
)
HEAVY = ("mlflow", "optuna", "numba", "matplotlib", "sklearn", "scipy", "pandas", "numpy", "rich")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every command in an empty folder."""
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail with status 2 and one line, and return the line."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert list(Path().iterdir()) == []
    return output.err.rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], ": argument COMMAND: invalid choice: 'runn'; did you mean run?; see `python -m sweeps --help`"),
        (
            ["run", "--trails", "3"],
            " run: unrecognized arguments: --trails; did you mean --trials?; see `python -m sweeps run --help`",
        ),
        (
            ["run", "--workers", "0"],
            " run: argument --workers: 0 is below 1; give 1 or more; see `python -m sweeps run --help`",
        ),
        (
            ["run", "--trials", "many"],
            " run: argument --trials: 'many' is not a whole number; see `python -m sweeps run --help`",
        ),
        (
            ["run", "--timeout", "nan"],
            " run: argument --timeout: nan is not a finite number of 0 or more; see `python -m sweeps run --help`",
        ),
        (
            ["run", "--until", "reachd"],
            " run: argument --until: invalid choice: 'reachd'; did you mean reached?;"
            " see `python -m sweeps run --help`",
        ),
        (["run", "homewrk"], ": unknown sweep 'homewrk'; did you mean 'homework'? (or name a TOML file)"),
        (["run", "--goal", "below 0.1"], ": goal: 'below 0.1' is not of the form 'test_loss < 0.1'"),
        (
            ["run", "--goal", "tset_loss < 0.1"],
            ": homework: goal: metric: unknown 'tset_loss'; did you mean 'test_loss'?",
        ),
        (
            ["run", "--tracking-uri", "mlruns"],
            ": --tracking-uri mlruns: MLflow keeps no runs in plain files; give sqlite:///PATH.db or http://HOST:PORT",
        ),
        (
            ["show", "homework"],
            ": unknown sweep 'homework'; there is none yet; `python -m sweeps list --results results` lists what has"
            " been run",
        ),
        (
            ["sync"],
            ": --results results: no <sweep>/<dataset>/log.jsonl below it; name a folder `run` has written",
        ),
        (["train", "--dataset", "xorr"], ": homework: unknown dataset 'xorr'; did you mean 'xor'?"),
        (["train", "--activation", "rleu"], ": params: network.activation: unknown 'rleu'; did you mean 'relu'?"),
        (
            ["train", "--hidden", "6,0"],
            " train: argument --hidden: 0 is below 1; give 1 or more; see `python -m sweeps train --help`",
        ),
        (
            ["train", "--batch-size", "351"],
            ": train: training.batch_size: 351 is more than the 350 training points, so that no batch is ever full and"
            " no weight ever moves; give 1 to 350 (350 is the whole set)",
        ),
        (["replay", "xor", "0"], ": replay xor: name sweep and dataset, as in homework/xor"),
        (
            ["playground", "#networkShape=4,,2&seed=1"],
            ": URL: networkShape=4,0,2: hidden layer 2 has 0 units, so nothing can pass; give whole numbers from 1"
            " separated by plain commas",
        ),
        (
            ["ui", "--host", "0.0.0.0"],
            ": --host 0.0.0.0: not this machine's loopback, and the UI has no password;"
            " use 127.0.0.1 and an SSH tunnel",
        ),
    ],
)
def test_bad_input_is_one_line_with_status_2_and_nothing_written(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, *arguments) == f"python -m sweeps{message}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("locked").mkdir(mode=0o500)
    assert main(["run", "--results", "locked", "--tracking-uri", "none"]) == 2
    message = "locked/homework: cannot be written: Permission denied; use another --results"
    assert capsys.readouterr().err == f"python -m sweeps: {message}\n"


def test_a_file_in_the_place_of_the_results_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("")
    assert main(["run", "--results", "taken", "--tracking-uri", "none"]) == 2
    error = capsys.readouterr().err
    assert error == "python -m sweeps: taken/homework: cannot be written: Not a directory; use another --results\n"


def test_a_sweep_that_another_driver_holds_is_status_75(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("results/homework")
    folder.mkdir(parents=True)
    with SweepLock(folder):
        assert main(["run", "--tracking-uri", "none"]) == 75
    error = capsys.readouterr().err
    assert error.startswith(f"python -m sweeps: results/homework: held by process {os.getpid()} on ")


def test_help_of_everything_has_an_example_and_imports_nothing_heavy() -> None:
    program = (
        "import sys, sweeps.commands.main as cli\n"
        f"for command in [[], *([c] for c in {COMMANDS!r})]:\n"
        "    assert cli.main([*command, '--help']) == 0, command\n"
        f"found = sorted(set({HEAVY!r}) & set(sys.modules))\n"
        "assert not found, found\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("example: python -m sweeps") == 1 + len(COMMANDS)


def test_every_command_is_known_to_the_help_test() -> None:
    assert tuple(build_parser()[1].choices) == COMMANDS


def test_show_prints_the_homework_table_and_both_sides_of_the_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.homework(tmp_path / "results")
    assert main(["show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    columns = "data type | activation | batch size | # hidden layers | # neurons | epochs | training loss | test loss"
    assert lines[0] == columns
    assert [line.split(" | ")[0].strip() for line in lines[1:5]] == ["two blobs", "XOR", "circle", "spiral"]
    titles = [line.split(" | ")[0].strip() for line in lines]
    assert titles.count("In range") == titles.count("Out of range") == titles.count("Setting") == 1


def test_list_names_what_has_been_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.homework(tmp_path / "results", n_trials=4)
    assert main(["list"]) == 0
    assert "homework/xor: 4 trials, certified: both upper bounds are below 0.1\n" in capsys.readouterr().out


def test_an_altered_log_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = build.homework(tmp_path / "results", n_trials=4) / "xor" / "log.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace('"epochs":100', '"epochs":101')
    log.write_text("".join(lines))
    assert main(["show"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("python -m sweeps: results/homework/xor/log.jsonl: line 3: altered")


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    build.homework(tmp_path / "results", n_trials=20)
    result = subprocess.run(
        f"{sys.executable} -m sweeps show | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout.splitlines()[-1] == "0"


def test_playground_prints_the_pages_losses_epoch_by_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playground", "#dataset=xor&networkShape=2&seed=0.5", "--epochs", "3"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert all(0.0 < float(loss) < 1.0 for row in rows for loss in row[1:])


@pytest.mark.parametrize(
    ("arguments", "needs", "advice"),
    [
        (
            ["train", "--hidden", "9999999"],
            "train: memory: 64 replicas of 2-9999999-1 with sgd need 155.27 GiB",
            "fewer units, fewer replicas",
        ),
        (
            ["playground", "#networkShape=20000,20000&seed=1"],
            "memory: 1 replica of 2-20000-20000-1 with sgd needs 21.27 GiB",
            "fewer units",
        ),
    ],
)
def test_a_network_that_the_machine_cannot_hold_is_refused_before_anything_is_drawn(
    arguments: list[str],
    needs: str,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("engine.roads.memory.available_bytes", lambda: 2**34)
    said = f"python -m sweeps: {needs}, 16.00 GiB are available; take {advice} or a smaller batch"
    assert refused(capsys, *arguments) == said


def test_playground_says_where_an_address_goes_beyond_the_pages_buttons(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playground", "#networkShape=9,1,1,1,1,1,1&batchSize=31&seed=1", "--epochs", "1"]) == 0
    assert capsys.readouterr().err.splitlines()[:3] == [
        "address: the page's buttons end at 6 hidden layers; its address takes 7",
        "address: the page's buttons end at 8 units a layer; its address takes 9",
        "address: the page's slider ends at batches of 30; its address takes 31",
    ]
    assert main(["playground", "#networkShape=8,1,1,1,1,1&batchSize=30&seed=1", "--epochs", "1"]) == 0
    assert "address:" not in capsys.readouterr().err


def test_train_gives_intervals_pass_rate_floor_both_ranges_and_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--dataset", "gauss", "--epochs", "5", "--replicas", "8"]) == 0
    output = capsys.readouterr().out
    for word in ("training loss", "test loss", "pass rate", "floor", "in range", "https://playground.tensorflow.org/#"):
        assert word in output


def test_train_prints_each_replica_and_says_what_is_worse_than_guessing(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--dataset", "spiral", "--epochs", "200", "--replicas", "70", "--learning-rate", "0.1"]
    assert main([*arguments, "--each"]) == 0
    said = capsys.readouterr()
    progress = ("training replicas 1 to 64 of 70, 200 epochs ...", "training replicas 65 to 70 of 70, 200 epochs ...")
    assert "\n".join(progress) in said.err
    guess = r"out of range: worse than always guessing the mean training label \([\d.]+ \[[\d., ]+\] against 0\.\d+\)"
    assert re.search(guess, said.out)
    lines = said.out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("replica | seed"))
    rows = [line.split(" | ") for line in lines[first + 1 : first + 71]]
    assert [int(row[0]) for row in rows] == list(range(70))
    assert len({row[1] for row in rows}) == 70
    mean = sum(float(row[3]) for row in rows) / 70
    told = re.search(r"test loss ([\d.]+) \[", said.out)
    assert told is not None
    assert float(told[1]) == pytest.approx(mean, abs=1e-4)


def test_replicas_on_the_same_data_differ_in_their_weights_only() -> None:
    params = {
        "network.activation": "tanh",
        "network.n_hidden_layers": 1,
        "network.hidden_layer_sizes.1": 3,
        "training.optimizer": "sgd",
        "training.learning_rate": 0.03,
        "training.batch_size": 10,
        "training.regularizer": "none",
        "training.regularization_rate": 0.0,
    }
    given = {"params": params, "epochs": 3, "noise": 0.2, "train_share": 0.7, "goal": "test_loss < 0.1", "seed": 1}
    same, own = (
        train_setting("xor", **given, n_replicas=5, same_data=same_data).trials[0] for same_data in (True, False)
    )
    assert len(set(same.floor_test_loss)) == len(set(same.n_in_range)) == len(set(same.floor_out_of_range_loss)) == 1
    assert len(set(own.floor_test_loss)) > 1
    assert len(set(same.test_loss)) == 5  # first weights of their own
    assert same.test_loss[0] == own.test_loss[0]  # the first replica is what it was
    assert same.out_of_range_loss[0] == own.out_of_range_loss[0]


def test_train_is_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "--dataset", "xor", "--epochs", "3", "--replicas", "4", "--hidden", "3"]
    outputs = [(main(arguments), capsys.readouterr().out) for _ in range(2)]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("arguments", [["run"], ["run", "own.toml"], ["resume"]])
def test_a_held_sweep_is_told_before_anything_heavy_is_loaded(tmp_path: Path, arguments: list[str]) -> None:
    folder = build.homework(tmp_path / "results", n_trials=1)
    Path("own.toml").write_text('name = "homework"\n')
    program = (
        "import sys, sweeps.commands.main as cli\n"
        f"assert cli.main({arguments!r}) == 75\n"
        "found = {'scipy', 'optuna', 'mlflow', 'numba'} & set(sys.modules)\n"
        "assert not found, found\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with SweepLock(folder):
        result = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
    assert result.stderr.startswith(f"python -m sweeps: results/homework: held by process {os.getpid()} on ")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
