"""What a stage can be told: the same in a recipe and as a verb, checked whole before the first step, and paid answers
within a cap and on the books."""
import json
import threading
import http.server

import pytest

from conftest import retort

INVALID, LIMIT = 2, 7


def refused(status, *args, says):
    run = retort(*args, check=False)
    assert run.returncode == status, f"ended with {run.returncode}: {run.stderr}"
    for text in says:
        assert text in run.stderr, run.stderr
    return run


def rows(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Api(http.server.BaseHTTPRequestHandler):
    """Answers any question with 4 and approves of any answer, at 100 tokens in and 10 out."""

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((body, self.headers.get("authorization")))
        text = "VERDICT: CORRECT" if "VERDICT" in body["messages"][-1]["content"] else "The answer is 4."
        answer = {"id": "x", "object": "chat.completion", "model": body["model"], "created": 0,
                  "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                  "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}
        data, kind = json.dumps(answer).encode(), "application/json"
        if body.get("stream"):
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": "stop"}
            base = {"id": "x", "object": "chat.completion.chunk", "model": body["model"], "created": 0}
            events = [{**base, "choices": [choice]}, {**base, "choices": [], "usage": answer["usage"]}]
            data, kind = ("".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n").encode(), "text/event-stream"
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def api():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def place(tmp_path):
    rows(tmp_path / "tasks.jsonl", [{"id": f"q{a}", "question": f"What is {a} + {4 - a}?", "answer": "4"} for a in range(4)])
    (tmp_path / "prices.yaml").write_text("m: {input: 1.00, output: 2.00}\n")
    (tmp_path / "key").write_text("s3cret\n")
    (tmp_path / "permission.yaml").write_text(
        "name: t\nendpoint: http://127.0.0.1:*/v1\nlicence: Apache-2.0\nclause: free\nevidence: LICENSE\nchecked_by: us\n"
        "date: 2026-01-01\nallowed_uses: [distillation]\nexpires: never\n")
    return tmp_path


def cost(folder, stage):
    return next(r for r in map(json.loads, retort("cost", folder, "--json").stdout.splitlines()) if r["stage"] == stage)


# ---- paid answers

def test_eval_over_an_api_is_capped_and_booked(api, place):
    args = ["eval", "--endpoint", api.url, "--model", "m", "--tasks", place / "tasks.jsonl", "--out", place / "o", "--max-tokens", 50]
    refused(INVALID, *args, says=["--prices", "`m: {input: 2.50, output: 10.00}`", "free"])
    args += ["--prices", place / "prices.yaml"]
    refused(INVALID, *args, says=["--cap"])
    run = refused(LIMIT, *args, "--cap", "0.0014", "--concurrency", 1, says=["raise --cap"])
    bought = len(api.asked)  # a request reserves about 0.0012 and costs 0.00012
    assert 0 < bought < 4, run.stderr
    assert cost(place / "o", "eval")["usd_micros"] == 120 * bought
    retort(*args, "--cap", "1.00")
    assert len(api.asked) == 4 and cost(place / "o", "eval")["usd_micros"] == 480  # nothing is bought twice
    assert json.loads((place / "o" / "summary.json").read_text())["all"]["pass1"] == 1


def test_a_free_api_needs_no_cap(api, place):
    retort("eval", "--endpoint", api.url, "--model", "m", "--tasks", place / "tasks.jsonl", "--out", place / "o", "--prices", "free")
    assert len(api.asked) == 4 and not (place / "o" / "eval.sqlite").exists()


def test_chat_over_an_api_is_capped_and_booked(api, place):
    args = ["chat", "--endpoint", api.url, "--model", "m"]
    refused(INVALID, *args, says=["--prices"])
    args += ["--prices", place / "prices.yaml", "--cap", "0.003"]
    refused(INVALID, *args, says=["--out"])
    args += ["--out", place / "chat"]
    refused(INVALID, *args, says=["--max-tokens"])
    run = retort(*args, "--max-tokens", 50, stdin="What is 2 + 2?\nWhat is 2 + 2?\n")
    assert run.stdout.count("The answer is 4.") == 2
    retort(*args, "--max-tokens", 50, stdin="What is 2 + 2?\n")
    assert len(api.asked) == 3  # a question asked again is asked again
    assert cost(place / "chat", "chat")["usd_micros"] == 360
    run = retort(*args, "--max-tokens", 1000, stdin="What is 2 + 2?\n", check=False)
    assert run.returncode == LIMIT and "cap" in run.stderr and len(api.asked) == 3


def test_a_recipe_can_do_what_the_verbs_can(api, place):
    """Key file, whole responses, max_completion_tokens, a grader, an API that is measured, a second model: in a recipe."""
    rows(place / "open.jsonl", [{"id": f"o{a}", "question": f"What is {a} + {4 - a}?"} for a in range(2)])
    (place / "r.yaml").write_text(f"""name: all
steps:
  collect: {{do: collect, prompts: open.jsonl, endpoint: "{api.url}", model: m, permission: permission.yaml, prices: prices.yaml, cap: "1",
            samples: 1, key_file: key, no_stream: true, max_completion_tokens: true, max_tokens: 50}}
  curate: {{do: curate, traces: ["${{collect}}/traces.jsonl"], grader_endpoint: "{api.url}", grader_model: m, grader_prices: prices.yaml,
           grader_cap: "1", trust_unchecked: true}}
  eval: {{do: eval, endpoint: "{api.url}", model: m, against: m2, prices: free, tasks: [tasks.jsonl]}}
""")
    retort("run", place / "r.yaml", "--out", place / "out")
    body, key = api.asked[0]
    assert key == "Bearer s3cret" and body["max_completion_tokens"] == 50 and "max_tokens" not in body and not body.get("stream")
    assert {b["model"] for b, _ in api.asked} == {"m", "m2"}
    assert (place / "out" / "eval" / "comparison.json").exists() and (place / "out" / "eval" / "against" / "summary.json").exists()
    stamps = "".join(p.read_text() for p in (place / "out").glob("*/stamp.json"))
    assert "s3cret" not in stamps and "key_file" not in json.loads((place / "out" / "collect" / "stamp.json").read_text())["options"]
    # How it is done is no part of what was made: another key file or cap runs nothing again.
    asked = len(api.asked)
    (place / "key2").write_text("other\n")
    retort("run", place / "r.yaml", "--out", place / "out", "--set", "collect.key_file=key2", "--set", "collect.cap=2")
    assert len(api.asked) == asked


def test_help_of_a_kind_lists_the_keys():
    text = retort("run", "--help", "split").stdout
    assert "shared_words" in text and "train_share" in text and "[0.5]" in text and "train.jsonl" in text
    assert "grader_endpoint" in retort("run", "--help", "curate").stdout
    assert "--help KIND" in retort("run", "--help").stdout


def test_flags_have_one_spelling_and_a_hint(place):
    text = retort("train", "--help").stdout
    assert "--max-length" in text and "--max_length" not in text and "boolean" not in text and '["' not in text
    refused(INVALID, "train", "--lr", "3", says=["`--lr`", "`--optimizer.lr`"])
    refused(INVALID, "train", "--out", place / "x", says=["--examples is missing"])


# ---- a whole recipe is checked before its first step

RECIPE = """name: whole
steps:
  problems: {do: problems, train: 20, test: 5}
  collect: {do: collect, prompts: "${problems}/train.jsonl", procedural: true, permission: permission.yaml, prices: prices.yaml, cap: "1"}
  curate: {do: curate, traces: ["${collect}/traces.jsonl"]}
  train: {do: train, examples: "${curate}/examples.jsonl", from_scratch: true}
  eval: {do: eval, model: "${train}/model", tasks: ["${problems}/test.jsonl"]}
report: {evals: [{step: eval, label: mine}]}
"""


@pytest.mark.parametrize("old, new, says", [
    ("label: mine}]", "label: mine}], comparisons: [[base, mine]]", ["report.comparisons", "`base`", "mine"]),
    ("[{step: eval,", "[{step: evall,", ["report.evals", "`evall`", "did you mean `eval`"]),
    ("from_scratch: true", "from_scratch: true, method: dora", ["step `train`", "`method`", "dora", "full, lora"]),
    ("from_scratch: true", "from_scratch: true, method: lora", ["step `train`", "lora needs"]),
    ("permission.yaml", "expired.yaml", ["step `collect`", "2020-01-01"]),
    ("permission.yaml", "elsewhere.yaml", ["step `collect`", "api.example.com"]),
    ("prices.yaml", "others.yaml", ["step `collect`", "retort-teacher"]),
    ('cap: "1"', 'cap: "one"', ["step `collect`", "`cap`"]),
    ('cap: "1"', 'cap: "1", key_variable: RETORT_TEST_UNSET', ["step `collect`", "RETORT_TEST_UNSET"]),
    ('cap: "1"', 'cap: "1", samples: 0', ["step `collect`", "`samples` is 0", "1 to"]),
    ("procedural: true, ", "", ["step `collect`", "endpoint"]),
    ("${collect}/traces.jsonl", "${collect}/trace.jsonl", ["step `curate`", "did you mean ${collect}/traces.jsonl"]),
    ("${train}/model", "${train}/weights", ["step `eval`", "${train}/weights", "model"]),
    ("from_scratch: true", "from_scratch: true, epochs: 1e18", ["step `train`", "`epochs`"]),
    ("from_scratch: true", "from_scratch: true, schedule: {warmup: 2}", ["step `train`", "`schedule.warmup` is 2"]),
    ("from_scratch: true", "base: no/such/model", ["step `train`", "no/such/model"]),
])
@pytest.mark.parametrize("dry", [True, False])
def test_faults_are_told_before_the_first_step(place, old, new, says, dry):
    (place / "prices.yaml").write_text("retort-teacher: {input: 1, output: 1}\n")
    (place / "others.yaml").write_text("another: {input: 1, output: 1}\n")
    record = (place / "permission.yaml").read_text()
    (place / "expired.yaml").write_text(record.replace("never", '"2020-01-01"'))
    (place / "elsewhere.yaml").write_text(record.replace("http://127.0.0.1:*/v1", "https://api.example.com/v1"))
    assert old in RECIPE
    (place / "r.yaml").write_text(RECIPE.replace(old, new))
    run = retort("run", place / "r.yaml", "--out", place / "out", *(["--dry-run"] if dry else []), check=False)
    assert run.returncode in (2, 3), run.stderr
    for text in says:
        assert text in run.stderr, run.stderr
    assert not (place / "out" / "problems").exists()


# ---- what would spoil a run without a word

def test_an_empty_training_side_is_an_error_with_its_cause(tmp_path):
    text = "Convert the length that follows to the other unit and give only the number: {} inches"
    rows(tmp_path / "p.jsonl", [{"question": text.format(n)} for n in range(60)])
    refused(INVALID, "split", "--from", tmp_path / "p.jsonl", "--out", tmp_path / "o", says=["all 60 prompts share 8 words in a row", "--shared-words", "0"])
    run = retort("split", "--from", tmp_path / "p.jsonl", "--out", tmp_path / "o", "--shared-words", 0)
    assert "30 prompts" in run.stdout and len(read(tmp_path / "o" / "train.jsonl")) == 30
    odd = [{"question": f"{text.format(n)}"} for n in range(20)] + [{"question": f"Something else, number {n}"} for n in range(10)]
    rows(tmp_path / "q.jsonl", odd)
    run = retort("split", "--from", tmp_path / "q.jsonl", "--out", tmp_path / "o2")
    assert "10 of 30 prompts (33 %)" in run.stderr and "50 %" in run.stderr


def test_problems_is_a_verb(tmp_path):
    retort("problems", "--train", 8, "--test", 4, "--seed", 3, "--out", tmp_path / "o")
    assert len(read(tmp_path / "o" / "train.jsonl")) == 8 and len(read(tmp_path / "o" / "test.jsonl")) == 4


def test_nothing_to_do_is_an_error(api, place):
    (place / "empty.jsonl").write_text("")
    rows(place / "open.jsonl", [{"question": "What is it?"}])
    refused(INVALID, "collect", "--prompts", place / "empty.jsonl", "--endpoint", api.url, "--model", "m", "--permission", place / "permission.yaml",
            "--prices", "free", "--out", place / "c", says=["empty.jsonl", "no prompt"])
    refused(INVALID, "split", "--from", place / "empty.jsonl", "--out", place / "s", says=["no prompt"])
    common = ["eval", "--endpoint", api.url, "--model", "m", "--prices", "free", "--out", place / "e", "--tasks"]
    refused(INVALID, *common, place / "empty.jsonl", says=["empty.jsonl", "no prompt"])
    refused(INVALID, *common, place / "open.jsonl", says=["none of 1 prompts", "no_reference"])


def test_readers_say_what_kind_they_met(place):
    train = ["train", "--from-scratch", "--out", place / "m", "--examples"]
    refused(INVALID, *train, place / "tasks.jsonl", says=["tasks.jsonl line 1", "a prompt, not an example", "`content`"])
    trace = {"id": "t", "prompt_id": "p", "sample": 0, "messages": [{"role": "user", "content": "?"}], "content": "4", "finish_reason": "stop",
             "raw_hash": "ab"}
    rows(place / "traces.jsonl", [trace])
    refused(INVALID, *train, place / "traces.jsonl", says=["a trace, not an example", "retort curate"])
    refused(INVALID, "curate", "--traces", place / "tasks.jsonl", "--out", place / "c", says=["a prompt, not a trace", "retort collect"])


TINY = ["--from-scratch", "--scratch.layers", 1, "--scratch.hidden", 32, "--scratch.heads", 2, "--scratch.kv-heads", 2, "--scratch.ffn", 64,
        "--scratch.vocab-size", 300, "--max-steps", 1]


def test_training_says_that_most_is_cut(place):
    example = {"id": "e", "parents": ["t"], "prompt_id": "p", "messages": [{"role": "user", "content": "What is 1 + 1?"}], "reasoning": "one and one " * 30,
               "content": "2", "answer": "2", "how": "reference"}
    rows(place / "e.jsonl", [{**example, "id": f"e{n}"} for n in range(4)])
    run = retort("train", *TINY, "--max-length", 64, "--examples", place / "e.jsonl", "--out", place / "m")
    assert "4 of 4 examples are cut at 64 tokens" in run.stderr
    refused(INVALID, "train", *TINY[:-2], "--max-flops", "1e26", "--examples", place / "e.jsonl", "--out", place / "m2", says=["steps", "--max-flops"])


def test_the_forecast_honours_max_steps(place):
    example = {"id": "e", "parents": ["t"], "prompt_id": "p", "messages": [{"role": "user", "content": "What is 1 + 1?"}], "reasoning": "one and one",
               "content": "2", "answer": "2", "how": "reference"}
    rows(place / "e.jsonl", [{**example, "id": f"e{n}"} for n in range(40)])
    (place / "r.yaml").write_text("name: r\nsteps:\n  t: {do: train, examples: e.jsonl, from_scratch: true, batch_size: 4, max_steps: 6}\n")

    def tokens(*more):
        return json.loads(retort("run", place / "r.yaml", "--out", place / "out", "--dry-run", "--json", *more).stdout)[0]["tokens"]

    six = tokens()
    assert tokens("--set", "t.max_steps=12") == pytest.approx(2 * six, rel=0.01)
    assert tokens("--set", "t.max_steps=0") == pytest.approx(10 / 6 * six, rel=0.01)
    run = retort("run", place / "r.yaml", "--out", place / "out", "--dry-run", "--set", "t.max_steps=1000000", "--set", "t.batch_size=1000")
    assert "t is reckoned to take" in run.stderr
