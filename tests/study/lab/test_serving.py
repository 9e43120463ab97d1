"""The lab's server answers its own page alone: who lacks the key or comes from elsewhere gets a status and a sentence."""

import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from minigpt import GPT, GPTConfig
from minigpt.study import lab
from minigpt.study.lab import requests
from minigpt.study.lab.requests import Lab
from minigpt.study.lab.serving import LARGEST_BODY, Server


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(own_cache):
    model = GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1)
    with Server(Lab(model), port=0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, path, method="POST", body=b"{}", host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    headers = {"Host": host or f"127.0.0.1:{server.server_port}", "Content-Type": "application/json",
               **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer, text


def test_whoever_has_the_address_gets_the_page_its_files_and_answers(server):
    path = f"/{server.key}/"
    assert server.address == f"http://127.0.0.1:{server.server_port}{path}"
    for name, kind in ("", "text/html"), ("lab.css", "text/css"), ("lab.js", "text/javascript"):
        answer, _ = ask(server, path + name, "GET", None)
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    own = f"http://127.0.0.1:{server.server_port}"
    answer, body = ask(server, path + "api/pass", body=b'{"text": "1 2 3"}', Origin=own, Sec_Fetch_Site="same-origin")
    assert answer.status == 200 and json.loads(body)["loss"] > 0
    answer, _ = ask(server, path + "api/model", host=f"localhost:{server.server_port}")
    assert answer.status == 200


def test_other_hosts_origins_and_addresses_without_the_key_are_refused(server):
    api, page = f"/{server.key}/api/model", f"/{server.key}/"
    wrong = {
        "another name for this machine": ask(server, api, host=f"attacker.example:{server.server_port}"),
        "another port": ask(server, api, host="127.0.0.1:1"),
        "another page": ask(server, api, Origin="http://attacker.example"),
        "a page of another port": ask(server, api, Origin="http://127.0.0.1:1"),
        "a page from a file": ask(server, api, Origin="null"),
        "a page that hides where it comes from": ask(server, api, Sec_Fetch_Site="cross-site"),
        "another page that wants the script": ask(server, page + "lab.js", "GET", None, Sec_Fetch_Site="cross-site"),
        "no key": ask(server, "/", "GET", None), "no key, a request": ask(server, "/api/model"),
        "a wrong key": ask(server, f"/{'0' * 32}/api/model"), "half a key": ask(server, f"/{server.key[:16]}/", "GET", None),
        "a key of other letters": ask(server, "/%C3%A9/", "GET", None),
        "the key elsewhere": ask(server, f"/?{server.key}", "GET", None),
    }
    for case, (answer, body) in wrong.items():
        assert answer.status == 403, case
        assert json.loads(body)["error"] and server.key not in body.decode(), case
        assert "Access-Control-Allow-Origin" not in answer.headers, case


def test_a_link_from_elsewhere_may_lead_to_the_page_alone(server):
    answer, _ = ask(server, f"/{server.key}/", "GET", None, Sec_Fetch_Site="cross-site")
    assert answer.status == 200


def test_malformed_requests_get_a_status_and_a_sentence(server):
    api = f"/{server.key}/api/pass"
    wrong = {
        "no JSON": (400, ask(server, api, body=b"{")), "a list": (400, ask(server, api, body=b"[]")),
        "no UTF-8": (400, ask(server, api, body=b'{"text": "\xff"}')), "deep": (400, ask(server, api, body=b"[" * 5000)),
        "a key twice": (400, ask(server, api, body=b'{"text": "1", "text": "2"}')),
        "NaN": (400, ask(server, api, body=b'{"text": NaN}')), "no body": (400, ask(server, api, body=b"")),
        "a wrong field": (400, ask(server, api, body=b'{"text": 3}')),
        "an endless number": (400, ask(server, f"/{server.key}/api/next", body=b'{"text": "1", "drawn": 1e999}')),
        "no such request": (404, ask(server, f"/{server.key}/api/shutdown")),
        "no request": (404, ask(server, f"/{server.key}/model")),
        "no such file": (404, ask(server, f"/{server.key}/../pyproject.toml", "GET", None)),
        "another kind of body": (415, ask(server, api, Content_Type="text/plain")),
        "too large": (413, ask(server, api, body=b" " * (LARGEST_BODY + 1))),
        "in pieces": (411, ask(server, api, body=iter([b"{}"]), Transfer_Encoding="chunked")),
        "another method": (405, ask(server, api, "PUT")), "one that asks first": (405, ask(server, api, "OPTIONS")),
    }
    for case, (status, (answer, body)) in wrong.items():
        assert answer.status == status, case
        assert len(body) < 1000, case
        assert json.loads(body)["error"], case
    assert ask(server, api, body=b'{"text": "1 2"}')[0].status == 200


def test_an_abandoned_request_ends_and_a_waiting_one_goes_on(server, monkeypatch):
    begun, left = threading.Event(), threading.Event()

    def slow(lab, fields, watch):
        begun.set()
        while True:                         # as a pass asks at each activation
            try:
                watch("h.0.in")
            except requests.Abandoned:
                left.set()
                raise

    monkeypatch.setitem(requests.REQUESTS, "slow", slow)
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(f"POST /{server.key}/api/slow HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
                           "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}".encode())
        assert begun.wait(60)
    assert left.wait(60)
    assert ask(server, f"/{server.key}/api/model")[0].status == 200


def test_a_mistake_of_ours_is_a_sentence_and_the_server_goes_on(server, monkeypatch):
    def broken(lab, fields, watch):
        raise KeyError("\x1b[31m")

    monkeypatch.setitem(requests.REQUESTS, "broken", broken)
    answer, body = ask(server, f"/{server.key}/api/broken")
    assert answer.status == 500 and "KeyError" in json.loads(body)["error"] and b"\x1b" not in body
    assert ask(server, f"/{server.key}/api/model")[0].status == 200


def test_the_key_is_kept_for_bookmarks_and_readable_by_its_owner_alone(tmp_path):
    model = GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1)

    def key():
        with Server(Lab(model), port=0) as server:
            return server.key

    first, path = key(), tmp_path / "cache" / "lab-key"
    assert key() == first == path.read_text() and len(first) == 32
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.chmod(0o644)                   # someone may have read it
        assert key() != first
    for damaged in "", "short", "../" * 11:
        path.write_text(damaged)
        assert len(key()) == 32 and key() != damaged
    path.unlink()
    path.mkdir()                            # nothing can be kept
    assert len(key()) == 32


def test_the_command_names_a_port_in_use_and_a_folder_that_is_none(server, capfd):
    from minigpt.commands import lab as command

    for flags, sentence in (
        (["--port", str(server.server_port)], f"--port: {server.server_port}, "), (["--port", "70000"], "0 to 65535"),
        (["--run", "nowhere"], "--run: nowhere is no folder"), (["--model", "nowhere"], "nowhere"),
    ):
        assert command.main([*flags, "--no-browser"]) == 1
        assert sentence in capfd.readouterr().err, flags


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_ctrl_c_ends_it_at_once(tmp_path):
    command = [sys.executable, "-m", "minigpt", "lab", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert "http://127.0.0.1:" in process.stderr.readline()
        assert "Ctrl-C" in process.stderr.readline()
        process.send_signal(2)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_a_notebook_shows_the_page_in_a_frame_until_it_is_closed():
    model = GPT(GPTConfig(vocab_size=9, n_positions=6, n_embd=4, n_layer=1, n_head=2), threads=1)
    frame = lab.show(model)
    assert f'<iframe src="{frame.address}"' in frame._repr_html_() and frame.address in repr(frame)
    port = int(frame.address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/" + frame.address.split("/", 3)[3])
    answer = connection.getresponse()
    assert answer.status == 200 and "frame-ancestors" not in answer.headers["Content-Security-Policy"]
    connection.close()
    frame.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
