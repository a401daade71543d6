"""`retort show`: a person reads rejects, traces, examples and scores with the texts that they are about."""
import json

from conftest import retort
from test_judge import TRACES, endpoint, trace, write_rows  # noqa: F401


def shown(*args, **kwargs):
    return [json.loads(line) for line in retort("show", *args, "--json", **kwargs).stdout.splitlines()]


def test_rejects_come_with_question_and_answer(tmp_path):
    traces = write_rows(tmp_path / "traces.jsonl", TRACES)
    retort("curate", "--traces", traces, "--out", tmp_path / "out")
    rejects = tmp_path / "out" / "rejects.jsonl"
    assert "name it: --with" in retort("show", rejects).stdout  # the traces are elsewhere
    text = retort("show", rejects, "--with", traces, "--reason", "wrong_answer").stdout
    for part in ("wrong_answer: 4 instead of 3", "t1 of prompt 1 + 2", "What is 1 + 2?", "The answer is 4.", "I work it out, way 1.", "1 of 3 records"):
        assert part in text, text
    (tmp_path / "out" / "traces.jsonl").write_bytes(traces.read_bytes())  # beside it they are found without
    rows = shown(rejects)
    assert {r["id"]: r["reason"] for r in rows} == {"t1": "wrong_answer", "t4": "minority", "t6": "truncated"}
    assert all(r["question"] and r["content"] for r in rows) and rows[0]["reference"] == "3"
    assert len(shown(rejects, "--limit", 1)) == 1 and len(shown(rejects, "--limit", 0)) == 3
    none = retort("show", rejects, "--reason", "loop", check=False)
    assert none.returncode == 3 and "1 minority, 1 truncated, 1 wrong_answer" in none.stderr
    assert [r["reason"] for r in shown(tmp_path / "out" / "examples.jsonl")] == ["reference", "vote", "vote", "reference", "reference"]
    assert [r["kind"] for r in shown(traces, "--reason", "length")] == ["trace"]


def test_scores_and_prompts_are_shown_too(endpoint, tmp_path):  # noqa: F811
    tasks = write_rows(tmp_path / "prompts.jsonl", [{"question": f"What is {a} + 1?", "answer": a + 1} for a in range(1, 5)])
    retort("eval", "--endpoint", endpoint, "--model", "plain", "--prices", "free", "--tasks", tasks, "--out", tmp_path / "o")
    (wrong,) = shown(tmp_path / "o" / "scores.jsonl", "--with", tasks, "--reason", "wrong")
    assert (wrong["question"], wrong["reference"], wrong["found"]) == ("What is 3 + 1?", "4", "5")
    assert [r["question"] for r in shown(tasks)][:1] == ["What is 1 + 1?"]


def test_a_run_finds_its_own_inputs(tiny_run):
    rows = shown(tiny_run / "curate" / "rejects.jsonl", "--limit", 3)
    assert rows and all(r["question"] and r["content"] for r in rows)


def test_what_a_teacher_wrote_does_not_steer_the_terminal(tmp_path):
    row = trace(0, "1\033]0;x\a", "a\033[2Jb\x9bc\rd\u009be\nf", "3")
    text = retort("show", write_rows(tmp_path / "t.jsonl", [row]), "--full").stdout
    assert "\033" not in text and "\u009b" not in text and "\a" not in text and "\r" not in text
    assert "a [2Jb c d e f" in text or "a[2Jb" in text
    (tmp_path / "bad.jsonl").write_text("[\n{}\n]\n")
    run = retort("show", tmp_path / "bad.jsonl", check=False)
    assert run.returncode == 2 and "line 1: this is a JSON array; write one object a line" in run.stderr
    (tmp_path / "bad.jsonl").write_text('{"id": "a", "question": "q"}\n{"id": "b", "question": "q" "x"}\n')
    run = retort("show", tmp_path / "bad.jsonl", check=False)
    assert "line 2: not JSON: column 31" in run.stderr and "json.exception" not in run.stderr and "line 1" not in run.stderr
