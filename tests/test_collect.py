"""`retort collect` and `retort cost` against a small OpenAI-compatible server that misbehaves on purpose."""
import http.server
import json
import random
import signal
import subprocess
import threading
import time

import pytest

from conftest import program, retort, shared


class Teacher(http.server.ThreadingHTTPServer):
    """Answers chat completions; `trouble(key, times)` may name a way to fail. Logs what it served whole."""
    daemon_threads = True

    def __init__(self, trouble=lambda key, times: None, delay=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.trouble, self.delay, self.lock = trouble, delay, threading.Lock()
        self.asked, self.served, self.in_flight, self.most = {}, [], 0, 0
        self.keys, self.bodies = set(), []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_):
        pass  # a client that was killed is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        t = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = f'{body["messages"][-1]["content"]}|{body.get("seed")}'
        with t.lock:
            times = t.asked.get(key, 0)
            t.asked[key] = times + 1
            t.keys.add(self.headers.get("Authorization"))
            t.bodies.append(body)
            t.in_flight += 1
            t.most = max(t.most, t.in_flight)
        try:
            if t.delay:
                time.sleep(t.delay)
            self.answer(t, body, key, t.trouble(key, times))
        finally:
            with t.lock:
                t.in_flight -= 1

    def send(self, status, text, kind="application/json", headers=(), length=None):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def answer(self, t, body, key, how):
        if how == "busy":
            return self.send(429, '{"error":{"message":"later"}}', headers=[("Retry-After", "0")])
        if how == "wrong key":
            return self.send(401, '{"error":{"message":"who are you"}}')
        if how == "html":
            return self.send(200, "<html><body>Sign in</body></html>", "text/html")
        if how == "garbage":
            return self.send(200, "\x00\x01{]" * 20)
        if how == "error":
            return self.send(500, "oops", "text/plain")
        if how == "far too busy":
            return self.send(429, '{"error":{"message":"later"}}', headers=[("Retry-After", "1000000000")])
        if how == "echo":
            said = {"message": f'{self.headers["Authorization"]} and {self.headers["api-key"]}'}
            return self.send(400, json.dumps({"error": said}))
        if how == "no temperature" and "temperature" in body:
            return self.send(400, '{"error":{"message":"`temperature` does not support 0.7 with this model","param":"temperature"}}')
        finish = "length" if how == "length" else "stop"
        thought, answer = f"thinking of {key}", f"The answer is {len(key)}."
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock-1"}
        usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
        usages = how if isinstance(how, list) else [usage]
        answer = "x" * how if isinstance(how, int) else answer
        if not body.get("stream"):
            message = {"role": "assistant", "content": answer, "reasoning_content": thought}
            whole = {**head, "object": "chat.completion", "usage": usage,
                     "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
            self.send(200, json.dumps(whole))
        else:
            chunks = [{"choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in
                      ({"role": "assistant", "content": ""}, {"reasoning_content": thought}, {"content": answer})]
            chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]
            chunks += [{"choices": [], "usage": usage} for usage in usages]
            text = "".join("data: " + json.dumps({**head, **c}) + "\n\n" for c in chunks) + "data: [DONE]\n\n"
            if how == "half":
                self.send(200, text[:len(text) // 2], "text/event-stream", length=len(text))
                self.close_connection = True
                return
            self.send(200, text, "text/event-stream")
        with t.lock:
            t.served.append(key)


PERMISSION = """name: Mock
endpoint: {endpoint}
licence: Apache-2.0
clause: "you may train on it"
evidence: the server in this test
checked_by: the test
date: 2020-01-01
allowed_uses: [distillation]
expires: never
"""


@pytest.fixture
def place(tmp_path):
    prompts = [{"id": f"p{i}", "question": f"What is {i} + {i}?", "answer": str(2 * i)} for i in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    (tmp_path / "permission.yaml").write_text(PERMISSION.format(endpoint="http://127.0.0.1:*/v1"))
    (tmp_path / "prices.yaml").write_text("mock: {input: 1.00, output: 2.00}\n")
    return tmp_path


def arguments(place, url, out, *more):
    return ["collect", "--prompts", place / "prompts.jsonl", "--endpoint", url, "--model", "mock", "--permission",
            place / "permission.yaml", "--prices", place / "prices.yaml", "--cap", "1.00", "--samples", "2", "--seed", "5",
            "--concurrency", "4", "--max-tokens", "64", "--backoff-ms", "1", "--backoff-max-ms", "20", "--out", out, *more]


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def costs(folder):
    return {row["stage"]: row for row in map(json.loads, retort("cost", folder, "--json").stdout.splitlines())}


@pytest.mark.parametrize("stream", [True, False])
def test_every_kind_of_trouble_is_survived(place, stream):
    kinds = ["busy", "html", "garbage", "error", "half" if stream else "busy", "length", None]
    teacher = Teacher(lambda key, times: kinds[sum(map(ord, key)) % len(kinds)] if times == 0 else None)
    run = retort(*arguments(place, teacher.url, place / "out", "--json", *([] if stream else ["--no-stream"])),
                 env={"RETORT_API_KEY": "sk-test"})
    tally = json.loads(run.stdout)
    assert (tally["in"], tally["kept"], tally["dropped"]) == (12, 24, 0)
    traces = lines(place / "out" / "traces.jsonl")
    assert [(t["prompt_id"], t["sample"]) for t in traces] == [(f"p{i}", s) for i in range(12) for s in range(2)]
    for trace in traces:
        assert trace["reasoning"].startswith("thinking of What is")
        assert trace["content"].startswith("The answer is")
        assert trace["usage"] == {"prompt_tokens": 10, "completion_tokens": 20, "reasoning_tokens": 0}
        assert len(trace["permission_hash"]) == len(trace["raw_hash"]) == 64
    assert {t["finish_reason"] for t in traces} == {"stop", "length"}
    assert len(teacher.served) == 24 and teacher.most <= 4
    assert teacher.keys == {"Bearer sk-test"}
    assert "sk-test" not in run.stderr
    cost = costs(place / "out")["collect"]
    assert cost["usd_micros"] - cost["possibly_charged_usd_micros"] == 24 * (10 + 40)


def test_refusals_name_what_to_write(place):
    teacher = Teacher()
    base = arguments(place, teacher.url, place / "out")
    (place / "permission.yaml").write_text(PERMISSION.format(endpoint="https://api.example.com/v1"))
    run = retort(*base, check=False)
    assert run.returncode == 2 and "api.example.com" in run.stderr and "use the record of this teacher" in run.stderr
    (place / "permission.yaml").unlink()
    assert "retort permission new" in retort(*base, check=False).stderr
    (place / "permission.yaml").write_text(PERMISSION.format(endpoint=teacher.url))
    (place / "prices.yaml").write_text("other: {input: 1, output: 1}\n")
    run = retort(*base, check=False)
    assert run.returncode == 2 and "mock: {input: 2.50, output: 10.00}" in run.stderr
    assert teacher.asked == {}


def test_a_wrong_key_stops_at_once(place):
    teacher = Teacher(lambda key, times: "wrong key")
    run = retort(*arguments(place, teacher.url, place / "out"), check=False)
    assert run.returncode == 2 and "who are you" in run.stderr
    assert sum(teacher.asked.values()) <= 12 and not (place / "out" / "traces.jsonl").exists()


def test_nobody_at_the_address(place):
    run = retort(*arguments(place, "http://127.0.0.1:1/v1", place / "out", "--json", "--max-attempts", "2"), check=False)
    assert run.returncode == 6 and "http://127.0.0.1:1/v1 gave no usable answer" in run.stderr and "of 24 samples" in run.stderr, run.stderr
    assert not (place / "out" / "traces.jsonl").exists()
    assert costs(place / "out")["total"]["usd_micros"] == 0
    assert json.loads(retort(*arguments(place, Teacher().url, place / "out", "--json", "--max-attempts", "2")).stdout)["kept"] == 24


def test_the_cap_holds_and_the_run_goes_on(place):
    teacher = Teacher()
    tight = arguments(place, teacher.url, place / "out", "--cap", "0.0016")
    tight[tight.index("--cap"):tight.index("--cap") + 2] = []
    run = retort(*tight, check=False)
    assert run.returncode == 7 and "raise --cap" in run.stderr, run.stderr
    bought = len(teacher.served)
    assert 0 < bought < 24 and costs(place / "out")["total"]["usd_micros"] <= 1600
    assert retort(*arguments(place, teacher.url, place / "out")).returncode == 0
    assert len(teacher.served) == 24 and len(lines(place / "out" / "traces.jsonl")) == 24


def usage(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


# Counts that cannot be, or say nothing: the worst case of a request is what may have been charged.
ABSURD = [[usage(10, n)] for n in (0, -1, 2**53, 2**63 - 1, 2**64, 10**18, 9_200_000_000_000_000_000, 20.5, 1e18, "20", [20], True)]
ABSURD += [[usage(n, 20)] for n in (0, -5, 2**64, "10")] + [[], [None], [{}], [usage(10, 20, total_tokens=-1)]]
ABSURD += [[usage(10, 20), usage(10, -2)], [usage(10, 2**64), usage(10, 20)]]
# Counts that a bill may rest on, however often they are said: the most is charged, at $1 and $2 for a million.
CREDIBLE = [([usage(10, 20)], 50), ([usage(10, 7), usage(10, 20), usage(10, 1)], 50), ([None, usage(10, 20)], 50),
            ([usage(10, 5, total_tokens=30)], 50), ([usage(10, 400)], 810)]


WORST = 1024 + 2 * 64  # micro-dollars at least that a request of `arguments` may cost


@pytest.mark.parametrize("cap, lies, code", [
    ("9", ABSURD + [told for told, _ in CREDIBLE], 0), ("0.02", ABSURD, 7), ("0.02", [[usage(10, 2**40)]], 7),
    ("0.05", [[usage(10, 3000)], [usage(10, 20)]], 7)])
def test_the_books_hold_what_a_lying_teacher_may_charge(place, cap, lies, code):
    """The teacher's own log is the outside measure: the books say no less, and past the cap only what is under way comes."""
    prices = {json.dumps(told): price for told, price in CREDIBLE}
    prices |= {json.dumps(told): WORST for told in ABSURD}
    prices |= {json.dumps([usage(10, n)]): 10 + 2 * n for n in (3000, 2**40)}
    due, late, lock = [], [], threading.Lock()

    def lie(key, times):
        with lock:
            told = lies[len(due) % len(lies)]
            if sum(due) >= float(cap) * 1e6:
                late.append(key)
            due.append(prices[json.dumps(told)])
        return told

    teacher, out = Teacher(lie, delay=0.005), place / "out"
    args = list(map(str, arguments(place, teacher.url, out)))
    for name, value in (("--samples", "20"), ("--concurrency", "8"), ("--cap", cap)):
        args[args.index(name) + 1] = value
    run = retort(*args, check=False)
    assert run.returncode == code and ("raise --cap" in run.stderr) == (code == 7), run.stderr
    total = costs(out)["total"]
    assert total["usd_micros"] >= sum(due) and total["requests"] == len(due)
    assert len(late) <= 8, f"{len(late)} of {len(due)} requests came after the cap was reached"
    assert len(lines(out / "traces.jsonl")) == len(due) == len(teacher.served)  # not one answer is lost by what it says
    if code == 0:
        assert total["usd_micros"] - total["possibly_charged_usd_micros"] == sum(price for price in due if price != WORST)
    # Again: nothing absurd keeps the store shut, the books stand, not one more request leaves.
    assert retort(*args, check=False).returncode == code and len(due) == len(teacher.served) == total["requests"]
    assert costs(out)["total"]["usd_micros"] == total["usd_micros"]


def test_what_is_paid_for_is_written_at_the_cap(place):
    teacher = Teacher()
    tight = arguments(place, teacher.url, place / "out")
    tight[tight.index("--cap") + 1] = "0.0018"
    run = retort(*tight, check=False)
    assert run.returncode == 7 and "raise --cap" in run.stderr, run.stderr
    tally = json.loads((place / "out" / "tally.json").read_text())
    traces = lines(place / "out" / "traces.jsonl")
    assert tally["incomplete"] and tally["unfinished"] == 24 - len(teacher.served) and len(traces) == tally["kept"] == len(teacher.served) > 0
    assert (place / "out" / "rejects.jsonl").read_text() == ""
    bought = len(teacher.served)
    assert retort(*arguments(place, teacher.url, place / "out")).returncode == 0
    tally = json.loads((place / "out" / "tally.json").read_text())
    assert "incomplete" not in tally and tally["kept"] == 24 and len(teacher.served) == 24 and bought < 24
    assert costs(place / "out")["total"]["usd_micros"] == 24 * 50


@pytest.mark.parametrize("stream", [True, False])
def test_one_answer_too_large_is_a_reject_and_asked_once(place, stream):
    teacher = Teacher(lambda key, times: 2_000_000 if key.startswith("What is 3 ") else None)
    args = arguments(place, teacher.url, place / "out", *([] if stream else ["--no-stream"]))
    assert retort(*args).returncode == 0
    rejects = lines(place / "out" / "rejects.jsonl")
    assert [(r["id"], r["reason"]) for r in rejects] == [("p3", "unusable")] * 2
    assert "max_answer_bytes" in rejects[0]["detail"]
    assert costs(place / "out")["total"]["possibly_charged_usd_micros"] > 2 * 1024
    asked = dict(teacher.asked)
    retort(*args)
    assert teacher.asked == asked and max(asked.values()) == 1
    # The option that the reject names lets it in.
    wide = retort(*arguments(place, teacher.url, place / "wide", "--max_answer_bytes", "9000000", *([] if stream else ["--no-stream"])))
    assert wide.returncode == 0 and len(lines(place / "wide" / "traces.jsonl")) == 24


def test_a_wait_without_end_is_bounded_and_shown(place):
    teacher = Teacher(lambda key, times: "far too busy" if len(teacher.served) == 3 else None)
    child = subprocess.Popen([program(), *map(str, arguments(place, teacher.url, place / "out", "--concurrency", "1"))],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = ""
    while "waiting 10m 00s as it asks" not in said:
        line = child.stderr.readline()
        assert line, said
        said += line
    assert "answers 429: later" in said
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=60) == 130


def test_an_echoed_key_is_nowhere(place):
    key, other = "sk-live/7f+3 Ab", "azure-key-4711"
    teacher = Teacher(lambda key, times: "echo" if sum(map(ord, key)) % 3 == 0 else None)
    run = retort(*arguments(place, teacher.url, place / "out", "--headers", "api-key: env:OTHER_KEY", "--max_refused", "100"),
                 env={"RETORT_API_KEY": key, "OTHER_KEY": other})
    assert teacher.keys == {f"Bearer {key}"}
    assert lines(place / "out" / "rejects.jsonl") and "[key]" in (place / "out" / "rejects.jsonl").read_text()
    seen = run.stdout + run.stderr + "".join(p.read_bytes().decode("latin-1") for p in (place / "out").iterdir())
    for part in (key, other, "7f+3", "4711", "7f%2B3", "7f\\/3"):
        assert part not in seen, part
    refused = retort(*arguments(place, teacher.url, place / "o2", "--headers", f"api-key: {other}"), check=False)
    assert refused.returncode == 2 and "env:VARIABLE" in refused.stderr and other not in refused.stderr
    refused = retort(*arguments(place, teacher.url, place / "o2", "--headers", "api-key: env:NO_SUCH_KEY"), check=False)
    assert refused.returncode == 2 and "NO_SUCH_KEY" in refused.stderr


def test_a_model_that_takes_no_temperature_can_be_asked(place):
    teacher = Teacher(lambda key, times: "no temperature")
    args = arguments(place, teacher.url, place / "out", "--extra_body", '{"reasoning_effort": "high"}')
    run = retort(*args, check=False)
    assert run.returncode == 2 and "set --temperature to" in run.stderr and "`unset`" in run.stderr, run.stderr
    teacher.bodies.clear()
    retort(*args, "--temperature", "unset", "--top_p", "unset")
    for body in teacher.bodies:
        assert "temperature" not in body and "top_p" not in body and body["reasoning_effort"] == "high"
    params = lines(place / "out" / "traces.jsonl")[0]["params"]
    assert params["extra_body"] == {"reasoning_effort": "high"} and "temperature" not in params


def test_ctrl_c_keeps_what_arrived(place):
    teacher = Teacher(delay=0.05)
    child = subprocess.Popen([program(), *map(str, arguments(place, teacher.url, place / "out"))],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(teacher.served) < 4:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130 and "run the same command again" in said
    assert json.loads((place / "out" / "tally.json").read_text())["incomplete"]
    assert len(lines(place / "out" / "traces.jsonl")) == len(teacher.served)
    retort(*arguments(place, teacher.url, place / "out"))
    assert len(teacher.served) == 24  # none twice


def test_kill_9_loses_no_answer_and_no_cent(place):
    calm = Teacher()
    retort(*arguments(place, calm.url, place / "calm"))
    want = (place / "calm" / "traces.jsonl").read_bytes()
    rng = random.Random(20)
    for life in range(8):
        teacher, out, deaths = Teacher(delay=0.02), place / f"out{life}", 0
        for _ in range(rng.randint(1, 3)):
            child = subprocess.Popen([program(), *map(str, arguments(place, teacher.url, out))],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0.02, 0.2))
            child.send_signal(signal.SIGKILL)
            deaths += child.wait() == -signal.SIGKILL
        time.sleep(0.05)  # what is under way at the server ends
        before = costs(out)["total"]["usd_micros"] if (out / "collect.sqlite").exists() and deaths else 0
        retort(*arguments(place, teacher.url, out))
        assert (out / "traces.jsonl").read_bytes() == want
        assert (out / "rejects.jsonl").read_bytes() == b""
        assert len(teacher.served) <= 24 + 4 * deaths
        assert all(times <= 1 + deaths for times in teacher.asked.values())
        total = costs(out)["total"]
        assert total["usd_micros"] >= max(before, 50 * len(teacher.served))
        assert total["usd_micros"] <= 1_000_000


def test_import_gsm8k(place):
    train = shared("gsm8k/train.jsonl")
    (place / "permission.yaml").write_text(PERMISSION.format(endpoint="import"))
    run = retort("collect", "--import", train, "--format", "gsm8k", "--permission", place / "permission.yaml", "--limit",
                 "50", "--task", "gsm8k", "--out", place / "out", "--json")
    assert json.loads(run.stdout)["kept"] == 50
    for trace in lines(place / "out" / "traces.jsonl"):
        assert "<<" not in trace["reasoning"] and trace["content"] == f"The answer is \\boxed{{{trace['answer']}}}."
        assert trace["task"] == "gsm8k" and trace["finish_reason"] == "imported"
    run = retort("collect", "--import", train, "--permission", place / "prices.yaml", "--out", place / "no", check=False)
    assert run.returncode == 2 and "allowed_uses" in run.stderr


def test_parquet_prompts_and_imports(place):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq
    rows = [{"id": i, "question": f"What is {i} + {i}? é", "answer": float(2 * i), "meta": {"level": i, "tags": ["a", "b"]},
             "reasoning": None if i == 3 else f"thought {i}", "response": "" if i == 3 else f"answer {i}"} for i in range(3000)]
    pq.write_table(pa.Table.from_pylist(rows), place / "rows.parquet", row_group_size=700)
    (place / "permission.yaml").write_text(PERMISSION.format(endpoint="import"))
    run = retort("collect", "--import", place / "rows.parquet", "--permission", place / "permission.yaml", "--out",
                 place / "out", "--json")
    tally = json.loads(run.stdout)
    assert (tally["in"], tally["kept"], tally["reasons"]) == (3000, 2999, {"empty": 1})
    traces = lines(place / "out" / "traces.jsonl")
    assert [t["prompt_id"] for t in traces] == [str(i) for i in range(3000) if i != 3]
    assert all(t["reasoning"] == f"thought {t['prompt_id']}" and t["answer"] == str(2 * int(t["prompt_id"])) for t in traces)
    whole = (place / "rows.parquet").read_bytes()
    rng = random.Random(1)
    for n in [0, 4, 100, len(whole) // 2, len(whole) - 1] + [rng.randrange(len(whole)) for _ in range(20)]:
        (place / "cut.parquet").write_bytes(whole[:n])
        run = retort("collect", "--import", place / "cut.parquet", "--permission", place / "permission.yaml", "--out",
                     place / "cut", check=False)
        assert run.returncode == 4 and "cut.parquet" in run.stderr
