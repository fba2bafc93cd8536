"""Chromium without a screen, and axe-core in it. Tests that need them are skipped where they are not."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.line import TESTS

AXE = TESTS / "support" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = ((390, 844), (1280, 800), (3840, 2160))
"""A phone, a small monitor, and a large one."""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser (selenium's WebDriver)."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: no page is opened")
    from selenium.webdriver.chrome.service import Service

    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromium-driver are not installed: no page is opened in a browser")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        started.set_page_load_timeout(120)
        started.set_script_timeout(120)
        yield started
    finally:
        started.quit()


def resize(driver: Any, width: int, height: int) -> None:
    """Give the page this size; a narrow one is a phone's."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def faults(driver: Any) -> list[str]:
    """What the browser complains of since the last call, such as what the policy forbids."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def serious(driver: Any) -> list[str]:
    """Serious and critical faults of the page's accessibility, by axe-core; skips the test without it."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: accessibility is not checked")
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    driver.execute_script(AXE.read_text())
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations))"
    )
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:5]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
