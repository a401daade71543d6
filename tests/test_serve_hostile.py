"""`retort serve` under loads made to hurt it: it goes on answering, holds little memory, and SIGTERM ends it."""
import contextlib
import json
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import program

CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"


class Server:
    def __init__(self, model, folder, *flags):
        port_file = folder / "port"
        self.process = subprocess.Popen([program(), "serve", str(model), "--port", "0", "--port-file", str(port_file), "--threads", "1", *flags],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not port_file.exists() or not port_file.read_text().endswith("\n"):
            assert self.process.poll() is None, f"retort serve ended with {self.process.returncode}"
            time.sleep(0.02)
        self.port = int(port_file.read_text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ends_by(self, number):
        """The exit status after the signal; a server that hangs fails the test."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def connect(self, timeout=120):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def head(self, path, length, more=""):
        return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n{more}"
                f"Content-Length: {length}\r\n\r\n").encode()

    def send(self, path, body, more=""):
        """A connection with the request on its way; a server that refuses it half way is no error here."""
        s = self.connect()
        with contextlib.suppress(OSError):
            s.sendall(self.head(path, len(body), more) + body)
        return s

    def post(self, path, body, more="Connection: close\r\n"):
        with self.send(path, body, more) as s:
            return read_all(s)

    def health(self):
        """Seconds until /health answers."""
        start = time.monotonic()
        with self.connect(60) as s:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = read_all(s)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        return time.monotonic() - start

    def memory(self, what):
        """VmRSS or VmHWM in MB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) // 1024 for line in status if line.startswith(what))


def read_all(s):
    got = b""
    with contextlib.suppress(OSError):
        while piece := s.recv(1 << 16):
            got += piece
    return got


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else None


ASK = json.dumps({"prompt": "a", "max_tokens": 1}).encode()


def one_turn(more=b""):
    return b'{"max_tokens":1,"messages":[{"role":"user","content":"a"}]' + more + b"}"


def nested():  # parsed, it would be 3 GB
    return CHAT, one_turn(b',"chat_template_kwargs":{"a":[' + b'{"":0},' * 4_700_000 + b"0]}")


def unknown_members():
    return CHAT, one_turn(b"," + b",".join(b'"u%06d":1' % i for i in range(250_000)))


def prompts_by_stops():  # each prompt with its own copy of the stops: 16 GB
    return COMPLETION, json.dumps({"prompt": ["a"] * 20_000, "stop": ["x" * 200_000] * 4, "max_tokens": 1}).encode()


def long_text():
    return COMPLETION, json.dumps({"prompt": "lorem ipsum, dolor; " * 800_000, "max_tokens": 1}).encode()


def long_chat():
    return CHAT, json.dumps({"messages": [{"role": "user", "content": "word " * 3_000_000}], "max_tokens": 1}).encode()


def long_role():
    return CHAT, json.dumps({"messages": [{"role": "r" * 20_000_000, "content": "a"}]}).encode()


@pytest.fixture(scope="module")
def server(smollm2, tmp_path_factory):
    with Server(smollm2, tmp_path_factory.mktemp("hostile")) as s:
        yield s
        assert s.ends_by(signal.SIGTERM) == 0


@pytest.mark.parametrize("load", [nested, unknown_members, prompts_by_stops, long_text, long_chat, long_role])
def test_health_answers_and_memory_is_bounded(server, load):
    path, body = load()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(server.post(path, body))) for _ in range(4)]
    for t in threads:
        t.start()
    waits = []
    while any(t.is_alive() for t in threads):
        waits.append(server.health())
        time.sleep(0.05)
    assert max(waits) < 3, "/health waited for a request"  # 0.1 s on a quiet machine; it was 9 s and more
    assert [status(a) for a in answers] == [400] * 4
    assert max(map(len, answers)) < 5000  # nothing is sent back at length
    assert server.memory("VmHWM") < 1500
    deadline = time.monotonic() + 20
    while server.memory("VmRSS") > 700:  # what a load took is given back
        assert time.monotonic() < deadline, server.memory("VmRSS")
        time.sleep(0.2)
    assert status(server.post(COMPLETION, ASK)) == 200


def test_abandoned_work_is_noticed_behind_a_byte_sent_ahead(smollm2, tmp_path):
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 3000, "temperature": 2, "n": 16}).encode()
    with Server(smollm2, tmp_path, "--max-requests", "8", "--max-batch", "4") as server:
        for late in (b"", b"G", ASK * 100):
            for _ in range(8):
                s = server.send(COMPLETION, body)
                s.sendall(late)
                s.close()
            deadline = time.monotonic() + 60
            while (code := status(server.post(COMPLETION, ASK))) != 200:
                assert code == 429 and time.monotonic() < deadline, f"{code} after {late[:10]}"
                time.sleep(0.2)
        assert server.ends_by(signal.SIGTERM) == 0


def test_idle_connections_lock_nobody_out(server):
    idle = [server.connect() for _ in range(300)]
    assert server.health() < 30
    assert status(server.post(COMPLETION, ASK)) == 200
    for s in idle:
        s.close()


