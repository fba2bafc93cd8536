"""The pages in Chromium: they fit, break no policy, have no serious fault for axe-core, and follow keys and events."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.browser import AXE, SIZES, chromium, faults, resize, serious
from support.line import free_endpoint
from support.page import PASSWORD, record
from support.records import until
from support.scripted_station import Peer, peer

from edge.channel.endpoints import CONTROL, VIEWERS, neighbour_endpoint
from edge.page.access.users import PageRole, Users
from edge.page.serving import PageServer, PageSettings

VIEWS = ("", "/parts", "/rejects?span=all", "/parts/ab12/1", "/trends?span=month", "/review", "/record", "/models")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def station() -> Iterator[tuple[Peer, str]]:
    """A station that publishes what a test says, and the endpoint of its verdicts."""
    endpoint = free_endpoint()
    with peer(neighbour_endpoint(endpoint, VIEWERS), neighbour_endpoint(endpoint, CONTROL)) as running:
        yield running, endpoint


@pytest.fixture(scope="module")
def pages(
    station: tuple[Peer, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PageServer, PageServer]]:
    """A page without users, and one with a user `ana`, of one station with a record."""
    folder = tmp_path_factory.mktemp("records")
    record(folder / "line1")
    users = Users(folder / "users.json")
    users.add("ana", PASSWORD, PageRole.RUN)
    with ExitStack() as stack:
        servers = []
        for path in (None, users.path):
            server = PageServer(PageSettings((station[1],), (folder,), serve="127.0.0.1:0", users=path))
            thread = threading.Thread(target=server.run)
            thread.start()
            stack.callback(thread.join, 30)
            stack.callback(server.stop)
            servers.append(server)
            until(lambda server=server: server.site.history.record("line1") and server.stations.get("line1"))
        yield servers[0], servers[1]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_view_fits_the_screen_and_has_no_serious_fault(
    driver: Any, pages: tuple[PageServer, PageServer], size: tuple[int, int]
) -> None:
    open_page, with_login = pages
    resize(driver, *size)
    for number, view in enumerate((*VIEWS, "login")):
        server = with_login if view == "login" else open_page
        driver.get(f"{server.address}login" if view == "login" else f"{server.address}s/line1{view}")
        theme = "dark" if number % 2 else "light"
        driver.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth"), view
        assert driver.find_elements("css selector", "h1"), view
        assert faults(driver) == [], view
        assert serious(driver) == [], (view, theme)


THEMES = ("light", "dark")


def look(driver: Any, theme: str) -> None:
    """Show the page in this theme."""
    driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)


@pytest.fixture(scope="module")
def page_of_the_past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    """A page that hears nothing, of a station with a record: its last part is old."""
    folder = tmp_path_factory.mktemp("past")
    record(folder / "line1")
    server = PageServer(PageSettings((free_endpoint(),), (folder,), serve="127.0.0.1:0"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.site.history.record("line1") and server.stations.get("line1"))
        yield server
    finally:
        server.stop()
        thread.join(30)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("outcome", ["good", "reject", "unknown"])
def test_an_old_last_part_has_enough_contrast(
    driver: Any, page_of_the_past: PageServer, outcome: str, theme: str
) -> None:
    resize(driver, 1280, 800)
    driver.get(f"{page_of_the_past.address}s/line1")
    assert driver.find_elements("css selector", ".verdict.unknown.old .grounds")
    driver.execute_script("document.querySelector('.verdict').className = arguments[0]", f"verdict {outcome} old")
    look(driver, theme)
    assert serious(driver) == []
    faint = "return [...document.querySelectorAll('main, main *')].some((e) => getComputedStyle(e).opacity < 1)"
    assert not driver.execute_script(faint), "what is greyed by opacity has less contrast than its colours"


def test_axe_would_find_a_fault(driver: Any, pages: tuple[PageServer, PageServer]) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed (npm install --prefix tests/support/axe): accessibility is not checked")
    driver.get(f"{pages[0].address}s/line1/record")
    driver.execute_script("document.querySelector('main').append(document.createElement('input'))")
    assert any(fault.startswith("label") for fault in serious(driver))


def test_a_verdict_appears_by_itself(
    driver: Any, station: tuple[Peer, str], pages: tuple[PageServer, PageServer]
) -> None:
    resize(driver, 1280, 800)
    driver.get(f"{pages[0].address}s/line1")
    for number in range(3):
        name = f"plate {number} <b>"
        station[0].good(part=name)
        until(lambda name=name: _text(driver, ".verdict .part") == name)
    until(lambda: _text(driver, ".banner .state") == "RUNNING")
    assert faults(driver) == []


def _text(driver: Any, selector: str) -> str | None:
    """The text of an element that an event may replace at any moment."""
    script = "return document.querySelector(arguments[0])?.textContent"
    found: str | None = driver.execute_script(script, selector)
    return found


def test_keys_lead_through_the_views_and_turn_the_lights_off(driver: Any, pages: tuple[PageServer, PageServer]) -> None:
    driver.get(f"{pages[0].address}s/line1")
    for key, ending in (("3", "/rejects"), ("4", "/trends"), ("1", "/line1")):
        _press(driver, key)
        until(lambda ending=ending: driver.current_url.endswith(ending) and _is_loaded(driver))
    before = _theme(driver)
    _press(driver, "d")
    until(lambda: _theme(driver) not in (None, before) and _is_loaded(driver))
    _press(driver, "?")
    until(lambda: driver.find_element("css selector", "dialog").is_displayed())


def _press(driver: Any, key: str) -> None:
    """To whatever has the focus: an element would be gone if the page is just being replaced."""
    from selenium.webdriver import ActionChains

    ActionChains(driver).send_keys(key).perform()


def _is_loaded(driver: Any) -> bool:
    return bool(driver.execute_script("return document.readyState === 'complete'"))


def _theme(driver: Any) -> str | None:
    theme: str | None = driver.execute_script("return document.documentElement.dataset.theme || null")
    return theme


def test_a_person_logs_in_and_out(driver: Any, pages: tuple[PageServer, PageServer]) -> None:
    driver.get(f"{pages[1].address}s/line1")
    until(lambda: driver.current_url.endswith("/login"))
    driver.find_element("name", "name").send_keys("ana")
    driver.find_element("name", "password").send_keys(PASSWORD + "\n")
    until(lambda: driver.current_url.endswith("/s/line1"))
    driver.find_element("css selector", "form[action='/logout'] button").click()
    until(lambda: driver.current_url.endswith("/login"))


def test_a_page_that_has_ended_says_so(driver: Any, station: tuple[Peer, str], tmp_path: Path) -> None:
    server = PageServer(PageSettings((station[1],), (tmp_path,), serve="127.0.0.1:0"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.stations.get("line1"))
    driver.get(f"{server.address}s/line1")
    time.sleep(0.5)
    server.stop()
    thread.join(30)
    until(lambda: driver.find_elements("css selector", ".lost") and driver.find_elements("css selector", ".stale main"))
    for theme in THEMES:
        look(driver, theme)
        assert serious(driver) == []
