"""recipes/smollm2.yaml: what it promises before a run, and a run of a few problems through both rounds."""
import json

import pytest

from conftest import ROOT, retort, shared

RECIPE = ROOT / "recipes" / "smollm2.yaml"
TASKS = ["gsm8k", "mawps_dev", "procedural", "svamp"]


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def given(smollm2):
    """The recipe's two places outside the checkout, wherever this machine has them."""
    data = shared("mawps/mawps_dev.jsonl").parent.parent
    return ["--set", f"base={smollm2}", "--set", f"data={data}", "--set", f"prompts={data}/mawps/mawps_dev.jsonl"]


@pytest.fixture(scope="module")
def done(given, tmp_path_factory):
    """A run with four prompts of each source and of each test, answers cut at 40 tokens; returns its folder. Round one
    takes small steps over its few examples, and round two's problems are of one digit, so that some answer is right."""
    out = tmp_path_factory.mktemp("smollm2")
    sets = ["limit=4", "answer_tokens=40", "round1.batch_size=2", "round1.epochs=2", "problems2.max_digits=1",
            "problems2.without_answer=0", "ask_procedural.limit=6", "curate2.min_chars=1"]
    retort("run", RECIPE, *given, *[word for value in sets for word in ("--set", value)], "--out", out, timeout=580)
    return out


def test_forecast_names_every_step_and_runs_none(given, tmp_path):
    steps = json.loads(retort("run", RECIPE, *given, "--dry-run", "--json", "--out", tmp_path / "out").stdout)
    kinds = {step["step"]: step["kind"] for step in steps}
    assert [kinds[name] for name in ("round1", "round2", "eval_base", "eval_round1", "eval_round2")] == ["train"] * 2 + ["eval"] * 3
    assert all(step["runs"] for step in steps) and sum(step["seconds"] for step in steps) > 0
    assert not (tmp_path / "out").exists()


def test_unknown_value_is_named(given):
    run = retort("run", RECIPE, "--set", "limits=6", "--dry-run", check=False)
    assert run.returncode != 0 and "did you mean `limit`" in run.stderr


def test_report_has_four_sets_for_three_models(done):
    report = json.loads((done / "report.json").read_text())
    assert [e["label"] for e in report["evals"]] == ["base", "round one", "round two"]
    for e in report["evals"]:
        assert sorted(t["task"] for t in e["tasks"]) == TASKS
        assert all(t["n"] == 4 for t in e["tasks"])
    pairs = {(c["a"], c["b"]) for c in report["comparisons"] if c["task"] == "procedural"}
    assert {("base", "round one"), ("round one", "round two")} <= pairs
    assert [t["step"] for t in report["training"]] == ["round1", "round2"]


def test_what_is_measured_is_in_neither_round(done):
    """No measured question, nor a prompt id of one, is among the examples; and each round's records have their permission."""
    measured = {p["messages"][-1]["content"] for name in ("procedural", "own", "svamp", "gsm8k") for p in rows(done / name / "test.jsonl")}
    learned = []
    for step, permissions in (("curate1", 2), ("curate2", 1)):
        examples = rows(done / step / "examples.jsonl")
        assert examples and not measured & {e["messages"][-1]["content"] for e in examples}
        assert 1 <= len({e["permission_hash"] for e in examples}) <= permissions
        learned.append({e["teacher"] for e in examples})
    assert learned[1] == {"the round-one student"} and "the round-one student" not in learned[0]


def test_sizes_as_shipped(done):
    """limit cuts what is asked and measured, not how the sets are divided: these are the sizes of a whole run."""
    sizes = {name: (len(rows(done / name / "train.jsonl")), len(rows(done / name / "test.jsonl"))) for name in ("procedural", "own", "svamp", "gsm8k")}
    assert sizes["procedural"] == (0, 500) and sizes["own"] == (293, 500) and sizes["gsm8k"] == (0, 500)
    assert sum(sizes["svamp"]) == 502 and sizes["svamp"][1] >= 400


def test_round_two_keeps_the_shortest_correct_answer(done):
    traces = {}
    for step in ("ask_procedural", "ask_own", "ask_svamp"):
        assert (done / step / "work" / "collect.sqlite").exists()
        for t in rows(done / step / "traces.jsonl"):
            traces.setdefault(t["prompt_id"], []).append(t)
    assert all(len(of_prompt) == 8 for of_prompt in traces.values())
    examples = rows(done / "curate2" / "examples.jsonl")
    assert len({e["prompt_id"] for e in examples}) == len(examples)
    assert len(examples) >= 1
    reasons = {r["id"]: r["reason"] for r in rows(done / "curate2" / "rejects.jsonl")}
    for e in examples:
        mine = next(t for t in traces[e["prompt_id"]] if t["id"] == e["parents"][0])
        assert mine["reasoning"] + mine["content"] == e["reasoning"] + e["content"] and mine["finish_reason"] == "stop"
        others = [t for t in traces[e["prompt_id"]] if t["id"] != mine["id"]]
        assert len(others) == 7
        for other in others:  # no shorter, or there was something else against it
            shorter = len((other["reasoning"] + other["content"]).encode()) < len((mine["reasoning"] + mine["content"]).encode())
            assert not shorter or reasons[other["id"]] not in ("surplus", "duplicate"), (other, mine)


def test_own_prompts_take_mawps_place(given, tmp_path):
    mine = tmp_path / "mine.jsonl"
    mine.write_text("".join(json.dumps({"id": f"m{i}", "question": f"I have {i} hats. How many?", "answer": i}) + "\n" for i in range(10)))
    forecast = retort("run", RECIPE, *given, "--set", f"prompts={mine}", "--dry-run", "--json", "--out", tmp_path / "out")
    assert "ask_own" in forecast.stdout
