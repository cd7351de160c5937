"""A log proves itself as a whole: whatever is done to its lines is found, by itself or by the anchors outside it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import record_builders as build
from tally import many

from analysis.records.lines import RecordError, canonical_json, encode_line
from analysis.records.reading import anchor_difference, read_study, read_sweep
from analysis.records.study import Study, canonical_lines
from analysis.records.values import as_data
from sweeps.commands.main import main
from sweeps.store.log import StudyLog, mend_end

RESTORE = "restore it from a copy, or from MLflow with `import`"


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sealed logs of one sweep."""
    folder = tmp_path_factory.mktemp("logs") / "homework"
    return (
        build.write_study(build.finished_study("gauss", 0, n_trials=5, n_certificate=4), folder),
        build.write_study(build.finished_study("xor", 1, n_trials=6, n_certificate=4), folder),
    )


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def with_own_digest(text: bytes, **changes: Any) -> bytes:
    """Return a line with other values, and the digest that the line itself then has."""
    outer = json.loads(text)
    if "before" not in outer:
        return encode_line(changes.get("kind", outer["kind"]), changes.get("data", outer["data"])).encode()
    del outer["sha256"]
    outer |= changes
    inner = ",".join(f"{json.dumps(key)}:{canonical_json(value)}" for key, value in outer.items())
    return f'{{"sha256":"{hashlib.sha256(inner.encode()).hexdigest()}",{inner}}}\n'.encode()


def changed(line: bytes, rng: random.Random) -> bytes:
    """Return a line with one number of its data changed, and its own digest corrected."""
    data = json.loads(line)["data"]
    numbers = [key for key, value in data.items() if isinstance(value, int | float)]
    key = rng.choice(numbers) if numbers else None
    if key is None:
        return with_own_digest(line, kind="finishee")
    value = data[key]
    new = (not value) if isinstance(value, bool) else value + 1
    return with_own_digest(line, data=data | {key: new})


def edited(lines: list[bytes], other: list[bytes], rng: random.Random) -> list[bytes]:
    """Return a log with one to three edits of the kinds that a hand, a script or a merge makes."""
    lines = list(lines)
    for _ in range(rng.randrange(1, 4)):
        i = rng.randrange(len(lines))
        j = rng.randrange(len(lines))
        k = rng.randrange(len(other))
        edit = rng.randrange(10)
        if edit == 0 and len(lines) > 1:
            del lines[i]
        elif edit == 1:
            lines.insert(j, lines[i])
        elif edit == 2:
            lines[i], lines[j] = lines[j], lines[i]
        elif edit == 3:
            lines[i] = other[k]
        elif edit == 4:
            lines.insert(i, other[k])
        elif edit == 5:
            lines[i:] = other[k:]
        elif edit == 6:
            lines[i] = changed(lines[i], rng)
        elif edit == 7 and len(lines) > 1:
            del lines[max(1, min(i, j)) : max(i, j) + 1]
        elif edit == 8:
            lines[i] = with_own_digest(lines[i], before=json.loads(lines[j]).get("before"), line=j + 1)
        else:
            lines[i] = encode_line(json.loads(lines[i])["kind"], json.loads(lines[i])["data"]).encode()
    return lines


@pytest.mark.parametrize("n_edits", [500, pytest.param(many(2000), marks=pytest.mark.faults)])
def test_every_edit_of_a_sealed_log_is_found(
    logs: tuple[Path, Path], tmp_path: Path, n_edits: int, tally: Callable[[str, float, float], None]
) -> None:
    rng = random.Random(n_edits)
    originals = [lines_of(path) for path in logs]
    anchors = [read_study(path).digest for path in logs]
    silent, messages, n_by_anchor = [], [], 0
    for n in range(n_edits):
        which = n % 2
        lines = edited(originals[which], originals[1 - which], rng)
        while lines == originals[which]:
            lines = edited(originals[which], originals[1 - which], rng)
        path = tmp_path / logs[which].parent.name / "log.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(lines))
        try:
            study = read_study(path)
        except RecordError as error:
            messages.append(str(error))
            continue
        if anchor_difference(study, anchors[which], "MLflow") is None:
            silent.append(lines)
        n_by_anchor += 1
    what = "edits of sealed logs, anchors at hand: remove, repeat, swap, splice, cut, digests of single lines corrected"
    tally(what, n_edits, len(silent))
    assert silent == []
    assert all(re.match(rf"{re.escape(str(tmp_path))}/\w+/log.jsonl: [^\n]+$", message) for message in messages)
    assert len(messages) + n_by_anchor == n_edits
    assert n_by_anchor > 0  # what is cut off the end leaves a log such as a killed driver leaves