def test_a_client_that_ends_its_sending_gets_its_answer(server):
    for more in ("", "Connection: close\r\n"):
        with server.send(COMPLETION, json.dumps({"prompt": "a", "max_tokens": 40, "temperature": 0}).encode(), more) as s:
            s.shutdown(socket.SHUT_WR)
            answer = read_all(s)
            assert b" 200 OK" in answer and b'"text_completion"' in answer


def test_bodies_without_a_key_are_not_kept(smollm2, tmp_path):
    (tmp_path / "keys").write_text("right\n")
    with Server(smollm2, tmp_path, "--key-file", str(tmp_path / "keys")) as server:
        before = server.memory("VmRSS")
        held = []
        for _ in range(16):
            s = server.connect()
            s.sendall(server.head(COMPLETION, 32 << 20))
            with contextlib.suppress(OSError):
                s.sendall(b"a" * ((32 << 20) - 1))
            held.append(s)
        assert server.memory("VmHWM") - before < 200  # it was 32 MB each
        for s in held:
            s.close()
        assert status(server.post(COMPLETION, ASK)) == 401
        assert status(server.post(COMPLETION, ASK, "Connection: close\r\nAuthorization: Bearer right\r\n")) == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_under_load(smollm2, tmp_path, number):
    stream = json.dumps({"prompt": "Once", "max_tokens": 3000, "temperature": 2, "n": 8, "stream": True}).encode()
    with Server(smollm2, tmp_path) as server:
        held = [server.send(COMPLETION, stream) for _ in range(8)]
        path, body = long_text()
        held += [server.send(path, body) for _ in range(4)]
        held += [server.connect() for _ in range(20)]
        assert held[0].recv(100)
        assert server.ends_by(number) == 0
        for s in held:
            s.close()


def test_a_template_that_computes_on_and_on_holds_nobody_up(smollm2_hf, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for file in smollm2_hf.iterdir():
        if file.is_file() and "template" not in file.name:
            (model / file.name).symlink_to(file)
    config = json.loads((smollm2_hf / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (model / "tokenizer_config.json").unlink()
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    grow = "{% set X = ['x'] %}" + "{% set X = [X, X, X, X, X, X, X, X, X, X] %}" * 12
    (model / "chat_template.jinja").write_text(grow.replace("X", "a") + grow.replace("X", "b") + "{{ a == b }}")  # 10^12 comparisons
    with Server(model, tmp_path) as server:
        held = [server.send(CHAT, one_turn()) for _ in range(4)]
        for _ in range(10):
            assert server.health() < 3
            time.sleep(0.1)
        server.ends_by(signal.SIGTERM)
        for s in held:
            s.close()


def test_nohup_keeps_it(smollm2, tmp_path):
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    port_file = tmp_path / "port"
    process = subprocess.Popen([program(), "serve", str(smollm2), "--port", "0", "--port-file", str(port_file)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=ignore)
    try:
        while not port_file.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        if process.poll() is None:
            process.kill()


@pytest.mark.parametrize("flags", [["--threads", "100000"], ["--kv-limit-mib", str(2**63 - 1)]])
def test_sizes_that_no_machine_has_are_refused(smollm2, flags):
    run = subprocess.run([program(), "serve", str(smollm2), "--port", "0", *flags], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and flags[1] in run.stderr, run.stderr


def ask(server, path="/v1/models", method="GET", host=None, body=b"", **headers):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{server.port}'}", "Connection: close",
             *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    with server.connect() as s:
        s.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return read_all(s)


def test_pages_of_other_sites_are_strangers(server, smollm2, tmp_path):
    port = server.port
    assert status(ask(server, host="evil.example")) == 421  # a name that was made to resolve here
    assert b"--allow-host evil.example" in ask(server, host="evil.example")
    for host in (f"localhost:{port}", "127.0.0.1", "[::1]:80", "LOCALHOST"):
        assert status(ask(server, host=host)) == 200, host
    for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}"):
        assert status(ask(server, Origin=origin)) == 403, origin
    assert status(ask(server, Origin=f"http://127.0.0.1:{port}")) == 200
    post = dict(path=COMPLETION, method="POST", body=ASK)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):  # what a form can send
        answer = ask(server, **post, Content_Type=kind)
        assert status(answer) == 415 and b"application/json" in answer
    assert status(ask(server, **post, Content_Type="Application/JSON; charset=utf-8")) == 200
    with Server(smollm2, tmp_path, "--allow-host", "box.local", "--allow-origin", "https://chat.example") as own:
        assert status(ask(own, host="box.local:8080")) == 200
        assert status(ask(own, Origin="https://other.example")) == 403
        preflight = ask(own, path=COMPLETION, method="OPTIONS", Origin="https://chat.example", Access_Control_Request_Method="POST")
        assert status(preflight) == 204 and b"Access-Control-Allow-Headers: Authorization, Content-Type" in preflight
        answer = ask(own, **post, Content_Type="application/json", Origin="https://chat.example")
        assert status(answer) == 200 and b"Access-Control-Allow-Origin: https://chat.example" in answer
