"""verify, curate and eval through the program: public sets of graded answers, files in and out, a teacher over HTTP."""
import http.server
import json
import re
import threading

import pytest

from conftest import compressed_rows, retort, retort_lines, shared


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def read_rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- verify

def test_verify_agrees_with_gsm8ks_labels():
    rows, labels = [], []
    for row in compressed_rows("gsm8k/model_solutions.jsonl.zst"):
        gold = row["ground_truth"].rsplit("A:", 1)[1].strip()
        for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            rows.append({"gold": gold, "pred": row[model]["solution"]})
            labels.append(row[model]["is_correct"])
    out = retort_lines(rows, "verify")
    agree = sum(o["equal"] == label for o, label in zip(out, labels, strict=True))
    assert len(rows) == 5276
    assert agree / len(rows) >= 0.995, f"{agree} of {len(rows)}"


NUMERIC = re.compile(r"^\s*\$?(\\boxed\{)?[-+]?\$?(\d[\d, ]*(\.\d+)?|\.\d+|\\d?frac\{-?\d+\}\{\d+\}|\d+/\d+)\s*(\\?%)?\}?\$?\s*$")


def test_verify_agrees_on_numbers_with_math_verify():
    rows = [json.loads(line) for line in shared("answer_pairs/extract_and_compare_dev.jsonl").open()]
    rows = [row for row in rows if NUMERIC.match(row["gold"])]
    out = retort_lines([{"gold": row["gold"], "pred": row["pred"]} for row in rows], "verify")
    wrong = [(row["gold"], row["pred"][-60:], row["equal"], o) for row, o in zip(rows, out, strict=True) if o["equal"] != row["equal"]]
    assert len(rows) >= 40
    assert len(wrong) <= 0.15 * len(rows), wrong
    # Calling a wrong answer right would poison training data; the other way only loses some.
    assert not [w for w in wrong if not w[2]], wrong


def test_verify_says_how():
    out = retort_lines([{"gold": "0.5", "pred": "so it is \\boxed{\\frac{1}{2}}"}, {"gold": "28%", "pred": "0.28"},
                        {"gold": "1", "pred": "1e999999999"}, {"gold": "4", "pred": "<think>it is 4"}], "verify")
    assert [(o["equal"], o["how"]) for o in out] == [(True, "number"), (True, "percent"), (False, "limit"), (False, "no_answer")]
    assert out[0]["extracted"] == "\\frac{1}{2}"
    bad = retort("verify", "--json", stdin='{"gold": "1"}\n', check=False)
    assert bad.returncode == 2 and "line 1" in bad.stderr and "pred" in bad.stderr


# --- curate

def trace(i, prompt, content, reference="", **more):
    return {"id": f"t{i}", "prompt_id": prompt, "sample": i, "messages": [{"role": "user", "content": f"What is {prompt}?"}],
            "answer": reference, "task": "add", "reasoning": f"I work it out, way {i}.", "content": content, "finish_reason": "stop",
            "teacher": "procedural", "model": "m", "permission_hash": "ab" * 32, "raw_hash": "cd" * 32, "params": {},
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "reasoning_tokens": 0}, **more}


TRACES = [
    trace(0, "1 + 2", "The answer is 3.", "3"), trace(1, "1 + 2", "The answer is 4.", "3"),
    trace(2, "2 + 2", "The answer is 4."), trace(3, "2 + 2", "So 2 + 2 = 4."), trace(4, "2 + 2", "The answer is 5."),
    trace(5, "5 + 6", "As ChatGPT, I say: The answer is 11.", "11"),
    trace(6, "7 + 8", "The answer is 15.", "15", finish_reason="length"),
    trace(7, "9 + 10", "The answer is 19.", "19"),
]