def test_a_whole_chain_written_anew_is_found_by_its_anchor(logs: tuple[Path, Path], tmp_path: Path) -> None:
    study = read_study(logs[0])
    anchor = study.digest
    best = min(study.trials, key=lambda trial: trial.value)
    study.records["search"] = [
        dataclasses.replace(trial, value=trial.value / 2) if trial is best else trial for trial in study.trials
    ]
    study.chain = None
    path = build.write_study(study, tmp_path)
    forged = read_study(path)
    assert anchor_difference(forged, forged.digest, "MLflow") is None
    assert anchor_difference(forged, anchor, "MLflow") == (
        f"{path}: sealed as {forged.digest[:12]}; expected {anchor[:12]}, as MLflow says; {RESTORE}"
    )


def test_a_log_whose_end_was_cut_off_is_found_by_its_anchor(logs: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines_of(logs[0])[:-3]))
    study = read_study(path)
    assert study.chain is not None
    assert study.chain.proves == "unfinished: its lines are whole and in order, not that none followed"
    anchor = read_study(logs[0]).digest
    assert anchor_difference(study, anchor, "MLflow") == (
        f"{path}: unfinished, and as {study.digest[:12]}; expected {anchor[:12]}, as MLflow says; {RESTORE}"
    )


Edit = Callable[[list[bytes], list[bytes]], list[bytes]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda own, _: [*own[:3], *own[4:]],
            "line 4: written as line 5, expected line 4: lines are missing, ",
        ),
        (lambda own, _: [own[0], own[0], *own[1:]], "line 2: written as line 1, expected line 2: "),
        (lambda own, _: [*own, own[-1]], "line 16: written as line 15, expected line 16: "),
        (lambda own, _: [own[1]], "line 1: a 'asked' line; expected the study's header; "),
        (
            lambda own, other: [*own[:2], *other[2:]],
            "line 3: a line of 'homework/xor', expected one of homework/gauss",
        ),
        (lambda _, other: other, "line 1: study.dataset: 'xor'; expected gauss, the name of the log's folder; "),
        (
            lambda own, _: [*own[:2], with_own_digest(own[2], kind="finishee"), *own[3:]],
            "line 3: kind: 'finishee'; ",
        ),
        (
            lambda own, _: [*own[:2], own[2].replace(b"finished", b"finalist"), *own[3:]],
            "line 3: altered (its SHA-256 ",
        ),
        (
            lambda own, _: [own[0], with_own_digest(own[1], data=json.loads(own[1])["data"] | {"source": True})],
            "line 2: asked.source: True; expected int; ",
        ),
        (
            lambda own, _: [*own[:2], with_own_digest(own[2], data=json.loads(own[2])["data"] | {"test_loss": [None]})],
            "line 3: finished.test_loss[0]: None; expected float; ",
        ),
        (
            lambda own, _: [*own[:2], with_own_digest(own[2], data={"number": 0})],
            "line 3: finished.candidate: missing; ",
        ),
        (lambda own, _: [own[0], b"[" * 20_000 + b"\n"], "line 2: not a log line (nested too deeply); "),
        (lambda own, _: [own[0], b'{"sha256":NaN}\n'], "line 2: not a log line (NaN is no number); "),
        (
            lambda own, _: [own[0], b'["kind"]\n'],
            "line 2: not a log line (expected sha256, before, line, study, ",
        ),
    ],
)
def test_what_does_not_belong_is_named_with_its_line(
    logs: tuple[Path, Path], tmp_path: Path, edit: Edit, message: str
) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"".join(edit(lines_of(logs[0]), lines_of(logs[1]))))
    with pytest.raises(RecordError) as caught:
        read_study(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert str(caught.value).endswith(RESTORE)


def rechained(study: Study, change: Callable[[list[tuple[str, Any]]], object]) -> list[str]:
    """Return a log whose chain is right and whose lines are not: a program's mistake rather than a hand's."""
    from analysis.records.lines import Chain
    from analysis.records.study import study_name

    items = [(line["kind"], line["data"]) for line in map(json.loads, build.log_lines(study))]
    change(items)
    chain = Chain(study_name(study.header))
    return [chain.encode(kind, data, study.digest if kind == "verdict" else None) for kind, data in items]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda items: items.insert(3, items[1]), "line 4: asked.number: 0; expected 1: trials are asked in order"),
        (lambda items: items.insert(3, items[2]), "line 4: finished.number: 0 is there already; expected each once"),
        (lambda items: items.pop(1), "line 2: finished.number: 0; expected a trial that was asked"),
        (lambda items: items.pop(2), "a verdict without the record of trial 0; expected all that were asked"),
        (lambda items: items.append(items[1]), "line 16: a 'asked' line behind the verdict; expected none"),
        (lambda items: items.append(items[-1]), "line 16: a 'verdict' line behind the verdict; expected none"),
        (lambda items: items.insert(1, items[0]), "line 2: a second header; expected none"),
        (
            lambda items: items[2][1].update(params={}),
            "line 3: finished.params: not those that trial 0 was asked with",
        ),
        (
            lambda items: items[2][1].update(study="homework/spiral"),
            "line 3: finished.study: 'homework/spiral'; expected homework/gauss",
        ),
        (lambda items: items[-1][1].update(winner=3), "verdict.winner: 3; expected the number of a certificate"),
        (lambda items: items[-2][1].update(number=1), "a verdict without page_certificate 0; expected all before"),
        (lambda items: items[2][1].update(value=0.0), "; expected "),
    ],
)
def test_a_chain_that_is_right_does_not_make_lines_right(
    logs: tuple[Path, Path], tmp_path: Path, change: Callable[[list[tuple[str, Any]]], object], message: str
) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    path.write_text("".join(rechained(read_study(logs[0]), change)))
    with pytest.raises(RecordError, match=re.escape(message)):
        read_study(path)


