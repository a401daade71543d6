"""`retort chat` as a person sees it: on a pseudo-terminal, with a scripted API whose streams wait for the test."""
import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import textwrap
import threading
import time

import pytest

from conftest import program, retort

WAIT = object()  # in a script: the stream goes no further until the client leaves


class Api:
    """An OpenAI-compatible server that answers the n-th request with the n-th script: deltas, WAIT, or (status, body)."""

    def __init__(self, *scripts):
        self.asked, self.left = [], threading.Event()
        api, waiting = self, list(scripts)

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.asked.append(body)
                script = waiting.pop(0)
                status, rest = script if isinstance(script, tuple) else (200, None)
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream" if rest is None else "application/json")
                self.end_headers()
                if rest is not None:
                    self.wfile.write(json.dumps(rest).encode())
                    return
                for delta in script:
                    if delta is WAIT:
                        assert self.connection.recv(1) == b""  # nothing more is sent: this is the client's leaving
                        api.left.set()
                        return
                    self.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

            def event(self, value):
                for byte in f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode():
                    self.wfile.write(bytes([byte]))  # one at a time: characters arrive in parts
                self.wfile.flush()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.flags = ["--endpoint", f"http://127.0.0.1:{self.server.server_address[1]}/v1", "--model", "scripted", "--prices", "free"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def messages(self, n):
        return [(m["role"], m["content"]) for m in self.asked[n]["messages"]]


class Terminal:
    """The program on a pseudo-terminal of its own, which it controls, so that keys become signals."""

    def __init__(self, *args, columns=80, cwd=None, **streams):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.seen, self.at = b"", 0
        self.process = subprocess.Popen(
            [program(), "chat", *map(str, args)], start_new_session=True, cwd=cwd,
            preexec_fn=lambda: fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0), pass_fds=[self.slave],
            env={**os.environ, "no_proxy": "127.0.0.1"},
            **{**dict.fromkeys(("stdin", "stdout", "stderr"), self.slave), **streams})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def read_some(self, seconds):
        ready = select.select([self.master], [], [], seconds)[0]
        if ready:
            self.seen += os.read(self.master, 65536)
        return bool(ready)

    def until(self, pattern):
        """Reads up to the next match and returns the text from the last one to its end."""
        deadline = time.monotonic() + 60
        while not (match := re.compile(pattern.encode(), re.S).search(self.seen, self.at)):
            assert time.monotonic() < deadline, f"no {pattern!r} after {self.seen[self.at:]!r}"
            self.read_some(0.5)
        text = self.seen[self.at:match.end()].decode()  # fails where a character came in parts of others
        self.at = match.end()
        return text

    def type(self, keys):
        os.write(self.master, keys.encode())

    def say(self, line):
        """Types a line at the prompt and returns what is shown up to the next prompt, without the echo."""
        self.type(line + "\r")
        self.until(re.escape(line.replace("\033", "^[")) + "\r\n")
        return self.until("\r\n> ")

    def prompt(self):
        return self.until("> ")

    def end(self, keys=None):
        """The exit status after `keys`; the terminal is then as it was."""
        if keys is not None:
            self.type(keys)
        status = self.process.wait(timeout=60)
        while self.read_some(0):
            pass
        assert termios.tcgetattr(self.slave) == self.before
        assert self.seen.count(b"\033[2m") <= self.seen.count(b"\033[0m")
        return status


ANSWER = [{"reasoning_content": "let me "}, {"reasoning_content": "see é"}, {"content": "The answer"}, {"content": " is 4."}]
INLINE = [{"content": c} for c in ("<th", "ink>\nlet me ", "see é", "\n</thi", "nk>\n", "\nThe answer", " is 4.")]


@pytest.mark.parametrize("script", [ANSWER, INLINE])
@pytest.mark.parametrize("columns", [40, 120])
def test_the_thought_is_dimmed_and_the_answer_is_not(script, columns):
    with Api(script) as api, Terminal(*api.flags, columns=columns) as terminal:
        terminal.prompt()
        assert terminal.say("2+2?") == "\033[2mlet me see é\033[0m\r\n\r\nThe answer is 4.\r\n> "
        assert terminal.end("/quit\r") == 0


