"""The report as a person sees it, in headless Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import record_builders as build

from analysis.report import write_report
from analysis.sections.registry import GROUPS

pytestmark = pytest.mark.browser
PAYLOAD = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    build.study_with_networks(results / "homework", "gauss")
    study = build.finished_study("xor", 1, n_trials=12, n_certificate=50)
    study.verdict = type(study.verdict)(False, 0, None, False, 0.05, 1, "budget", PAYLOAD)
    for trial in study.trials:
        trial.params[PAYLOAD] = trial.number % 2
    build.write_study(study, results / "homework")
    return write_report([results / "homework"]).as_uri()


@pytest.fixture
def opened(driver, page: str):
    driver.get_log("browser")  # forget what an earlier page said
    driver.get(page)
    return driver


def text_of(opened, selector: str) -> list[str]:
    return [element.text for element in opened.find_elements("css selector", selector)]


def open_all(opened) -> None:
    opened.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")


def test_a_person_sees_every_section_and_the_answer(opened) -> None:
    assert text_of(opened, "h1") == ["Sweep report: homework"]
    assert text_of(opened, "details.question h2") == list(GROUPS)
    open_all(opened)
    assert all(text_of(opened, "section > h3.title"))
    assert len(opened.find_elements("css selector", "section")) == len(build.SHOWN_SECTIONS)
    cells = text_of(opened, "#answer tbody tr:first-child td, #answer tbody tr:first-child th")
    assert cells[0] == "two blobs"
    assert "certified" in cells
    assert PAYLOAD in opened.find_element("id", "answer").text


def test_all_pictures_are_loaded_and_wide_enough_to_read(opened) -> None:
    open_all(opened)
    sizes = opened.execute_script(
        "return [...document.querySelectorAll('.question img')].map(i => [i.complete, i.naturalWidth, i.clientWidth])"
    )
    assert len(sizes) >= 10
    assert all(complete and natural > 0 and shown > 300 for complete, natural, shown in sizes)


def test_the_browser_has_nothing_to_complain_of(opened) -> None:
    assert opened.get_log("browser") == []


def test_no_name_opens_a_dialog(opened) -> None:
    common = pytest.importorskip("selenium.common", reason="selenium drives the browser")
    with pytest.raises(common.NoAlertPresentException):
        opened.switch_to.alert  # noqa: B018
    assert opened.execute_script("return [...document.scripts].map(one => one.type)") == ["application/json", ""]


def test_the_style_sheet_is_applied_under_the_policy(opened) -> None:
    skip = opened.find_element("css selector", ".skip")
    assert skip.value_of_css_property("position") == "absolute"


def test_the_first_tab_stop_leads_past_the_navigation(opened) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium drives the browser").Keys
    opened.find_element("tag name", "body").send_keys(keys.TAB)
    assert opened.switch_to.active_element.text == "Skip to the answer"
    opened.switch_to.active_element.send_keys(keys.ENTER)
    assert opened.current_url.endswith("#cards")


def test_no_page_wide_scrolling_is_needed(opened) -> None:
    assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_light_and_dark(opened, scheme: str) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    colors = opened.execute_script(
        "const s = (q) => getComputedStyle(document.querySelector(q));"
        "return [s('body').color, s('caption').color, s('a').color].map(c => [c, s('body').backgroundColor])"
    )
    assert all(contrast(front, back) >= 4.5 for front, back in colors), colors


# --- the first screen, at a desk and on a telephone ---

LONGEST_FIRST_PATH = 2500
MOST_SCREENS = 12


@pytest.fixture(scope="module")
def homework(tmp_path_factory: pytest.TempPathFactory) -> str:
    results = tmp_path_factory.mktemp("results")
    for position, dataset in enumerate(("gauss", "xor", "circle", "spiral")):
        build.study_with_networks(results / "homework", dataset, position=position, is_ablated=True)
    return write_report([results / "homework"]).as_uri()


@pytest.fixture
def sized(driver, homework: str, request: pytest.FixtureRequest) -> Iterator:
    width, height = request.param
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(homework)
    yield driver
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def visible_text(opened, selector: str) -> list[str]:
    """Return the text of the elements that lie wholly within the first screen and are cut by nothing."""
    return opened.execute_script(
        "return [...document.querySelectorAll(arguments[0])].filter(e => { const b = e.getBoundingClientRect();"
        " return b.width > 0 && b.top >= 0 && b.left >= 0 && b.bottom <= innerHeight && b.right <= innerWidth"
        " && e.scrollWidth <= e.clientWidth + 1 }).map(e => e.innerText)",
        selector,
    )


@pytest.mark.parametrize("sized", [(1400, 900)], indirect=True)
def test_four_cards_fit_the_first_screen_of_a_desk(sized) -> None:
    cards = visible_text(sized, ".card")
    assert [card.split(":")[0] for card in cards] == ["two blobs", "XOR", "circle", "spiral"]
    for card in cards:
        assert re.search(r"hidden layers .*, batch size \d+, (sgd|adam), learning rate [\d.]+, .*; \d+ epochs", card)
        assert re.search(r"Test loss\n0\.\d+ \(0\.\d+ to 0\.\d+\)", card)
        assert re.search(r"Pass rate\n[\d.]+ \([\d.]+ to [\d.]+\)\nAttainable\n[\d.]+", card)
        assert re.search(r"(out of range|told apart), [\d.]+ against [\d.]+: the floor there is", card)
        assert re.search(r"Loss with one change, in and out of range: activation \w+ to linear \+0\.0[45]", card)
        assert "python -m sweeps replay homework/" in card
    assert len(visible_text(sized, ".card img")) == 4


@pytest.mark.parametrize("sized", [(390, 844)], indirect=True)
def test_a_whole_card_fits_the_first_screen_of_a_telephone_one_under_another(sized) -> None:
    cards = visible_text(sized, ".card")
    assert [card.split(":")[0] for card in cards] == ["two blobs"]
    assert "Out of range\n" in cards[0]
    assert "replay homework/gauss" in cards[0]
    places = sized.execute_script(
        "return [...document.querySelectorAll('.card')].map(e => [e.getBoundingClientRect().left,"
        " e.getBoundingClientRect().top])"
    )
    assert len({left for left, _ in places}) == 1
    assert [top for _, top in places] == sorted({top for _, top in places})
    assert sized.execute_script("return document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("sized", [(1400, 900), (390, 844)], indirect=True)
def test_the_page_with_its_sections_closed_is_short(sized) -> None:
    assert sized.execute_script("return document.documentElement.scrollHeight / innerHeight") <= MOST_SCREENS
    sized.execute_script("document.querySelectorAll('.card details').forEach(one => one.open = true)")
    assert len(sized.execute_script("return document.body.innerText").split()) <= LONGEST_FIRST_PATH


@pytest.mark.parametrize("sized", [(1400, 900)], indirect=True)
@pytest.mark.parametrize("key", ["ranges", "overtuning", "provenance"])
def test_a_section_opens_by_its_address(sized, homework: str, key: str) -> None:
    section = sized.find_element("id", key)
    assert not section.is_displayed()
    sized.get(f"{homework}#{key}")
    section = sized.find_element("id", key)
    assert section.is_displayed()
    top = sized.execute_script("return arguments[0].getBoundingClientRect().top", section)
    assert 0 <= top < 900


@pytest.mark.parametrize("sized", [(1400, 900)], indirect=True)
def test_a_section_opens_by_click_and_by_keyboard(sized) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium drives the browser").Keys
    first, second = sized.find_elements("css selector", "details.question > summary")[:2]
    first.find_element("tag name", "h2").click()
    assert sized.find_element("id", "ranges").is_displayed()
    second.send_keys(keys.ENTER)
    assert sized.find_element("id", "answer").is_displayed()
    sized.find_element("css selector", ".parts a[href='#trials']").click()
    assert sized.find_element("id", "trials").is_displayed()


@pytest.mark.parametrize("sized", [(1400, 900)], indirect=True)
def test_everything_is_open_when_printed(sized) -> None:
    drawn = "return [...document.querySelectorAll('section, .card li')].map(e => [e.id, e.checkVisibility()])"
    on_screen = dict(sized.execute_script(drawn))
    sized.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    printed = sized.execute_script(drawn)
    sized.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert [key for key, shown in on_screen.items() if shown] == ["cards"]
    assert all(shown for _, shown in printed)
    assert len(printed) > len(build.SHOWN_SECTIONS)


def contrast(front: str, back: str) -> float:
    """Return the contrast ratio of two CSS colours as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(front), luminance(back)))
    return (high + 0.05) / (low + 0.05)