def test_logs_of_two_sweeps_in_one_folder_are_refused(logs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "homework"
    build.write_study(read_study(logs[0]), folder)
    study = build.finished_study("xor", 1, n_trials=2, n_certificate=4)
    study.header = dataclasses.replace(study.header, seed=7)
    path = build.write_study(study, folder)
    with pytest.raises(RecordError) as caught:
        read_sweep(folder)
    assert str(caught.value) == (
        f"{path}: line 1: study.seed: 7; expected 0, as in gauss's log: of another sweep; {RESTORE}"
    )


def unchained(path: Path) -> bytes:
    """Return a log as the versions before wrote it."""
    lines = []
    for line in lines_of(path):
        outer = json.loads(line)
        lines.append(encode_line(outer["kind"], outer["data"]))
    return "".join(lines).encode()


def test_a_log_of_an_earlier_version_opens_and_says_what_it_cannot_prove(
    logs: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    path.write_bytes(unchained(logs[0]))
    study = read_study(path)
    assert study.digest == read_study(logs[0]).digest
    assert study.chain is not None
    assert study.chain.proves == (
        "written by an earlier version: each line proves itself, not that none is missing or repeated"
    )
    with pytest.raises(RecordError) as caught:
        StudyLog(path, study.header)
    assert str(caught.value) == (
        f"{path}: written by a version that did not chain its lines; it can be read and reported, not gone on with: run"
        " into another --results"
    )
    path.write_bytes(b"".join([*lines_of(path)[:1], *lines_of(logs[0])[1:]]))
    with pytest.raises(RecordError, match="line 2: chained to lines that are not; "):
        read_study(path)


@pytest.mark.parametrize("n_kept", [None, 9])
def test_line_ends_of_another_system_are_read_and_brought_back(
    logs: tuple[Path, Path], tmp_path: Path, n_kept: int | None
) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    content = b"".join(lines_of(logs[0])[:n_kept])
    path.write_bytes(content)
    expected = read_study(path).digest
    for damaged in (content.replace(b"\n", b"\r\n"), content[:-1], content.replace(b"\n", b"\r\n")[:-2]):
        path.write_bytes(damaged)
        study = read_study(path)
        assert study.digest == expected
        StudyLog(path, study.header).close()
        assert path.read_bytes() == content
    damaged = content.replace(b"\n", b"\r\n") + b'{"sha256":"00\r'
    path.write_bytes(damaged)
    assert read_study(path).digest == expected
    mend_end(path)
    assert path.read_bytes() == content


def test_lone_carriage_returns_are_refused_with_a_remedy_and_nothing_is_cut(
    logs: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "gauss" / "log.jsonl"
    path.parent.mkdir()
    damaged = logs[0].read_bytes().replace(b"\n", b"\r")
    path.write_bytes(damaged)
    header = read_study(logs[0]).header
    for look in (read_study, mend_end, lambda path: StudyLog(path, header)):
        with pytest.raises(RecordError) as caught:
            look(path)
        assert str(caught.value) == (
            f"{path}: its line ends are carriage returns; change them back: tr '\\r' '\\n' < FILE > COPY"
        )
        assert path.read_bytes() == damaged


def test_the_command_says_it_in_one_line(
    logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "homework"
    path = build.write_study(read_study(logs[0]), folder)
    lines = lines_of(path)
    path.write_bytes(b"".join([*lines[:4], *lines[6:]]))
    for command in ("report", "digest", "show"):
        assert main([command, "homework", "--results", str(tmp_path)]) == 2
        assert capsys.readouterr().err == (
            f"python -m sweeps: {path}: line 5: written as line 7, expected line 5: lines are missing, repeated or"
            f" moved; {RESTORE}\n"
        )


def test_records_are_given_back_as_they_are(logs: tuple[Path, Path], tmp_path: Path) -> None:
    study = read_study(logs[0])
    again = read_study(build.write_study(study, tmp_path))
    assert [as_data(record) for record in again.trials] == [as_data(record) for record in study.trials]
    assert logs[0].read_bytes() == (tmp_path / "gauss" / "log.jsonl").read_bytes()


def test_a_field_that_a_later_version_adds_with_a_default_does_not_change_the_canonical_form() -> None:
    """Its value is the default in every log written before; only another value is told."""
    study = build.finished_study(n_trials=2, n_certificate=4)
    before = canonical_lines(study)
    plain = dataclasses.make_dataclass(
        "LaterHeader", [("since", str, dataclasses.field(default="nothing"))], bases=(type(study.header),), frozen=True
    )
    values = {one.name: getattr(study.header, one.name) for one in dataclasses.fields(study.header)}
    study.header = plain(**values)
    assert canonical_lines(study) == before
    study.header = plain(**values, since="told")
    assert canonical_lines(study) != before


def test_trials_chosen_together_wait_for_the_disk_once_and_stand_there_in_order(
    logs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read_study(logs[0])
    folder = tmp_path / study.header.dataset
    alone, together = StudyLog(folder / "alone.jsonl", study.header), StudyLog(folder / "log.jsonl", study.header)
    header = together.path.read_bytes()
    for number in range(3):
        alone.asked(number, study.asked[number], {}, None)
        together.choose(number, study.asked[number], {}, None)
    assert together.path.read_bytes() == header
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), fsync(descriptor)))
    together.write()
    together.write()
    assert len(flushed) == 1
    assert together.path.read_bytes() == alone.path.read_bytes()
    assert read_study(together.path).asked == {number: study.asked[number] for number in range(3)}
    alone.close()
    together.close()
