"""A run killed with SIGKILL at 20 seeded moments over all its stages, and stopped by Ctrl-C, goes on and ends in the same
bytes as an untroubled one; nothing that had arrived is bought again, nothing that was finished is done again."""
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import ROOT, program

CONCURRENCY, INTERVAL = 8, 3
STEPS = ["problems", "collect", "curate", "curate_answers", "student", "ablation", "eval_student", "eval_ablation"]
KIND = {"student": "train", "ablation": "train", "eval_student": "eval", "eval_ablation": "eval", "curate_answers": "curate"}
RECIPE, PROMPTS = ROOT / "tests" / "interrupt.yaml", 240


def command(out):
    return [program(), "run", str(RECIPE), "--out", str(out), "--explain"]


def start(out):
    return subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(out):
    run = subprocess.run(command(out), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    return run


def stamped(out):
    return [step for step in STEPS if (out / step / "stamp.json").exists()]


def stage(out):
    """The step under way: it has its claim and no stamp yet; None between steps."""
    done = stamped(out)
    step = next((s for s in STEPS if s not in done), None)
    return step if step and (out / step / "work" / "claim.json").exists() else None


def count_lines(path):
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def progress(out, step):
    work = out / step / "work"
    if step == "collect":
        return count_lines(work / "teacher.jsonl")
    if step in ("student", "ablation"):
        return count_lines(work / "model.training" / "log.jsonl")
    if step.startswith("eval"):
        return count_lines(work / "scores.partial.jsonl")
    return 0


def output_bytes(out):
    """Everything that a run promises to be equal: all files of all steps but their work folders, and their stamps."""
    files = {}
    for step in STEPS:
        for path in sorted((out / step).rglob("*")):
            inside = path.relative_to(out / step)
            if path.is_file() and inside.parts[0] != "work" and inside.name != "stamp.json":
                files[f"{step}/{inside}"] = path.read_bytes()
        stamp = json.loads((out / step / "stamp.json").read_text())
        assert stamp.pop("seconds") >= 0
        files[f"{step}/stamp"] = stamp
    return files


def without_run_facts(report):
    """docs/formats.md, `Run facts`."""
    report = json.loads(json.dumps(report))
    report.pop("run")
    for row in report["training"]:
        row.pop("seconds")
    report["cost"] = [{"step": row["step"], "kind": row["kind"]} for row in report["cost"]]
    return report


def assert_equal_runs(out, calm):
    ours, theirs = output_bytes(out), output_bytes(calm)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    reports = [json.loads((folder / "report.json").read_text()) for folder in (out, calm)]
    assert without_run_facts(reports[0]) == without_run_facts(reports[1])


def attempts(out):
    """Rows of the attempt log: request, question, attempt, run, state, possibly, reserved, charged."""
    store = sqlite3.connect(f"file:{out}/collect/work/collect.sqlite?mode=ro", uri=True)
    rows = store.execute("SELECT a.request, r.prompt_id, a.id, a.run, a.state, a.possibly, a.reserved_usd_micros, "
                         "a.charged_usd_micros FROM attempts a JOIN requests r ON r.id = a.request ORDER BY a.id").fetchall()
    store.close()
    return rows


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    out = tmp_path_factory.mktemp("calm") / "run"
    finish(out)
    return out


# (step, least progress in it): each kill waits for the run to be there, then a few seeded milliseconds more. A "" waits
# for nothing, so the kill falls into the start, the hashing of inputs or wherever the run is.
# One more than the 20 that must hit: on a fast machine the last may find the run already ended.
PLAN = [("problems", 0), ("problems", 0), ("", 0), ("collect", 1), ("collect", 1), ("collect", 60), ("collect", 200), ("collect", 201), ("", 0),
        ("collect", 380), ("curate", 0), ("curate", 0), ("curate_answers", 0), ("student", 1), ("student", 4), ("student", 6),
        ("ablation", 0), ("ablation", 3), ("eval_student", 2), ("eval_student", 40), ("eval_ablation", 0)]


def kill_once(out, step, least, rng):
    """Starts the run and kills it at its moment; returns the step it died in (None: between steps, "" where it had ended)."""
    child = start(out)
    spread = {"problems": 0.002, "curate": 0.03, "curate_answers": 0.03, "eval_ablation": 0.01}.get(step, 0.1)
    deadline = time.monotonic() + 60
    while step and child.poll() is None and time.monotonic() < deadline:
        if (out / step / "stamp.json").exists() or (stage(out) == step and progress(out, step) >= least):
            break
    time.sleep(rng.uniform(0, spread))
    child.kill()
    child.communicate()
    assert child.returncode in (-signal.SIGKILL, 0)
    return stage(out) if child.returncode else ""


def test_killed_20_times_it_ends_in_the_same_bytes(calm, tmp_path):
    out, rng = tmp_path / "run", random.Random(20)
    died_in, finished, known_scores = [], {}, {}
    for step, least in PLAN:
        died_in.append(kill_once(out, step, least, rng))
        for done in stamped(out):  # what was finished stays as it was
            mark = ((out / done / "stamp.json").stat().st_mtime_ns, (out / done / "stamp.json").read_bytes())
            assert finished.setdefault(done, mark) == mark
        for step in ("student", "ablation"):
            training = out / step / "work" / "model.training"
            saved = [int(p.name[11:19]) for p in training.glob("checkpoint-*.bin")]
            assert not (training / "log.jsonl").exists() or count_lines(training / "log.jsonl") - max(saved, default=0) <= INTERVAL
        for step in ("eval_student", "eval_ablation"):
            path = out / step / "work" / "scores.partial.jsonl"
            whole = path.read_bytes() if path.exists() else b""
            whole = whole[:whole.rfind(b"\n") + 1]
            assert whole.startswith(known_scores.get(step, b""))
            known_scores[step] = whole
    assert {KIND.get(s, s) for s in died_in if s} >= {"problems", "collect", "curate", "train", "eval"}, died_in
    assert len(died_in) - died_in.count("") >= 20, died_in
    finish(out)
    for step, mark in finished.items():
        assert (out / step / "stamp.json").stat().st_mtime_ns == mark[0]
    assert_equal_runs(out, calm)

    rows = attempts(out)
    requests = {row[0] for row in rows}
    settled = {row[0]: row[2] for row in rows if row[4] == "settled"}
    assert len(settled) == len(requests) == sum(row[4] == "settled" for row in rows)
    assert all(row[2] <= settled[row[0]] for row in rows)  # none is asked for again once it had arrived
    assert {row[4] for row in rows} <= {"settled", "failed", "unknown"}
    unknown = [row for row in rows if row[4] == "unknown"]
    assert all(row[5] == 1 and row[7] == row[6] > 0 for row in unknown)  # booked as possibly charged, in full
    by_run = {run: sum(row[3] == run for row in unknown) for run in {row[3] for row in rows}}
    assert max(by_run.values()) <= CONCURRENCY and 0 < len(unknown) <= CONCURRENCY * sum(s == "collect" for s in died_in)

    # The teacher's own log: whole answers served for a question are the ones stored, and those lost in flight.
    served = [json.loads(line) for line in (out / "collect" / "work" / "teacher.jsonl").read_text().splitlines() if line]
    whole = {}
    for line in served:
        if line["status"] == 200 and not line["cut"]:
            whole[line["question"]] = whole.get(line["question"], 0) + 1
    questions = {}
    for line in (out / "problems" / "train.jsonl").read_text().splitlines():
        prompt = json.loads(line)
        questions[prompt["id"]] = prompt["messages"][-1]["content"]
    may = {}
    for row in rows:
        if row[4] in ("settled", "unknown"):
            may[questions[row[1]]] = may.get(questions[row[1]], 0) + 1
    assert all(count <= may[question] for question, count in whole.items())
    assert len(settled) <= sum(whole.values()) <= len(settled) + len(unknown)

    # The books: every charge of the store, and the training that was lost.
    books = {}
    for line in (out / "costs.jsonl").read_text().splitlines():
        row = json.loads(line)
        books[row["stage"], row["run"], row["what"], row["state"]] = row
    assert sum(row["usd_micros"] for row in books.values()) == sum(row[7] for row in rows)
    possibly = [row for row in books.values() if row["state"] == "possibly charged"]
    assert sum(row["requests"] for row in possibly) == sum(row[5] for row in rows)
    for step in ("student", "ablation"):
        report = json.loads((out / step / "work" / "train_report.json").read_text())
        assert report["run"]["lost_steps"] <= INTERVAL * died_in.count(step)
        booked = [row for row in books.values() if row["stage"] == step]
        assert sum(row["flops"] for row in booked) == pytest.approx(report["flops"] + report["run"]["lost_flops"])
    for step in ("eval_student", "eval_ablation"):
        assert any(row["stage"] == step for row in books.values())
    leftovers = [str(p) for p in pathlib.Path(out).rglob("*") if p.name.endswith(".part") or ".tmp" in p.name]
    assert leftovers == []


def test_ctrl_c_stops_with_one_message_and_goes_on(calm, tmp_path):
    out = tmp_path / "run"
    for step, least in (("collect", 100), ("student", 4), ("eval_student", 5)):
        child = start(out)
        while child.poll() is None and not (stage(out) == step and progress(out, step) >= least):
            time.sleep(0.001)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=30)[1]
        assert child.returncode == 130, said
        messages = [line for line in said.splitlines() if "stopped" in line]
        assert messages == ["retort: stopped; the same command goes on from here"] and said.endswith(messages[0] + "\n")
    finish(out)
    assert_equal_runs(out, calm)
    rows = attempts(out)
    assert sum(row[4] == "settled" for row in rows) == len({row[0] for row in rows})
    assert not any(row[4] == "unknown" for row in rows)  # what was under way was let arrive


