"""The table of trials, its drawings and a trial's page as a person uses them, in headless Chromium."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import record_builders as build

from analysis.formats.blocks import number_text
from analysis.records.events import Stage
from analysis.records.study import STAGES, Study, TrialRecord
from analysis.report import render, write_pages, write_report
from analysis.statistics.homework import known_mean

pytestmark = pytest.mark.browser
PAYLOAD = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"
TIES = [0.3125, 0.0625, 0.1875, 0.4375, 0.5, 1.0, 0.999951, 0.0999995, 0.00012345, 12.5, 103.5, 0.015625]
"""Losses at which roundings differ: ties, powers of ten, small and large ones."""
PAST = (
    "return [...document.querySelectorAll('.workbench tbody tr')].map(r => [...r.cells].map(c => c.innerText.trim()))"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    build.study_with_networks(results / "homework", "gauss")
    study = build.finished_study("xor", 1, n_trials=70, n_certificate=50)
    for trial, loss in zip(study.trials, TIES, strict=False):
        trial.test_loss[:] = [loss] * len(trial.test_loss)
    for trial in study.trials:
        trial.params[PAYLOAD] = PAYLOAD if trial.number % 2 else "plain"
    study.records["search"][4] = dataclasses.replace(build.failed(np.random.default_rng(1), 4), reason=PAYLOAD)
    build.write_study(study, results / "homework")
    return write_report([results / "homework"]).as_uri()


@pytest.fixture
def opened(driver, report: str) -> Iterator:
    driver.get_log("browser")
    driver.get("about:blank")
    driver.get(f"{report}#trials-all")
    wait_for(driver, "return document.querySelectorAll('.workbench canvas').length === 4")
    yield driver
    assert driver.get_log("browser") == []


def wait_for(driver, script: str) -> None:
    support = pytest.importorskip("selenium.webdriver.support.ui", reason="selenium drives the browser")
    support.WebDriverWait(driver, 10).until(lambda one: one.execute_script(script))


def rows(driver) -> list[list[str]]:
    return driver.execute_script(PAST)


def column(driver, title: str) -> list[str]:
    titles = driver.execute_script(
        "return [...document.querySelectorAll('.workbench thead th button')].map(b => b.innerText.trim())"
    )
    return [row[titles.index(title)] for row in rows(driver)]


def type_filter(driver, title: str, text: str) -> None:
    box = driver.find_element("css selector", f".workbench input[aria-label='Filter {title}']")
    box.clear()
    box.send_keys(text)


def status(driver) -> str:
    return driver.find_element("css selector", ".workbench [role=status]").text


def heading(driver, title: str):
    found = driver.find_elements("css selector", ".workbench thead th")
    return next(cell for cell in found if cell.text.strip(" ▲▼") == title)


def test_the_table_begins_with_the_searches_own_trials(opened) -> None:
    shown = int(status(opened).split()[0])
    assert status(opened) == f"{shown} of {shown + 6} trials"
    assert set(column(opened, "Stage")) == {"search"}
    assert len(rows(opened)) == 50


def test_a_heading_sorts_by_click_and_by_keyboard_and_says_so(opened) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium drives the browser").Keys
    heading(opened, "Out of range").find_element("tag name", "button").click()
    losses = [float(text) for text in column(opened, "Out of range") if text]
    assert losses == sorted(losses)
    assert heading(opened, "Out of range").get_attribute("aria-sort") == "ascending"
    heading(opened, "Out of range").find_element("tag name", "button").send_keys(keys.ENTER)
    losses = [float(text) for text in column(opened, "Out of range") if text]
    assert losses == sorted(losses, reverse=True)
    assert heading(opened, "Out of range").get_attribute("aria-sort") == "descending"


def test_what_has_no_loss_comes_last_whichever_way_it_is_sorted(opened) -> None:
    for _ in range(2):
        heading(opened, "Test loss").find_element("tag name", "button").click()
        opened.find_element("xpath", "//div[@class='workbench']//button[.='Next']").click()
        losses = column(opened, "Test loss")
        assert "" in losses
        assert losses == [text for text in losses if text] + [""] * losses.count("")


@pytest.mark.parametrize(
    ("title", "text", "holds"),
    [
        ("Test loss", "<0.09", lambda value: value and float(value) < 0.09),
        ("Test loss", "0.1..0.2", lambda value: value and 0.1 <= float(value) <= 0.2),
        ("Test loss", "none", lambda value: value == ""),
        ("Activation", "relu", lambda value: value == "relu"),
        ("Activation", "tanh|sigmoid", lambda value: value in ("tanh", "sigmoid")),
        ("Result", "=diverged", lambda value: value == "diverged"),
    ],
)
def test_a_filter_keeps_what_it_says(opened, title: str, text: str, holds) -> None:
    type_filter(opened, title, text)
    found = column(opened, title)
    assert found
    assert all(holds(value) for value in found)


def test_a_filter_that_is_none_is_marked_and_explained(opened) -> None:
    before = status(opened)
    type_filter(opened, "Test loss", "small")
    box = opened.find_element("css selector", ".workbench input[aria-label='Filter Test loss']")
    assert box.get_attribute("aria-invalid") == "true"
    assert status(opened) == (
        f"{before}; Test loss: not understood. Numbers: <0.1, >=2, 0.01..0.1, or none. Text: a part of it, a|b for "
        "either, =a for the whole."
    )


def test_a_stretch_of_an_axis_becomes_a_filter_of_table_and_drawings(opened) -> None:
    actions = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser").ActionChains(opened)
    before = status(opened)
    canvas = opened.find_elements("css selector", ".workbench .plot canvas")[1]
    painted = opened.execute_script("return document.querySelector('.workbench .plot canvas').toDataURL()")
    width = canvas.size["width"]
    # The last axis is the loss out of range: its lower half.
    actions.move_to_element_with_offset(canvas, int(width / 2) - 50, 40).click_and_hold()
    actions.move_by_offset(2, 80).release().perform()
    text = opened.find_element("css selector", ".workbench input[aria-label='Filter Out of range']").get_attribute(
        "value"
    )
    low, high = map(float, re.fullmatch(r"(.+)\.\.(.+)", text).groups())
    assert status(opened) != before
    assert all(low <= float(value) <= high for value in column(opened, "Out of range"))
    assert painted != opened.execute_script("return document.querySelector('.workbench .plot canvas').toDataURL()")
    opened.find_element("xpath", "//div[@class='workbench']//button[.='Clear filters']").click()
    assert status(opened) == before


def test_numbers_are_said_as_everywhere_in_the_report(opened) -> None:
    found = dict(zip(column(opened, "Trial"), rows(opened), strict=True))
    titles = [cell.text.strip() for cell in opened.find_elements("css selector", ".workbench thead th")]
    for number, loss in enumerate(TIES):
        if number != 4:
            row = found_row(opened, "XOR", f"#{number}")
            assert row[titles.index("Test loss")] == number_text(loss), number
    assert found


def found_row(opened, dataset: str, trial: str) -> list[str]:
    type_filter(opened, "Dataset", dataset)
    return next(row for row in rows(opened) if row[0] == trial)


def test_a_row_says_the_numbers_of_its_record_and_of_the_card(opened, report: str) -> None:
    type_filter(opened, "Stage", "=certificate")
    titles = [cell.text.strip() for cell in opened.find_elements("css selector", ".workbench thead th")]
    row = next(row for row in rows(opened) if "XOR" in row)
    study = build.finished_study("xor", 1, n_trials=70, n_certificate=50)
    assert study.winner is not None
    assert row[titles.index("In range")] == number_text(known_mean(study.winner.in_range_loss) or 0)
    cards = opened.find_elements("css selector", ".card")
    card = dict(re.findall(r"(Test loss|Training loss|In range|Out of range|Pass rate)\n([\d.]+)", cards[1].text))
    assert len(card) == 5
    assert {title: row[titles.index(title)] for title in card} == card


def test_a_trials_page_has_its_setting_curves_replicas_and_commands(opened) -> None:
    type_filter(opened, "Dataset", "XOR")
    opened.find_element("link text", "#0").click()
    page = opened.find_element("css selector", ".workbench .trial")
    assert opened.switch_to.active_element.text.startswith("XOR #0: ")
    assert "hidden layers" in page.find_element("css selector", ".setting").text
    assert "python -m sweeps replay homework/xor 0" in page.text
    assert "tags.\"sweep.uid\" = 'homework/xor:search:0'" in page.text
    assert page.find_element("css selector", ".curves canvas").get_attribute("aria-label").startswith("Loss by epoch; ")
    replicas = page.find_elements("css selector", "tbody tr")
    assert len(replicas) == 16
    assert {row.find_elements("tag name", "td")[2].text for row in replicas} == {number_text(TIES[0])}
    opened.find_element("link text", "All trials").click()
    assert opened.switch_to.active_element.text == "#0"
    assert not page.is_displayed()


def test_a_trials_page_opens_by_its_address_and_closes_by_going_back(driver, report: str) -> None:
    driver.get("about:blank")
    driver.get(f"{report}#trial-two-blobs-certificate-0")
    page = driver.find_element("css selector", ".workbench .trial")
    assert page.is_displayed()
    assert (
        page.find_element("css selector", ".surface canvas").get_attribute("aria-label").startswith("Mean prediction")
    )
    driver.get(f"{report}#trials")
    wait_for(driver, "return document.querySelector('.workbench .trial').hidden")
    driver.back()
    wait_for(driver, "return !document.querySelector('.workbench .trial').hidden")


def test_a_trial_without_a_page_says_where_the_rest_is(opened, report: str) -> None:
    opened.get(f"{report}#trial-xor-4")
    page = opened.find_element("css selector", ".workbench .trial")
    assert page.find_element("tag name", "h4").text == "XOR #4: failed"
    assert "Curves and replicas are on the page of the best trials and of the stages only" in page.text


def test_names_stay_text(opened) -> None:
    common = pytest.importorskip("selenium.common", reason="selenium drives the browser")
    assert PAYLOAD in {cell for row in rows(opened) for cell in row}
    with pytest.raises(common.NoAlertPresentException):
        opened.switch_to.alert  # noqa: B018
    assert opened.execute_script("return document.querySelectorAll('.workbench img').length") == 0


def test_without_scripts_the_page_shows_its_sections_and_no_empty_table(driver, report: str) -> None:
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.get("about:blank")
    driver.get(f"{report}#trials")
    assert driver.find_element("id", "trials").is_displayed()
    assert driver.find_elements("css selector", "#trials figure img")
    assert driver.find_element("css selector", ".workbench").size["height"] == 0
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["trials-all", "trial-two-blobs-certificate-0"])
def test_axe_finds_nothing_serious(driver, report: str, scheme: str, place: str) -> None:
    pytest.importorskip("axe_core_python", reason="axe-core-python brings the accessibility checker axe")
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    driver.get("about:blank")
    driver.get(f"{report}#{place}")
    driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    driver.execute_script(axe)
    found = driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run({resultTypes: ['violations']}).then(r => done([r.passes.length, r.violations.map("
        "v => [v.impact, v.id, v.nodes.map(n => n.html.slice(0, 200))])]))"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert found[0] > 20
    assert [one for one in found[1] if one[0] in ("serious", "critical")] == []


def one_trial() -> Study:
    return Study(build.header(), records=only([build.record(np.random.default_rng(1))]))


def all_diverged() -> Study:
    return Study(build.header(), records=only([build.diverged(np.random.default_rng(1), n) for n in range(6)]))


def all_failed() -> Study:
    return Study(build.header(), records=only([build.failed(np.random.default_rng(1), n) for n in range(2)]))


def nothing_beyond() -> Study:
    study = build.finished_study("xor", n_trials=9, n_certificate=8)
    for record in study.all_records():
        n = len(record.out_of_range_loss)
        record.out_of_range_loss[:], record.n_out_of_range[:] = [None] * n, [0] * n
        record.curves["out_of_range_loss_mean"] = [None] * len(record.epoch_grid)
    return study


def only(trials: list[TrialRecord]) -> dict[Stage, list[TrialRecord]]:
    return {stage: trials if stage == "search" else [] for stage in STAGES}


@pytest.mark.parametrize("make", [one_trial, all_diverged, all_failed, nothing_beyond])
def test_poor_searches_have_a_table_and_pages_too(driver, tmp_path: Path, make: Callable[[], Study]) -> None:
    study = make()
    page = write_pages(render([study]), tmp_path).as_uri()
    driver.get_log("browser")
    driver.get(f"{page}#trials-all")
    assert len(rows(driver)) == len(study.trials)
    assert not [cell for row in rows(driver) for cell in row if re.search(r"NaN|Infinity|undefined|null", cell)]
    driver.get(f"{page}#trial-xor-0")
    assert driver.find_element("css selector", ".workbench .trial h4").text.startswith("XOR #0: ")
    assert not re.search(r"NaN|Infinity|undefined|null", driver.find_element("css selector", ".trial").text)
    assert driver.get_log("browser") == []


@pytest.mark.slow
def test_ten_thousand_trials_are_written_small_and_soon_and_opened_at_once(driver, tmp_path: Path) -> None:
    build.write_study(build.finished_study("xor", n_trials=10_000, n_certificate=1000), tmp_path / "homework")
    before = time.process_time()
    page = write_report([tmp_path / "homework"])
    assert time.process_time() - before <= 10.0
    assert page.stat().st_size <= 5_000_000
    driver.get(page.as_uri())
    took = driver.execute_async_script(
        "const done = arguments[0], start = performance.now();"
        "document.querySelector('#trials').closest('details').open = true;"
        "requestAnimationFrame(() => setTimeout(() => requestAnimationFrame(() => done(performance.now() - start))))"
    )
    assert took <= 1000
    assert len(driver.find_elements("css selector", ".workbench canvas")) == 4