def test_curate_accounts_for_every_trace(tmp_path):
    traces = write_rows(tmp_path / "traces.jsonl", TRACES)
    held = write_rows(tmp_path / "held.jsonl", [{"question": "What is 10 + 9?", "answer": "19"}])
    out = tmp_path / "out"
    tally = json.loads(retort("curate", "--traces", traces, "--exclude", held, "--out", out, "--json").stdout)
    examples, rejects = read_rows(out / "examples.jsonl"), read_rows(out / "rejects.jsonl")
    assert tally["in"] == 8 == tally["kept"] + tally["dropped"]
    assert [e["parents"][0] for e in examples] == ["t0", "t2", "t3", "t5"]
    assert {r["id"]: r["reason"] for r in rejects} == {"t1": "wrong_answer", "t4": "minority", "t6": "truncated", "t7": "held_out"}
    assert [e["how"] for e in examples] == ["reference", "vote", "vote", "reference"]
    assert "ChatGPT" not in json.dumps(examples) and tally["counts"]["mended_identity"] == 1
    card = json.loads((out / "data_card.json").read_text())
    assert card["tally"] == {k: tally[k] for k in card["tally"]}
    assert card["inputs"][0]["records"] == 8 and card["held_out_questions"] == 1
    assert "| held_out | 1 |" in (out / "data_card.md").read_text()
    again = tmp_path / "again"
    retort("curate", "--traces", traces, "--exclude", held, "--out", again)
    for name in ("examples.jsonl", "rejects.jsonl", "tally.json", "data_card.json", "data_card.md"):
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_curate_names_what_is_wrong(tmp_path):
    traces = write_rows(tmp_path / "traces.jsonl", TRACES)
    run = retort("curate", "--traces", traces, "--out", tmp_path / "o", "--prefer", "best", check=False)
    assert run.returncode == 2 and "best" in run.stderr and "shortest" in run.stderr
    run = retort("curate", "--traces", f"{traces},{traces}", "--out", tmp_path / "o", check=False)
    assert run.returncode == 2 and "t0" in run.stderr
    traces.write_text(traces.read_text() + "{not json\n")
    run = retort("curate", "--traces", traces, "--out", tmp_path / "o", check=False)
    assert run.returncode == 2 and "line 9" in run.stderr
    assert not (tmp_path / "o" / "examples.jsonl").exists()


# --- eval, with a model behind an API

class Adder(http.server.BaseHTTPRequestHandler):
    """Adds; slips on multiples of three unless it is called `better`; every fifth request is answered with a 429."""
    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    count = answered = 0
    die_after = None

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with Adder.lock:
            Adder.count += 1
            busy = Adder.count % 5 == 0
            dead = Adder.die_after is not None and Adder.answered >= Adder.die_after
            Adder.answered += not busy and not dead
        if busy:
            return self.reply(429, {"error": {"message": "slow down"}}, {"retry-after": "0"})
        if dead:
            return self.reply(401, {"error": {"message": "the key has expired"}})
        a, b = map(int, re.findall(r"\d+", body["messages"][-1]["content"]))
        slip = a % 3 == 0 and body["model"] != "better"
        text = f"The answer is {a + b + slip}."
        if not body.get("stream"):
            return self.reply(200, {"id": "x", "object": "chat.completion", "model": body["model"], "created": 0,
                                    "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                                    "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}})
        base = {"id": "x", "object": "chat.completion.chunk", "model": body["model"], "created": 0}
        events = [{**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]},
                  {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                  {**base, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}]
        data = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
        self.reply(200, data, {"content-type": "text/event-stream"})

    def reply(self, status, body, headers=()):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **dict(headers)}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def endpoint():
    Adder.count = Adder.answered = 0
    Adder.die_after = None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Adder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


@pytest.fixture
def tasks(tmp_path):
    return write_rows(tmp_path / "add.jsonl", [{"id": f"q{a}", "question": f"What is {a} + {a + 1}?", "answer": 2 * a + 1} for a in range(60)])