def test_a_second_run_does_nothing(calm):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in calm.rglob("*") if p.is_file() and p.parent != calm}
    run = finish(calm)
    assert all(f"{step} is up to date" in run.stderr for step in STEPS) and "[1/" not in run.stderr
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in before} == before


def test_a_higher_cap_or_more_samples_buys_nothing_twice(calm, tmp_path):
    out = tmp_path / "run"
    tight = [*command(out), "--set", "collect.cap=0.002"]
    run = subprocess.run(tight, capture_output=True, text=True)
    assert run.returncode == 7 and "raise --cap" in run.stderr, run.stderr
    bought = sum(row[4] == "settled" for row in attempts(out))
    assert bought > 0
    finish(out)  # with the recipe's cap: other options, the same store
    rows = attempts(out)
    assert sum(row[4] == "settled" for row in rows) == len({row[0] for row in rows}) == 2 * PROMPTS
    assert (out / "collect" / "traces.jsonl").read_bytes() == (calm / "collect" / "traces.jsonl").read_bytes()
    # Another teacher is another matter: its answers are bought, the old ones are kept aside.
    run = subprocess.run([*command(out), "--set", "collect.teacher.seed=8"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    assert (out / "collect" / "traces.jsonl").read_bytes() != (calm / "collect" / "traces.jsonl").read_bytes()
    assert os.path.exists(out / "collect" / "work" / "before-1" / "collect.sqlite")
