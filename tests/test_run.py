"""Bad input to the program: one message that names the value, the place and the next action, an exit status by kind."""
import http.server
import json
import os
import resource
import shutil
import socket
import subprocess
import threading
import time

import pytest

from conftest import ROOT, program, retort

TINY = ROOT / "tests" / "interrupt.yaml"
PERMISSION = (ROOT / "recipes" / "quickstart" / "permission.yaml").read_text()
INVALID, MISSING, CORRUPT, IO, UNAVAILABLE, LIMIT = 2, 3, 4, 5, 6, 7


def refused(status, *args, says=(), **kwargs):
    """The command ends with `status` and one message that holds all of `says`."""
    run = retort(*args, check=False, timeout=60, **kwargs)
    assert run.returncode == status, (run.returncode, run.stderr[-2000:])
    messages = [line for line in run.stderr.splitlines() if line.startswith("retort: ")]
    assert len(messages) == 1, run.stderr
    text = run.stderr[run.stderr.index(messages[0]):]
    for part in says:
        assert str(part) in text, (part, text)
    for trace in ("terminate called", "what():", "Aborted", "Traceback", ".cc:"):
        assert trace not in run.stderr
    return run


@pytest.fixture
def place(tmp_path):
    """A recipe of two steps with its files, to be spoilt."""
    (tmp_path / "permission.yaml").write_text(PERMISSION)
    (tmp_path / "prices.yaml").write_text("retort-teacher: {input: 0.10, output: 0.40}\nmock: {input: 1, output: 1}\n")
    (tmp_path / "recipe.yaml").write_text("""name: small
set: {prompts: 20}
steps:
  problems: {do: problems, train: "${prompts}", test: 5}
  collect:
    do: collect
    prompts: "${problems}/train.jsonl"
    procedural: true
    permission: permission.yaml
    prices: prices.yaml
    cap: "1.00"
    samples: 1
    backoff_ms: 1
    backoff_max_ms: 5
""")
    return tmp_path


def spoil(place, old, new):
    text = (place / "recipe.yaml").read_text()
    assert old in text
    (place / "recipe.yaml").write_text(text.replace(old, new))


def run_args(place, *more):
    return ["run", place / "recipe.yaml", "--out", place / "out", *more]


@pytest.mark.parametrize("old, new, says", [
    ("samples: 1", "sampels: 1", ["recipe.yaml", "collect", "`sampels`", "did you mean `samples`"]),
    ("do: collect", "do: colect", ["`colect`", "did you mean `collect`"]),
    ("set:", "sets:", ["`sets`", "did you mean `set`"]),
    ("${problems}/", "${problem}/", ["${problem}", "did you mean `${problems}`"]),
    ('cap: "1.00"', 'cap: "lots"', ["lots"]),
    ("samples: 1", "samples: many", ["samples", "many"]),
    ("name: small", "name: [small", ["recipe.yaml"]),
])
def test_faults_of_a_recipe(place, old, new, says):
    spoil(place, old, new)
    refused(INVALID, *run_args(place), says=says)


def test_names_on_the_command_line(place):
    refused(INVALID, *run_args(place, "--set", "promts=3"), says=["promts=3", "did you mean `prompts`"])
    refused(INVALID, *run_args(place, "--set", "colect.samples=3"), says=["did you mean `collect`"])
    refused(INVALID, *run_args(place, "--set", "prompts"), says=["no `=`"])
    refused(MISSING, "run", place / "none.yaml", says=["none.yaml"])


def test_files_that_are_not_there(place):
    (place / "prices.yaml").unlink()
    refused(MISSING, *run_args(place), says=["collect", "prices.yaml"])
    assert not (place / "out").exists()  # said before any work


@pytest.mark.parametrize("old, new, says", [
    ("expires: never", 'expires: "2020-01-01"', ["2020-01-01"]),
    ("http://127.0.0.1:*/v1", "https://api.example.com/v1", ["api.example.com", "127.0.0.1"]),
    ("[distillation]", "[evaluation]", ["distillation"]),
    ("clause:", "claus:", ["claus", "clause"]),
])
def test_permission_is_refused(place, old, new, says):
    assert old in PERMISSION
    (place / "permission.yaml").write_text(PERMISSION.replace(old, new))
    refused(INVALID, *run_args(place), says=["permission.yaml" if old == "clause:" else "", *says])
    assert not (place / "out" / "collect" / "traces.jsonl").exists()