def test_eval_over_an_api_and_paired_test(endpoint, tasks, tmp_path):
    def run(model, out):
        return json.loads(retort("eval", "--endpoint", endpoint, "--model", model, "--prices", "free", "--tasks", tasks, "--out", out, "--json").stdout)

    plain, better = run("plain", tmp_path / "plain"), run("better", tmp_path / "better")
    assert plain["all"]["prompts"] == 60 and plain["all"]["pass1"] == 40 / 60 and better["all"]["pass1"] == 1
    low, high = plain["all"]["pass1_interval"]
    from scipy.stats import binomtest
    wilson = binomtest(40, 60).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high))
    assert list(plain["tasks"]) == ["add"]
    assert [s["prompt_id"] for s in read_rows(tmp_path / "plain" / "scores.jsonl")] == [f"q{a}" for a in range(60)]
    assert not list((tmp_path / "plain").glob("*partial*"))
    row = retort_lines([], "eval", "--compare", tmp_path / "plain", tmp_path / "better")[0]
    assert (row["both"], row["only_a"], row["only_b"], row["neither"]) == (40, 0, 20, 0)
    assert row["p_value"] == pytest.approx(binomtest(0, 20).pvalue) and row["test"] == "mcnemar"
    assert row["difference"] == pytest.approx(20 / 60) and row["interval"][0] > 0.2
    text = retort("eval", "--compare", tmp_path / "plain", tmp_path / "better").stdout
    assert "McNemar" in text and "plain" in text


