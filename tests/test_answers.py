"""docs/answers.md against the program: each example gives what its comment says; rules through eval and curate."""
import json
import re
import shlex

from conftest import ROOT, retort, retort_lines
from test_judge import endpoint, read_rows, trace, write_rows  # noqa: F401


def test_the_examples_of_the_docs_give_what_they_say():
    examples = re.findall(r"^retort (verify .*?) +# (equal|different)$", (ROOT / "docs" / "answers.md").read_text(), re.M)
    assert len(examples) >= 20
    for command, verdict in examples:
        run = retort(*shlex.split(command), check=False)
        assert (run.stdout.split(" ")[0], run.returncode) == (verdict, 0 if verdict == "equal" else 1), (command, run.stdout, run.stderr)


def test_each_rule_of_the_help_is_in_the_docs():
    rules = re.findall(r"^  ([a-z]+)(?:\[.*?\])? +\S", retort("verify", "--help").stdout.split("Rules:")[1], re.M)
    docs = (ROOT / "docs" / "answers.md").read_text()
    assert len(rules) >= 9 and all(re.search(rf"^\| `{rule}\b", docs, re.M) for rule in rules), rules


def test_a_line_names_its_rule_but_no_program():
    out = retort_lines([{"gold": "12", "pred": "Result=12 of 99"}, {"gold": "12", "pred": "Result=12 of 99", "rule": "regex:Result=(\\d+)"}], "verify")
    assert [o["equal"] for o in out] == [False, True]
    run = retort("verify", "--json", stdin=json.dumps({"gold": "1", "pred": "1", "rule": "command:touch /tmp/x"}) + "\n", check=False)
    assert run.returncode == 2 and "line 1" in run.stderr and "must not name a program" in run.stderr


def test_curate_says_where_its_rule_is_too_strict(tmp_path):
    rows = [trace(i, f"{i} + 1", f"It comes to {i + 1}, as {i} and 1 do.", str(i + 1)) for i in range(1, 5)]
    traces = write_rows(tmp_path / "t.jsonl", rows)
    run = retort("curate", "--traces", traces, "--out", tmp_path / "o")
    assert "4 of 4 answers taken for wrong hold their reference" in run.stderr and "set `rule` to `contains`" in run.stderr
    assert "It comes to 2, as 1 and 1 do." in run.stderr
    run = retort("curate", "--traces", traces, "--out", tmp_path / "p", "--rule", "contains")
    assert "hold their reference" not in run.stderr and len(read_rows(tmp_path / "p" / "examples.jsonl")) == 4


def test_eval_takes_a_rule_and_repeated_questions(endpoint, tmp_path):  # noqa: F811
    rows = [{"question": f"What is {a} + {a + 1}?", "answer": f"answer is {2 * a + 1}"} for a in (1, 2, 4, 5)]
    tasks = write_rows(tmp_path / "add.jsonl", rows + [rows[0]] + [{"question": "What is 7 + 8?", "answer": 15, "rule": "number"}])
    args = ("eval", "--endpoint", endpoint, "--model", "plain", "--prices", "free", "--tasks", tasks)
    retort(*args, "--out", tmp_path / "o", "--rule", "contains")
    assert [s["how"] for s in read_rows(tmp_path / "o" / "scores.jsonl")] == ["contains"] * 4 + ["number"]
    assert all(s["correct"] for s in read_rows(tmp_path / "o" / "scores.jsonl"))
    assert [(r["reason"], r["detail"]) for r in read_rows(tmp_path / "o" / "rejects.jsonl")] == [("duplicate", "same question as row 1")]
    run = retort(*args, "--out", tmp_path / "p", "--rule", "text")
    assert "4 of 4 answers taken for wrong hold their reference" in run.stderr
    run = retort(*args, "--out", tmp_path / "q", "--rule", "command:no-such-checker")
    assert "4 answers count as wrong because the checker failed: cannot run `no-such-checker`" in run.stderr
    write_rows(tmp_path / "add.jsonl", rows[:1] + [{"question": "When?", "answer": "quite soon"}])
    run = retort(*args, "--out", tmp_path / "r", "--rule", "number", check=False)
    assert run.returncode == 2 and "quite soon" in run.stderr and "no number" in run.stderr