def test_an_unpriced_model_and_a_small_cap(place):
    refused(LIMIT, *run_args(place, "--set", "collect.cap=0.000010"), says=["cap", "raise --cap"])
    (place / "prices.yaml").write_text("another: {input: 1, output: 1}\n")
    refused(INVALID, *run_args(place), says=["retort-teacher", "prices.yaml"])


def test_a_second_run_in_the_same_folder(place):
    child = subprocess.Popen([program(), *map(str, run_args(place, "--set", "collect.teacher.delay_ms=3000"))],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (place / "out" / "collect" / "work" / "claim.json").exists():
            assert child.poll() is None
            time.sleep(0.01)
        refused(UNAVAILABLE, *run_args(place), says=["another retort works in", place / "out", "--out"])
    finally:
        child.kill()
        child.wait()


def test_explain_dry_run_json_and_a_second_run(place):
    dry = retort(*run_args(place, "--dry-run"))
    assert "collect" in dry.stdout and "cap $1.00" in dry.stdout and not (place / "out").exists()
    rows = json.loads(retort(*run_args(place, "--dry-run", "--json")).stdout)
    assert [row["step"] for row in rows] == ["problems", "collect"] and all(row["runs"] for row in rows)
    report = json.loads(retort(*run_args(place, "--json")).stdout)
    assert report == json.loads((place / "out" / "report.json").read_text())
    assert [row["step"] for row in report["cost"]] == ["problems", "collect"]
    again = retort(*run_args(place, "--explain"))
    assert again.stderr.count("is up to date") == 2
    changed = retort(*run_args(place, "--explain", "--set", "prompts=21"))
    assert "option `train` was 20 and is 21" in changed.stderr and "train.jsonl changed" in changed.stderr
    (place / "out" / "collect" / "traces.jsonl").unlink()
    assert "its output traces.jsonl is gone" in retort(*run_args(place, "--explain", "--set", "prompts=21")).stderr


def limit_files(bytes_allowed):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))


def test_a_full_disk(place):
    """A limit on file sizes stands for the disk: it can be set without being root."""
    spoil(place, "prompts: 20", "prompts: 600")
    spoil(place, "procedural: true", "procedural: true\n    teacher: {busy: 0}")
    for allowed in (1 << 10, 1 << 16, 1 << 19):
        run = subprocess.run([program(), *map(str, run_args(place))], capture_output=True, text=True, timeout=60,
                             preexec_fn=limit_files(allowed))
        assert run.returncode == IO, (allowed, run.returncode, run.stderr[-1500:])
        assert len([line for line in run.stderr.splitlines() if line.startswith("retort: ")]) == 1
        assert str(place / "out") in run.stderr
    retort(*run_args(place))


class Odd(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        status, kind, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + self.server.missing))
        self.end_headers()
        self.wfile.write(body)


EMPTY = json.dumps({"id": "x", "object": "chat.completion", "model": "mock", "usage": {"prompt_tokens": 7, "completion_tokens": 3},
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "stop"}]}).encode()