def test_eval_goes_on_where_it_stopped(endpoint, tasks, tmp_path):
    args = ("eval", "--endpoint", endpoint, "--model", "plain", "--prices", "free", "--tasks", tasks, "--samples", 3, "--temperature", 1, "--concurrency", 4)
    retort(*args, "--out", tmp_path / "whole")
    Adder.die_after = Adder.answered + 70
    broken = retort(*args, "--out", tmp_path / "broken", "--retries", 50, check=False)
    # A refused key is no single record's fault: the run must not end as if all were well with 110 prompts rejected.
    assert broken.returncode != 0 and not (tmp_path / "broken" / "summary.json").exists(), broken.stderr
    assert (tmp_path / "broken" / "scores.partial.jsonl").exists()
    before = Adder.answered
    Adder.die_after = None
    retort(*args, "--out", tmp_path / "broken")
    assert 180 - 70 <= Adder.answered - before <= 180 - 70 + 4
    for name in ("scores.jsonl", "rejects.jsonl", "tally.json", "summary.json"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


class Grader(http.server.BaseHTTPRequestHandler):
    """Approves of 4; the first answer to each question may be a failure (`trouble`)."""

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"]
        self.server.asked.append(text)
        if self.server.trouble and self.server.asked.count(text) == 1:
            data, kind = b"<html>Sign in</html>", "text/html"
        else:
            verdict = "VERDICT: " + ("CORRECT" if "Final answer:\n=====\n4\n" in text else "WRONG")
            base = {"id": "x", "object": "chat.completion.chunk", "model": "g", "created": 0}
            events = [{**base, "choices": [{"index": 0, "delta": {"content": verdict}, "finish_reason": "stop"}]},
                      {**base, "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}]
            data = ("".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n").encode()
            kind = "text/event-stream"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def grader():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Grader)
    server.asked, server.trouble = [], False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def grading(tmp_path, server, cap, out):
    traces = write_rows(tmp_path / "t.jsonl", [trace(0, "2 + 2", "The answer is 4."), trace(1, "2 + 2", "The answer is 5."),
                                               trace(2, "2 + 3", "The answer is 6."), trace(3, "2 + 3", "The answer is 7.")])
    (tmp_path / "prices.yaml").write_text("g: {input: 1.00, output: 2.00}\n")
    return ["curate", "--traces", traces, "--out", out, "--grader-endpoint", f"http://127.0.0.1:{server.server_port}/v1", "--grader-model", "g",
            "--grader-prices", tmp_path / "prices.yaml", "--grader-cap", cap, "--grader_max_tokens", 50, "--grader_concurrency", 2]


def graded_cost(out):
    return next(json.loads(line) for line in retort("cost", out, "--json").stdout.splitlines() if json.loads(line)["stage"] == "curate")


def test_curate_asks_a_grader_over_an_api(tmp_path, grader):
    retort(*grading(tmp_path, grader, "1.00", tmp_path / "o"))
    assert [(e["parents"], e["how"]) for e in read_rows(tmp_path / "o" / "examples.jsonl")] == [(["t0"], "grader")]
    assert [r["reason"] for r in read_rows(tmp_path / "o" / "rejects.jsonl")] == ["wrong_answer"] * 3
    cost = graded_cost(tmp_path / "o")
    assert (cost["requests"], cost["tokens_in"], cost["tokens_out"], cost["usd_micros"]) == (4, 400, 40, 4 * 120)
    retort(*grading(tmp_path, grader, "1.00", tmp_path / "o"))  # what is stored is not bought again
    assert len(grader.asked) == 4 and graded_cost(tmp_path / "o")["usd_micros"] == 480
    run = retort(*grading(tmp_path, grader, "1.00", tmp_path / "p")[:-8], check=False)
    assert run.returncode == 2 and "--grader-prices" in run.stderr and "--grader-cap" in run.stderr


def test_what_a_failing_grader_costs_is_booked_and_the_cap_holds(tmp_path, grader):
    grader.trouble = True
    retort(*grading(tmp_path, grader, "1.00", tmp_path / "o"))
    cost = graded_cost(tmp_path / "o")
    assert cost["requests"] == 8 and cost["possibly_charged_usd_micros"] == cost["usd_micros"] - 480 > 480  # the worst case of four
    grader.trouble = False
    before = len(grader.asked)
    args = grading(tmp_path, grader, "0.0016", tmp_path / "q")  # a request reserves about 0.0014 and costs 0.00012
    run = retort(*args, check=False)
    assert run.returncode == 7 and "raise --grader-cap" in run.stderr and "0.0016" in run.stderr, run.stderr
    bought = len(grader.asked) - before
    cost = graded_cost(tmp_path / "q")
    assert 0 < bought < 4 and cost["requests"] == bought and cost["usd_micros"] == 120 * bought <= 2000
    args[args.index("0.0016")] = "1.00"
    retort(*args)
    assert len(grader.asked) - before == 4 and graded_cost(tmp_path / "q")["usd_micros"] == 480


def test_eval_names_what_is_wrong(tasks, tmp_path):
    run = retort("eval", "--model", tmp_path / "absent", "--tasks", tasks, "--out", tmp_path / "o", check=False)
    assert run.returncode != 0 and "absent" in run.stderr
    run = retort("eval", "--model", "m", "--prices", "free", "--endpoint", "http://127.0.0.1:9/v1", "--tasks", tasks, "--out", tmp_path / "o", "--samples", 4, check=False)
    assert run.returncode == 2 and "temperature" in run.stderr
    run = retort("eval", "--model", "m", "--prices", "free", "--endpoint", "http://127.0.0.1:9/v1", "--tasks", tasks, "--out", tmp_path / "o", "--retries", 0, check=False)
    assert run.returncode == 6, run.stderr


def test_eval_on_a_local_model(smollm2, tmp_path):
    tasks = write_rows(tmp_path / "t.jsonl", [{"question": f"What is {a} + 1? Reply with the number.", "answer": a + 1} for a in range(4)])
    one = retort("eval", "--model", smollm2, "--tasks", tasks, "--out", tmp_path / "a", "--max_tokens", 8, "--concurrency", 1)
    retort("eval", "--model", smollm2, "--tasks", tasks, "--out", tmp_path / "b", "--max_tokens", 8, "--concurrency", 4)
    assert (tmp_path / "a" / "scores.jsonl").read_bytes() == (tmp_path / "b" / "scores.jsonl").read_bytes()
    assert "pass@1" in one.stdout and len(read_rows(tmp_path / "a" / "scores.jsonl")) == 4
