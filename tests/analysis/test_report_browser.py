"""The report as a person sees it, in headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import record_builders as build

from analysis.report import write_report

pytestmark = pytest.mark.browser
PAYLOAD = "<img src=x onerror=alert(1)><script>alert(1)</script>"


@pytest.fixture(scope="module")
def driver() -> Iterator:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("needs chromium and chromedriver on the PATH (Debian: apt-get install chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    yield browser
    browser.quit()


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


def test_a_person_sees_every_section_and_the_answer(opened) -> None:
    assert text_of(opened, "h1") == ["Sweep report: homework"]
    assert len(text_of(opened, "h2")) == len(build.SHOWN_SECTIONS)
    assert all(text_of(opened, "h2"))
    cells = text_of(opened, "#answer tbody tr:first-child td, #answer tbody tr:first-child th")
    assert cells[0] == "two blobs"
    assert "certified" in cells
    assert PAYLOAD in opened.find_element("id", "answer").text


def test_all_pictures_are_loaded_and_wide_enough_to_read(opened) -> None:
    sizes = opened.execute_script("return [...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])")
    assert len(sizes) >= 10
    assert all(complete and natural > 0 and shown > 300 for complete, natural, shown in sizes)


def test_the_browser_has_nothing_to_complain_of(opened) -> None:
    assert opened.get_log("browser") == []


def test_no_name_opens_a_dialog(opened) -> None:
    common = pytest.importorskip("selenium.common", reason="selenium drives the browser")
    with pytest.raises(common.NoAlertPresentException):
        opened.switch_to.alert  # noqa: B018
    assert opened.execute_script("return document.scripts.length") == 0


def test_the_style_sheet_is_applied_under_the_policy(opened) -> None:
    skip = opened.find_element("css selector", ".skip")
    assert skip.value_of_css_property("position") == "absolute"


def test_the_first_tab_stop_leads_past_the_navigation(opened) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys", reason="selenium drives the browser").Keys
    opened.find_element("tag name", "body").send_keys(keys.TAB)
    assert opened.switch_to.active_element.text == "Skip to the answer"
    opened.switch_to.active_element.send_keys(keys.ENTER)
    assert opened.current_url.endswith("#answer")


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


def contrast(front: str, back: str) -> float:
    """Return the contrast ratio of two CSS colours as WCAG 2 defines it."""

    def luminance(color: str) -> float:
        parts = [int(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(front), luminance(back)))
    return (high + 0.05) / (low + 0.05)