@pytest.mark.parametrize("script", [ANSWER, INLINE])
def test_a_pipe_gets_marks_and_no_escape_sequences(script):
    text = "<think>\nlet me see é\n</think>\nThe answer is 4.\n"
    with Api(script) as api:
        run = retort("chat", *api.flags, stdin="2+2?\n", env={"no_proxy": "127.0.0.1"})
        assert (run.stdout, run.stderr) == (text, "")
    with Api(script) as api, Terminal(*api.flags, stdout=subprocess.PIPE) as terminal:
        terminal.prompt()
        terminal.type("2+2?\r\x04")  # typed by a person, read by a program
        assert terminal.process.stdout.read().decode() == text
        assert terminal.end() == 0


@pytest.mark.parametrize("columns", [40, 120])
def test_what_a_model_writes_does_not_steer_the_terminal(columns):
    pieces = ["a\033[2Jb", "\033[2J", "\033[1m", "c\x9bd\x07e\rf\x7f", "\ttab\n", "word " * 60, "日本語 🙂"]
    with Api([{"reasoning_content": "\033[0m"}, *({"content": p} for p in pieces)]) as api, Terminal(*api.flags, columns=columns) as terminal:
        terminal.prompt()
        words = textwrap.wrap("word " * 60, columns - 1)
        shown = terminal.say("go")
        assert shown.startswith("\033[2m[0m\033[0m\r\n\r\na[2Jb[2J[1mcdef\ttab\r\n")
        assert set(re.findall("\033\\[[0-9;?]*[A-Za-ln-z]", shown)) <= {f"\033[{n}D" for n in range(1, 9)} | {"\033[K"}  # the wrapping's own
        assert screen_of(shown)[3:] == [*words[:-1], words[-1] + " 日本語 🙂", "> "]
        assert terminal.end("/quit\r") == 0


def test_history_reaches_the_model_and_reset_forgets_it():
    with Api(ANSWER, ANSWER, ANSWER) as api, Terminal(*api.flags, "--system", "Be short.") as terminal:
        terminal.prompt()
        terminal.say("one")
        terminal.say("two")
        assert "forgotten" in terminal.say("/reset")
        assert "/rset" in terminal.say("/rset")
        terminal.say("three")
        assert terminal.end("\x04") == 0
        system = ("system", "Be short.")
        assert api.messages(0) == [system, ("user", "one")]
        assert api.messages(1) == [system, ("user", "one"), ("assistant", "The answer is 4."), ("user", "two")]
        assert api.messages(2) == [system, ("user", "three")]
        assert not {"temperature", "top_p", "max_tokens", "seed"} & set(api.asked[0])  # the server's own


def test_lines_are_edited_and_recalled(tmp_path):
    kept = tmp_path / "lines"
    with Api(ANSWER, ANSWER) as api, Terminal(*api.flags, "--history", kept, columns=40) as terminal:
        terminal.prompt()
        terminal.type("abé\033[D\033[DX\x7fY\r")  # left twice, a letter in and out, another
        terminal.until("is 4.\r\n> ")
        terminal.type("\033[A\r")  # up: the line before
        terminal.until("is 4.\r\n> ")
        assert terminal.end("\x04") == 0
        assert api.messages(0) == [("user", "aYbé")] and api.messages(1)[-1] == ("user", "aYbé")
    assert kept.stat().st_mode & 0o77 == 0
    with Api(ANSWER) as api, Terminal(*api.flags, "--history", kept) as terminal:
        terminal.prompt()
        terminal.type("\033[A\r")
        terminal.until("is 4.\r\n> ")
        assert terminal.end("\x04") == 0
        assert api.messages(0) == [("user", "aYbé")]


