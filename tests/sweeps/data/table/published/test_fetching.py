"""Fetching from a server on this machine: what arrives is the published file or nothing."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from sweeps.data.table.published.fetching import DataFile, FetchError, cache_folder, get_file

CONTENT = bytes(range(256)) * 700
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by the path asked for; counts what it was asked."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path == "/gone":
            self.send_error(404)
        elif self.path.startswith("/to?"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
        else:
            body = {"/long": CONTENT + b"x", "/short": CONTENT[:-1], "/other": CONTENT[::-1]}.get(self.path, CONTENT)
            self.send_response(200)
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                return  # the client hung up, as it should on too many bytes

    def log_message(self, format, *arguments):  # noqa: A002 (the base class's name)
        return


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def at(server, monkeypatch, tmp_path):
    monkeypatch.delenv("SWEEPS_DATA", raising=False)
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")

    def file(asked):
        return DataFile("set/file.bin", f"http://127.0.0.1:{server.server_port}{asked}", len(CONTENT), SHA256)

    return file


def test_a_file_is_fetched_once_and_kept(at, server, tmp_path):
    path = get_file(at("/file"))
    assert path == tmp_path / "cache" / "set" / "file.bin"
    assert path.read_bytes() == CONTENT
    assert get_file(at("/file")) == path
    assert server.asked == ["/file"]


def test_a_kept_file_that_was_altered_is_fetched_again(at, server):
    path = get_file(at("/file"))
    path.write_bytes(b"spoiled")
    assert get_file(at("/file")).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_redirect_on_the_same_host_is_followed(at, server):
    assert get_file(at("/to?/file")).read_bytes() == CONTENT
    assert server.asked == ["/to?/file", "/file"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("/gone", "404 Not Found"),
        ("/long", "more than the published 179,200 bytes"),
        ("/short", "179,199 bytes came; expected 179,200"),
        ("/other", f"SHA-256 {hashlib.sha256(CONTENT[::-1]).hexdigest()[:12]}... came; expected {SHA256[:12]}..."),
        (
            "/to?http://localhost:9/file",
            "not fetched (a redirect to http://localhost:9, another host, is not followed)",
        ),
        ("/to?file:///etc/hostname", None),
    ],
)
def test_anything_else_leaves_nothing_and_says_how_to_do_without(at, tmp_path, asked, why):
    file = at(asked)
    with pytest.raises(FetchError) as caught:
        get_file(file)
    offline = "; without a network: put the file at FOLDER/set/file.bin and run with SWEEPS_DATA=FOLDER"
    message = str(caught.value)
    assert message.startswith(f"{file.url}: ")
    assert message.endswith(offline)
    assert "\n" not in message
    if why:
        assert message == f"{file.url}: {why}{offline}"
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_server_is_one_line_too(at, server):
    file = at("/file")
    file = DataFile(file.path, "http://127.0.0.1:1/file", file.n_bytes, file.sha256)
    with pytest.raises(
        FetchError, match=r"^http://127\.0\.0\.1:1/file: not fetched \(.*refused.*\); without a network"
    ):
        get_file(file)
    assert server.asked == []


def test_a_folder_given_is_taken_and_nothing_is_fetched(at, server, monkeypatch, tmp_path):
    monkeypatch.setenv("SWEEPS_DATA", str(tmp_path / "data"))
    file = at("/file")
    path = tmp_path / "data" / "set" / "file.bin"
    with pytest.raises(FetchError) as caught:
        get_file(file)
    assert str(caught.value) == (
        f"{path}: No such file or directory; expected set/file.bin below SWEEPS_DATA (unset it to fetch {file.url})"
    )
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(FetchError) as caught:
        get_file(file)
    assert str(caught.value) == f"{path}: 179,199 bytes; expected the published 179,200 (SWEEPS_DATA)"
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(FetchError, match=r"^.*: SHA-256 .*; expected .* \(SWEEPS_DATA\)$"):
        get_file(file)
    path.write_bytes(CONTENT)
    assert get_file(file) == path
    assert server.asked == []


def test_a_cache_that_cannot_be_written_is_named(at, monkeypatch, tmp_path):
    (tmp_path / "plain").write_text("a file, not a folder")
    monkeypatch.setenv("SWEEPS_CACHE", str(tmp_path / "plain"))
    with pytest.raises(
        FetchError, match=r"plain/set/file\.bin: cannot be kept \(.*\); name another folder with SWEEPS"
    ):
        get_file(at("/file"))


def test_the_cache_is_this_users(monkeypatch, tmp_path):
    monkeypatch.delenv("SWEEPS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder() == tmp_path / "rangesweep"