@pytest.mark.parametrize("status, kind, body, missing, reason", [
    (200, "application/json", b"\x00\xff{]" * 30, 0, "failed"),
    (200, "text/html", b"<html>Please sign in</html>", 0, "failed"),
    (200, "text/event-stream", b'data: {"choices": [{"index": 0, "del', 500, "failed"),
    (200, "application/json", EMPTY, 0, "empty"),
    (401, "application/json", b'{"error": {"message": "wrong key given"}}', 0, "refused"),
])
def test_a_teacher_that_talks_nonsense(place, status, kind, body, missing, reason):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    server.answer, server.missing = (status, kind, body), missing
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spoil(place, "procedural: true", f"endpoint: http://127.0.0.1:{server.server_address[1]}/v1\n    model: mock\n    max_attempts: 2")
    try:
        if status == 401:
            refused(INVALID, *run_args(place), says=["collect", "wrong key given"], env={"RETORT_API_KEY": "sk-secret"})
        else:
            says = ["step `collect`", f"http://127.0.0.1:{server.server_address[1]}/v1", f"of 20 samples were given up", f" {reason}",
                    "sample 0", "run the same command again"]
            run = refused(UNAVAILABLE, *run_args(place), says=says)
            assert "Please sign in" in run.stderr or b"sign in" not in body
            assert not (place / "out" / "collect" / "traces.jsonl").exists()  # nothing is rejected for good
            spent = [json.loads(line)["usd_micros"] for line in (place / "out" / "costs.jsonl").read_text().splitlines()]
            assert sum(spent) > 0 and f"(${sum(spent) / 1e6:.6f} is booked)" in run.stderr
            refused(UNAVAILABLE, *run_args(place), says=["none was answered"])
            server.answer, server.missing = (200, "application/json", EMPTY.replace(b'"content": ""', b'"content": "5"')), 0
            retort(*run_args(place))  # a teacher again: all are asked, and none is given up for what was before
            traces = (place / "out" / "collect" / "traces.jsonl").read_text().splitlines()
            assert len(traces) == 20 and (place / "out" / "collect" / "rejects.jsonl").read_text() == ""
    finally:
        server.shutdown()
        server.server_close()


def test_nothing_left_to_learn_from(place):
    """Curation that keeps nothing ends well, its rejects say why; a training on nothing is refused with the reasons."""
    with (place / "recipe.yaml").open("a") as f:
        f.write("  curate: {do: curate, traces: ['${collect}/traces.jsonl'], min_chars: 90000}\n"
                "  train: {do: train, from_scratch: true, examples: '${curate}/examples.jsonl'}\n")
    run = refused(INVALID, *run_args(place), says=["step `train`", "examples.jsonl", "holds no example", "of 20 traces", "20 too_short",
                                                   "rejects.jsonl"])
    assert "none of 20 traces was kept (20 too_short)" in run.stderr
    assert (place / "out" / "curate" / "stamp.json").exists() and not (place / "out" / "train" / "stamp.json").exists()


def test_help_shows_one_spelling_and_takes_both(place):
    text = retort("collect", "--help").stdout
    assert "--top-p" in text and "--top_p" not in text and "--max-tokens" in text and "--max_tokens" not in text
    for spelling in ("--top_p", "--top-p"):
        refused(INVALID, "collect", "--out", place / "o", spelling, "lots", "--prompts", place / "recipe.yaml", says=["--top-p", "lots"])


def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(IO, "teacher", "--port", port, says=[port])


def test_damaged_models(place):
    (place / "recipe.yaml").write_text(TINY.read_text().replace("../recipes", str(ROOT / "recipes")))
    retort(*run_args(place, "--set", "prompts=60", "--set", "test=5", "--set", "collect.teacher.delay_ms=0",
                     "--set", "student.max_steps=1", "--set", "ablation.flops_of=", "--set", "ablation.max_steps=1"))
    good = place / "out" / "student" / "model"
    weights = (good / "model.safetensors").read_bytes()
    lies = bytearray(weights)
    lies[0:8] = (1 << 40).to_bytes(8, "little")
    for name, data in (("cut", weights[:len(weights) // 2]), ("short", weights[:5]), ("lies", bytes(lies))):
        bad = place / name
        shutil.copytree(good, bad)
        (bad / "model.safetensors").write_bytes(data)
        refused(CORRUPT, "logprobs", "--model", bad, "--json", stdin='{"text": "1"}\n', says=["model.safetensors"])
    bare = place / "bare"
    shutil.copytree(good, bare)
    (bare / "chat_template.jinja").unlink()
    config = json.loads((bare / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config))
    refused(MISSING, "render", "--model", bare, "--json", stdin='{"messages": [{"role": "user", "content": "1"}]}\n',
            says=["template"])
    gguf = place / "bad.gguf"
    gguf.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 16)
    refused(CORRUPT, "inspect", gguf, says=["bad.gguf"])
    assert os.path.exists(place / "out" / "report.html")
