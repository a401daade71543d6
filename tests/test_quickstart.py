"""The quickstart, shortened: the same recipe with fewer problems. What a short run cannot learn is not asserted."""
import json
import re

import pytest

from conftest import ROOT, retort

TRAIN, TEST = 1500, 100


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    out = tmp_path_factory.mktemp("quickstart") / "run"
    retort("run", ROOT / "recipes" / "quickstart.yaml", "--set", f"prompts={TRAIN}", "--set", f"test={TEST}", "--set", "epochs=1",
           "--out", out)
    return out


@pytest.fixture(scope="module")
def report(quickstart):
    return json.loads((quickstart / "report.json").read_text())


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wilson(correct, n):
    z, p = 1.959963984540054, correct / n
    middle, half = p + z * z / (2 * n), z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def test_figures_are_those_of_the_scores(quickstart, report):
    """Accuracy, interval and the paired comparison, counted anew from the graded answers."""
    correct = {}
    for step, e in zip(("eval_ablation", "eval_student"), report["evals"]):
        scores = lines(quickstart / step / "scores.jsonl")
        correct[step] = {s["prompt_id"]: s["correct"] for s in scores}
        for row in [e["overall"], *e["tasks"]]:
            of_task = [s["correct"] for s in scores if row is e["overall"] or s["task"] == row["task"]]
            low, high = wilson(sum(of_task), len(of_task))
            assert (row["n"], row["pass1"]) == (len(of_task), pytest.approx(sum(of_task) / len(of_task)))
            assert (row["low"], row["high"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    a, b = correct.values()
    assert set(a) == set(b)
    compared = next(c for c in report["comparisons"] if c["task"] == "all")
    assert compared["only_a"] == sum(a[i] > b[i] for i in a) and compared["only_b"] == sum(b[i] > a[i] for i in a)
    assert compared["difference"] == pytest.approx((sum(b.values()) - sum(a.values())) / len(a))
    assert compared["low"] <= compared["difference"] <= compared["high"] and compared["low"] < compared["high"]


def test_evals_and_their_comparison(report):
    assert [e["label"] for e in report["evals"]] == ["answers only", "with reasoning"]
    for e in report["evals"]:
        assert e["overall"]["n"] == TEST == sum(task["n"] for task in e["tasks"])
        assert {task["task"] for task in e["tasks"]} == {"addition", "subtraction", "multiplication", "word"}
    compared = {c["task"]: c for c in report["comparisons"]}
    assert set(compared) == {"all", "addition", "subtraction", "multiplication", "word"}
    assert compared["all"]["n"] == TEST == sum(compared[task]["n"] for task in compared if task != "all")


def test_the_student_learned_the_form(quickstart, report):
    student, ablation = report["training"]
    last = [point["loss"] for point in student["points"][-10:]]
    assert student["points"][0]["loss"] > 4.5 and sum(last) / len(last) < 1.2
    assert student["cut_share"] == 0 and 1e6 <= student["parameters"] <= 5e6
    assert 0.9 <= ablation["flops"] / student["flops"] <= 1.1  # the same compute
    scores = lines(quickstart / "eval_student" / "scores.jsonl")
    assert sum(bool(re.search(r"\\boxed\{-?\d+\}", s["content"])) and s["reasoning"] != "" for s in scores) >= 0.5 * TEST
    assert not any(s["reasoning"] for s in lines(quickstart / "eval_ablation" / "scores.jsonl"))


def test_curation_had_real_work(quickstart, report):
    by_step = {row["step"]: row for row in report["selections"]}
    collected, curated = by_step["collect"], by_step["curate"]
    assert collected["in"] == TRAIN and collected["kept"] + collected["dropped"] == 2 * TRAIN
    assert collected["counts"]["truncated"] > 0
    assert curated["in"] == collected["kept"] == curated["kept"] + curated["dropped"]
    for reason in ("wrong_answer", "truncated"):
        assert curated["reasons"][reason] > 0
    for count in ("by_reference", "by_vote", "mended_identity"):
        assert curated["counts"][count] > 0
    examples = lines(quickstart / "curate" / "examples.jsonl")
    assert len(examples) == curated["kept"] > 0.7 * TRAIN
    assert not any(re.search("ChatGPT|Claude|DeepSeek|OpenAI", e["reasoning"] + e["content"]) for e in examples)


def test_costs_and_lineage_are_whole(quickstart, report):
    cost = {row["step"]: row for row in report["cost"]}
    assert all(row["seconds"] > 0 for row in cost.values())
    assert cost["collect"]["usd_micros"] > 0 and cost["student"]["flops"] > 0 and cost["eval_student"]["tokens_out"] > 0
    nodes = {node["id"]: node for node in report["lineage"]}
    assert set(nodes) == set(cost) and all(len(node["hash"]) == 64 for node in nodes.values())
    for node in nodes.values():
        stamp = json.loads((quickstart / node["id"] / "stamp.json").read_text())
        assert node["hash"] == stamp["output_hash"] and all(parent in nodes for parent in node["parents"])
    assert nodes["eval_student"]["parents"] and set(nodes["ablation"]["parents"]) == {"curate_answers", "student"}
    traces = {t["id"]: t for t in lines(quickstart / "collect" / "traces.jsonl")}
    for example in lines(quickstart / "curate" / "examples.jsonl"):
        assert example["parents"] and all(parent in traces for parent in example["parents"])


def test_the_page_holds_the_report(quickstart, report):
    page = (quickstart / "report.html").read_text()
    assert report["title"] in page and "http://" not in re.sub(r"http://(www\.w3\.org|127\.0\.0\.1)", "", page)
    embedded = re.findall(r"<script[^>]*application/json[^>]*>(.*?)</script>", page, re.S)
    assert any(json.loads(text) == report for text in embedded)


def key(question):
    """Numbers of a question with the operands of + and * sorted; for word problems all numbers, in order."""
    found = re.search(r"(\d+)\s*([+*x×-])\s*(\d+)", question)
    if not found:
        return None
    a, op, b = int(found[1]), found[2].replace("x", "*").replace("×", "*"), int(found[3])
    return (op, *sorted((a, b))) if op in "+*" else (op, a, b)


def test_train_and_test_are_disjoint(quickstart):
    train, test = (lines(quickstart / "problems" / f"{name}.jsonl") for name in ("train", "test"))
    assert (len(train), len(test)) == (TRAIN, TEST)
    texts = [{p["messages"][-1]["content"] for p in side} for side in (train, test)]
    assert not texts[0] & texts[1]
    keys = [{key(text) for text in side} - {None} for side in texts]
    assert len(keys[1]) > 0.5 * TEST and not keys[0] & keys[1]
    # Word problems: names and things do not make a problem new, so their numbers and answer may not come twice.
    words = [{(tuple(sorted(re.findall(r"\d+", p["messages"][-1]["content"]))), re.sub(r"[A-Z]\w*|\d+", "", p["messages"][-1]["content"]))
              for p in side if p["task"] == "word"} for side in (train, test)]
    assert words[1] and not words[0] & words[1]