def test_nothing_typed_is_kept_unless_asked(tmp_path):
    with Api(ANSWER) as api, Terminal(*api.flags, cwd=tmp_path) as terminal:
        terminal.prompt()
        terminal.say("a secret")
        assert terminal.end("\x04") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_question_of_several_lines():
    with Api(ANSWER, ANSWER) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        for line in ('"""one', "", "  two"):
            terminal.type(line + "\r")
            terminal.until("\\.\\.\\. ")
        terminal.type('"""\r')
        terminal.until("is 4.\r\n> ")
        terminal.type("three\\\r")
        terminal.until("\\.\\.\\. ")
        terminal.type("four\r")
        terminal.until("is 4.\r\n> ")
        assert terminal.end("\x04") == 0
        assert [text for role, text in api.messages(1) if role == "user"] == ["one\n\n  two", "three\nfour"]


def test_what_a_slash_does(tmp_path):
    file = tmp_path / "talk.json"
    with Api(ANSWER, ANSWER, ANSWER) as api, Terminal(*api.flags, columns=200) as terminal:
        terminal.prompt()
        shown = terminal.say("/help")
        assert all(word in shown for word in ("/set NAME VALUE", "/system", "/save", "/load", "/clear", "/exit", '"""'))
        assert "temperature is set" in terminal.say("/set temperature 0.25")
        assert "did you mean `top_p`" in terminal.say("/set top_pp 1")
        assert "out of range" in terminal.say("/set top_p 7")
        assert "temperature 0.25" in terminal.say("/set")
        terminal.say("/system Be short.")
        terminal.say("one")
        assert "3 messages" in terminal.say(f"/save {file}")
        assert "exists" in terminal.say(f"/save {file}")
        terminal.say("/system")
        assert "forgotten" in terminal.say("/clear")
        terminal.say("two")
        assert "2 messages are loaded" in terminal.say(f"/load {file}")
        assert "no such file" in terminal.say(f"/load {file}x").lower()
        terminal.say("three")
        assert terminal.end("/exit\r") == 0
        system, one = ("system", "Be short."), [("user", "one"), ("assistant", "The answer is 4.")]
        assert api.messages(0) == [system, one[0]] and api.messages(1) == [("user", "two")]
        assert api.messages(2) == [system, *one, ("user", "three")]
        assert api.asked[0]["temperature"] == 0.25 and "top_p" not in api.asked[0]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_words_go_to_the_next_line_whole(size):
    text = "Mediterranean shorelines remember conversations " * 4 + "x" * 90
    pieces = [text[i:i + size] for i in range(0, len(text), size)]
    with Api([{"content": p} for p in pieces]) as api, Terminal(*api.flags, columns=40) as terminal:
        terminal.prompt()
        lines = screen_of(terminal.say("go"))
        assert terminal.end("\x04") == 0
    long = textwrap.wrap(text, 39, break_long_words=False)
    assert lines == [*long[:-1], *textwrap.wrap(long[-1], 39), "> "]


def screen_of(shown):
    """The lines that a terminal has after `shown`, without colours: cursor left and erase to the end are what is used."""
    lines, at = [[]], 0
    for match in re.finditer(r"\033\[\d+m|\033\[(\d+)D|(\033\[K)|(\r\n)|(.)", shown, re.S):
        left, erase, feed, character = match.groups()
        if left:
            at -= int(left)
        elif erase:
            del lines[-1][at:]
        elif feed:
            lines, at = [*lines, []], 0
        elif character:
            lines[-1][at:at + 1] = [character]
            at += 1
    return ["".join(line) if i + 1 == len(lines) else "".join(line).rstrip() for i, line in enumerate(lines)]


def test_options_reach_the_model():
    with Api(ANSWER) as api:
        retort("chat", *api.flags, "--temperature", "0", "--top-p", "0.5", "--max-tokens", "9", "--seed", "3", stdin="x\n",
               env={"no_proxy": "127.0.0.1"})
        assert {k: api.asked[0][k] for k in ("temperature", "top_p", "max_tokens", "seed")} == {
            "temperature": 0, "top_p": 0.5, "max_tokens": 9, "seed": 3}


