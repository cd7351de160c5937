"""What a running sweep shows: live on a terminal, plain in a pipe."""

from __future__ import annotations

import io

import pytest
import record_builders as build

from sweeps.commands.display import PlainDisplay, cells, duration_text, live_table, plain_line, showing
from sweeps.run.progress import Phase, Progress


def progress(phase: Phase = "search", dataset: str = "xor", position: int = 1, n_finished: int = 3) -> Progress:
    header = build.header(dataset=dataset, position=position)
    return Progress(header, phase, 5, n_finished, 0.08431, 2, 0, 0, 65.4)


def test_a_plain_line_says_where_a_study_stands() -> None:
    assert plain_line(progress()) == (
        "XOR: search, 3/20 trials, best test loss 0.0843, candidates 2, floor 0.0723, 1:05 left"
    )


def test_a_table_is_watched_in_its_own_metric() -> None:
    header = build.header(dataset="iris", metric="accuracy", floor=None)
    watched = Progress(header, "search", 5, 3, 0.04, 2, 0, 0, None)
    assert plain_line(watched) == "iris: search, 3/20 trials, best accuracy 0.96, candidates 2"


def test_a_mean_over_folds_is_called_one() -> None:
    header = build.header(dataset="houses", metric="rmse", floor=None, data={"kind": "table"})
    watched = Progress(header, "search", 5, 3, 1234.5678, 2, 0, 0, None)
    assert plain_line(watched) == "houses: search, 3/20 trials, best mean of the folds' RMSE 1234.6, candidates 2"


def test_a_list_of_settings_of_many_kinds_has_no_best_one() -> None:
    header = build.header(dataset="lesson", floor=None, data={"designs": []})
    for phase in ("training", "stopped"):
        watched = Progress(header, phase, 5, 3, 0.0, 0, 0, 0, 65.4)
        assert plain_line(watched) == f"lesson: {phase}, 3/20 trials, 1:05 left"


def test_in_a_pipe_a_line_comes_with_each_phase_and_else_every_ten_seconds() -> None:
    stream, now = io.StringIO(), [0.0]
    display = PlainDisplay(stream, lambda: now[0])
    for second in range(25):
        now[0] = float(second)
        display(progress(n_finished=second))
    display(progress("finalists"))
    phases = [line.split(",")[0] for line in stream.getvalue().splitlines()]
    assert phases == ["XOR: search"] * 3 + ["XOR: finalists"]


def test_a_pipe_gets_no_control_characters() -> None:
    stream = io.StringIO()
    with showing(stream) as show:
        show(progress())
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_live_line_a_dataset_in_the_sweeps_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with showing(stream) as show:
        show(progress(dataset="circle", position=2))
        show(progress())
    last = stream.getvalue().rpartition("dataset")[2]
    assert last.index("XOR") < last.index("circle")


def test_the_table_has_one_row_a_study() -> None:
    assert live_table([progress(), progress(dataset="circle", position=2)]).row_count == 2


def test_what_is_not_known_is_a_dash() -> None:
    assert cells(Progress(build.header(floor=None), "search", 0, 0, None, 0, 0, 0, None))[3:] == ("-", "0", "-", "-")


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (0.2, "0:00"), (65, "1:05"), (7207, "2:00:07")])
def test_durations_read_like_a_clock(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text
