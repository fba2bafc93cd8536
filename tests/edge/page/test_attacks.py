"""What a stranger, another site and a user without the role cannot do; and what the command refuses to serve."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient
from support.line import ran
from support.page import BROWSER, PASSWORD, browser, made_site, record, token

from edge.channel.limits import Pace
from edge.page.access.guard import POLICY
from edge.page.access.sessions import MOST_SESSIONS, Sessions
from edge.page.access.users import PageRole, Users
from edge.page.app import make_app
from edge.page.site import Site
from edge.page.views import login

SAME = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
POSTS = {
    "/s/line1/hold": {"do": "suspend", "reason": "belt", "by": "Ana"},
    "/s/line1/models": {"do": "unload", "reason": "belt", "by": "Ana"},
    "/s/line1/parts/cd34/2/decide": {"choice": "good", "by": "Ana"},
    "/s/line1/undo": {"decision": "1", "by": "Ana"},
}


@pytest.fixture(scope="module")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users.json"
    users = Users(path)
    for role in PageRole:
        users.add(role, PASSWORD, role)
    return path


@pytest.fixture
def site(tmp_path: Path, users_file: Path) -> Site:
    return made_site((record(tmp_path / "line1"),), users_file)


def log_in(client: TestClient, name: str, password: str = PASSWORD) -> int:
    form = {"token": token(client, "/login"), "name": name, "password": password}
    return client.post("/login", data=form, headers=SAME).status_code


def asked(site: Site) -> list[str]:
    """Names and reasons of the suspensions that reach the station."""
    told: list[str] = []

    def hold(station: object, is_held: bool, by: str, reason: str) -> object:
        from edge.page.control import Told

        told.append(f"{by}: {reason}")
        return Told(True)

    def change(station: object, kind: object, values: dict[str, object]) -> object:
        return hold(station, True, str(values["by"]), str(values["reason"]))

    site.control.hold = hold  # type: ignore[method-assign, assignment]
    site.control.change = change  # type: ignore[method-assign, assignment]
    return told


def paths(site: Site, method: str) -> list[str]:
    """The paths of all routes of a method, with values in place of their parameters."""
    guard, _ = make_app(site)
    values = {"station": "line1", "epoch": "cd34", "seq": 2}
    return [
        str(route.path_format.format_map(values))
        for route in guard._app.routes  # type: ignore[attr-defined]
        if isinstance(route, Route) and method in (route.methods or ())
    ]


def test_the_login_page_names_no_station(site: Site) -> None:
    with browser(site) as client:
        text = client.get("/login").text
        assert 'name="password"' in text
        assert "line1" not in text


def test_nothing_is_shown_and_nothing_changes_without_a_login(site: Site) -> None:
    told = asked(site)
    with browser(site) as client:
        for path in paths(site, "GET"):
            answer = client.get(path)
            if path in ("/login", "/healthz"):
                continue
            assert (answer.status_code, answer.headers.get("location")) == (303, "/login"), path
            assert client.get(path, headers={"accept": "*/*"}).status_code == 401
        posts = [path for path in paths(site, "POST") if path not in ("/login", "/preferences")]
        assert set(POSTS) < set(posts)
        for path in posts:
            assert client.post(path, data=POSTS.get(path, {}), headers=SAME).status_code == 401, path
            form = POSTS.get(path, {}) | {"token": token(client, "/login")}
            assert client.post(path, data=form, headers=SAME).status_code == 401, path
    assert told == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(site: Site, method: str) -> None:
    with browser(site) as client:
        assert client.request(method, "/s/line1/hold").status_code == 405


def test_a_post_of_another_site_changes_nothing(tmp_path: Path) -> None:
    site = made_site((record(tmp_path / "line1"),))
    told = asked(site)
    foreign = (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"referer": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:81"},
        {"referer": "https://evil.example/"},
    )
    with browser(site) as client:
        form = POSTS["/s/line1/hold"] | {"token": token(client)}
        for headers in foreign:
            assert client.post("/s/line1/hold", data=form, headers=headers).status_code == 403, headers
        for wrong in ("", "x", form["token"][:-1], site.rules.sessions.begin(None, PageRole.RUN)[1].token):
            assert client.post("/s/line1/hold", data=form | {"token": wrong}, headers=SAME).status_code == 403
        assert client.post("/s/line1/hold", json=form, headers=SAME).status_code == 413, "no form"
        large = form | {"reason": "x" * 20_000}
        assert client.post("/s/line1/hold", data=large, headers=SAME).status_code == 413
        assert told == []
        assert client.post("/s/line1/hold", data=form, headers=SAME).status_code == 303
    assert told == ["Ana: belt"]


def test_a_suspension_needs_a_name_and_a_reason(tmp_path: Path) -> None:
    site = made_site((record(tmp_path / "line1"),))
    told = asked(site)
    with browser(site) as client:
        form = POSTS["/s/line1/hold"] | {"token": token(client)}
        for wrong in ({"by": ""}, {"by": "a\x1b[2J"}, {"reason": " "}, {"reason": "x" * 201}, {"do": "open the gate"}):
            assert client.post("/s/line1/hold", data=form | wrong, headers=SAME).status_code == 400, wrong
    assert told == []


def test_each_role_may_do_what_it_says_and_no_more(site: Site) -> None:
    told = asked(site)
    may = {"see": 0, "review": 2, "run": 4}
    for name, count in may.items():
        with browser(site) as client:
            assert log_in(client, name) == 303
            assert client.get("/s/line1").status_code == 200
            statuses = [
                client.post(path, data=form | {"token": token(client)}, headers=SAME).status_code
                for path, form in POSTS.items()
            ]
            assert len([status for status in statuses if status != 403]) == count, (name, statuses)
    assert told == ["run: belt"] * 2, "by the name of the user, not by that of the form"


def test_a_forged_or_old_session_is_none(site: Site) -> None:
    with browser(site) as client:
        assert log_in(client, "run") == 303
        cookie = client.cookies[site.rules.cookie]
    number, _, signature = cookie.partition(".")
    forged = (
        number,
        f"{number}.",
        f"{number}.{'0' * 64}",
        f"other.{signature}",
        f"{number}.{signature[:-1]}",
        "é.é",
        "",
    )
    for value in forged:
        with browser(site) as other:
            header = {"cookie": f"{site.rules.cookie}={value}".encode("latin-1").decode("latin-1"), "accept": "*/*"}
            assert other.get("/s/line1", headers={k: v.encode("utf-8") for k, v in header.items()}).status_code == 401
    assert Sessions().find(cookie) is None, "of another process"
    site.rules.sessions.end(cookie)
    with browser(site) as other:
        other.cookies.set(site.rules.cookie, cookie)
        assert other.get("/s/line1", headers={"accept": "*/*"}).status_code == 401


def test_a_login_changes_the_session_and_a_logout_ends_it(site: Site) -> None:
    with browser(site) as client:
        client.get("/login")
        before = client.cookies[site.rules.cookie]
        assert log_in(client, "see", "wrong password") == 403
        assert client.get("/s/line1").status_code == 303
        assert log_in(client, "see") == 303
        after = client.cookies[site.rules.cookie]
        assert before != after
        assert site.rules.sessions.find(before) is None
        client.post("/logout", data={"token": token(client)}, headers=SAME)
        assert site.rules.sessions.find(after) is None


def test_passwords_cannot_be_tried_without_end(site: Site) -> None:
    site.rules.users.check = lambda name, password: None  # type: ignore[union-attr, method-assign]  # scrypt takes a while
    with browser(site) as client:
        statuses = [log_in(client, f"user{number}", "guess") for number in range(20)]
    assert statuses[:10] == [403] * 10
    assert 429 in statuses[10:]


def test_attempts_that_their_address_costs_are_not_counted_against_the_user(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "BY_ADDRESS", Pace(burst=2, a_second=0.001))
    monkeypatch.setattr(login, "BY_NAME", Pace(burst=3, a_second=0.001))
    monkeypatch.setattr(login, "BY_ALL", Pace(burst=3, a_second=0.001))
    app, _ = make_app(site)
    found = {}
    for address in ("192.0.2.1", "192.0.2.2"):
        with TestClient(app, "http://127.0.0.1", headers=BROWSER, client=(address, 1)) as client:
            found[address] = [log_in(client, "see", "a wrong password") for _ in range(6)]
    assert found["192.0.2.1"] == [403, 403, 429, 429, 429, 429]
    assert found["192.0.2.2"] == [403, 429, 429, 429, 429, 429]


@pytest.fixture
def ana(tmp_path: Path) -> Iterator[tuple[Users, TestClient]]:
    """A file of users with one, and the browser in which that one is logged in."""
    users = Users(tmp_path / "users.json")
    users.add("ana", PASSWORD, PageRole.RUN)
    with browser(made_site((record(tmp_path / "line1"),), users.path)) as client:
        assert log_in(client, "ana") == 303
        assert client.get("/s/line1").status_code == 200
        yield users, client


def test_a_removed_user_is_out_at_once(ana: tuple[Users, TestClient]) -> None:
    users, client = ana
    data = json.loads(users.path.read_text())  # another role, the same password
    data["users"]["ana"]["role"] = "see"
    users.path.write_text(json.dumps(data))
    form = POSTS["/s/line1/hold"] | {"token": token(client)}
    assert client.post("/s/line1/hold", data=form, headers=SAME).status_code == 403
    users.remove("ana")
    assert client.get("/s/line1").status_code == 303


def test_another_password_ends_the_sessions_of_a_user(ana: tuple[Users, TestClient]) -> None:
    users, client = ana
    users.add("ana", PASSWORD + "!", PageRole.RUN)
    assert client.get("/s/line1").status_code == 303
    assert log_in(client, "ana", PASSWORD + "!") == 303


def test_requests_without_a_login_end_no_session(site: Site) -> None:
    with browser(site) as client:
        assert log_in(client, "run") == 303
        for _ in range(MOST_SESSIONS + 10):
            site.rules.sessions.begin(None, None)
        assert client.get("/s/line1").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5", "", "a b", "user@127.0.0.1"])
def test_another_host_name_is_refused(tmp_path: Path, host: str) -> None:
    with browser(made_site()) as client:
        assert client.get("/s/line1", headers={"host": host}).status_code == 421
        assert client.get("/static/page.css", headers={"host": host}).status_code == 421


def test_off_loopback_addresses_and_named_hosts_are_known() -> None:
    from edge.page.access.guard import Rules

    rules = Rules("0.0.0.0", names=("line.factory",), is_tls=True)
    assert all(map(rules.knows_host, ("192.168.1.5:8470", "line.factory", "[fe80::1]:8470")))
    assert not any(map(rules.knows_host, ("evil.example", "", "line.factory.evil.example")))
    assert rules.set_cookie("x") == "__Host-edge-page=x; Path=/; HttpOnly; SameSite=Strict; Secure"


def test_answers_forbid_inline_scripts_frames_and_sniffing(tmp_path: Path) -> None:
    with browser(made_site((record(tmp_path / "line1"),))) as client:
        for path in ("/s/line1", "/s/line1/parts/cd34/2", "/static/page.js", "/nothing", "/healthz"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == POLICY
            assert headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in POLICY
        for path in ("/s/line1", "/s/line1/trends?span=month", "/s/line1/parts/cd34/2", "/s/line1/rejects?span=all"):
            text = client.get(path).text
            assert " style=" not in text, path
            assert " onclick=" not in text
    with browser(made_site()) as stranger:
        assert "httponly" in stranger.get("/s/line1").headers["set-cookie"].lower()


TRAVERSALS = (
    "/static/../page.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/....//app.py", "/static//etc/passwd",
    "/s/line1/pictures/..%2f..%2fetc/1", "/s/line1/pictures/%2e%2e/1", "/s/..%2f..%2f/record", "/s/line1/parts/../1",
)  # fmt: skip


def test_no_path_leads_out_of_the_records(tmp_path: Path) -> None:
    with browser(made_site((record(tmp_path / "line1"),))) as client:
        for path in TRAVERSALS:
            answer = client.get(path)
            assert answer.status_code in (400, 404), path
            assert "import" not in answer.text
            assert "root:" not in answer.text


def test_a_language_or_theme_leads_back_to_this_site_alone() -> None:
    with browser(made_site()) as client:
        for back in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb: c"):
            form = {"token": token(client), "language": "de", "back": back}
            answer = client.post("/preferences", data=form, headers=SAME)
            assert answer.headers["location"] == "/", back
        answer = client.post(
            "/preferences", data={"token": token(client), "theme": "x;y", "back": "/s/line1"}, headers=SAME
        )
        assert urlsplit(answer.headers["location"]).path == "/s/line1"
        assert "set-cookie" not in answer.headers


def test_the_command_serves_the_network_only_with_login_and_tls(tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    for arguments, said in (
        (("--serve", "0.0.0.0:0"), "edge-page user add"),
        (("--serve", "0.0.0.0:0", "--users", users), "--tls-certificate"),
        (("--tls-certificate", tmp_path / "c.pem"), "together"),
        (("--users", users), "edge-page user add"),
        (("--station", "nonsense"), "endpoint"),
        (("--station", "tcp://127.0.0.1:99999"), "'tcp://127.0.0.1:99999' is no endpoint"),
        (("--records", tmp_path / "none" / "records"), "no such folder"),
        (("--records", Path(__file__)), "no such folder"),
        (("--shifts", "6"), "--shifts"),
        (("--words", tmp_path / "none"), "words"),
    ):
        done = (
            ran("page", *arguments, "--serve", "127.0.0.1:0") if "--serve" not in arguments else ran("page", *arguments)
        )
        assert done.returncode == 2, (arguments, done.stderr)
        (line,) = done.stderr.splitlines()
        assert said in line, line


def test_users_are_kept_for_their_owner_alone(tmp_path: Path) -> None:
    users = Users(tmp_path / "new" / "users.json")
    assert users.add("ana", PASSWORD, PageRole.REVIEW)
    assert not users.add("ana", PASSWORD + "!", PageRole.SEE)
    assert users.path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in users.path.read_text()
    assert users.check("ana", PASSWORD) is None
    found = users.check("ana", PASSWORD + "!")
    assert found is not None
    assert found.role is PageRole.SEE
    assert users.check("bob", PASSWORD) is None
    users.path.chmod(0o644)
    time.sleep(0.01)
    done = ran("page", "--users", users.path, "--serve", "127.0.0.1:0")
    assert done.returncode == 2


def test_a_record_that_a_station_has_yet_to_make_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge.cli.page import _check_records

    _check_records(tmp_path / "line1")
    assert capsys.readouterr().err == (
        f"warning: {tmp_path / 'line1'} does not exist yet; it is shown once a station has made it\n"
    )
    _check_records(tmp_path)
    assert capsys.readouterr().err == ""