def test_ctrl_c_stops_the_answer_which_stays_in_the_history():
    with Api([{"content": "One "}, {"content": "two"}, WAIT], ANSWER) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        terminal.type("count\r")
        terminal.until("One two")
        terminal.type("\x03")
        assert "(stopped; Ctrl-C again quits)" in terminal.prompt()
        assert api.left.wait(60)  # the server is told by the connection's end
        assert "is 4." in terminal.say("go on")
        assert api.messages(1) == [("user", "count"), ("assistant", "One two"), ("user", "go on")]
        terminal.type("\x03")
        assert "again" in terminal.prompt()  # an answer since then: not the second one in a row
        assert terminal.end("/quit\r") == 0


def test_ctrl_c_in_a_thought_drops_the_question():
    with Api([{"reasoning_content": "hmm"}, WAIT], ANSWER) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        terminal.type("hard\r")
        terminal.until("\033\\[2mhmm")
        terminal.type("\x03")
        shown = terminal.prompt()
        assert "\033[0m\r\n(stopped before an answer" in shown
        terminal.say("easy")
        assert api.messages(1) == [("user", "easy")]
        assert terminal.end("\x04") == 0


def test_two_ctrl_c_quit():
    with Api([{"content": "One"}, WAIT]) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        terminal.type("a half-typed line\x03")
        assert "(Ctrl-C again quits)" in terminal.prompt()
        terminal.type("count\r")
        terminal.until("count\r\nOne")
        terminal.type("\x03")
        terminal.prompt()
        assert terminal.end("\x03") == 130
        assert api.messages(0) == [("user", "count")]


@pytest.mark.parametrize("answering", [False, True])
def test_sigterm_ends_it(answering):
    with Api([{"reasoning_content": "hmm"}, WAIT]) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        if answering:
            terminal.type("hard\r")
            terminal.until("hmm")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 130


def test_errors_are_told_and_the_chat_goes_on():
    full = (400, {"error": {"message": "prompt has 9000 tokens, the context holds 8192", "code": "context_length_exceeded"}})
    with Api(ANSWER, full, ANSWER) as api, Terminal(*api.flags) as terminal:
        terminal.prompt()
        terminal.say("one")
        shown = terminal.say("long")
        assert "9000" in shown and "8192" in shown and "(/reset forgets the 2 messages before)" in shown
        terminal.say("short")
        assert [text for _, text in api.messages(2)] == ["one", "The answer is 4.", "short"]
        assert terminal.end("\x04") == 0


def test_a_local_model_on_a_terminal(smollm2):
    with Terminal(smollm2, "--temperature", "0", "--max-tokens", "400", columns=40) as terminal:
        assert f"loading {smollm2}" in terminal.prompt()
        terminal.type("Write a long story about a café and the number 7.\r")
        terminal.until("7.\r\n.{40}")
        terminal.type("\x03")
        assert "(stopped" in terminal.prompt()
        text = terminal.say("Go on.")
        assert "\ufffd" not in text and not re.search("\033(?!\\[\\d+D|\\[K)", text)  # the wrapping's own
        terminal.type("\x04")
        assert terminal.end() == 0


def test_an_over_long_conversation_says_both_numbers(smollm2):
    run = retort("chat", smollm2, "--max-tokens", "4", "--temperature", "0", stdin="hi\n" + "one " * 9000 + "\n", check=False)
    assert run.returncode == 7 and run.stdout.count("\n") >= 1
    numbers = [int(n) for n in re.findall(r"\d+", run.stderr)]
    assert any(n >= 9000 for n in numbers) and {2048, 8192} & set(numbers), run.stderr
    assert "(cut off: max_tokens is reached)" in run.stderr and "(/reset forgets the 2 messages before)" in run.stderr


def test_what_it_needs_is_said():
    help_text = retort("chat", "--help").stdout
    assert all(word in help_text for word in ("Ctrl-C", "Ctrl-D", "status 130", "/reset", "/quit", "/save", "--history", "dimmed"))
    none = retort("chat", check=False)
    assert none.returncode == 2 and "MODEL" in none.stderr and "--endpoint" in none.stderr
    gone = retort("chat", "/no/such/model", check=False)
    assert gone.returncode == 3 and "/no/such/model" in gone.stderr
