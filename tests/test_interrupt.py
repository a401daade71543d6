"""A run killed with SIGKILL at 20 seeded moments over all its stages, and stopped by Ctrl-C, goes on and ends in the same
bytes as an untroubled one; nothing that had arrived is bought again, nothing that was finished is done again."""
import hashlib
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
    """Everything that a run promises to be equal: all files of all steps but their work folders and marks, and their
    stamps."""
    files = {}
    for step in STEPS:
        for path in sorted((out / step).rglob("*")):
            inside = path.relative_to(out / step)
            if path.is_file() and inside.parts[0] != "work" and str(inside) not in ("stamp.json", ".retort"):
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


def payloads(out):
    """What the provenance book says, without the run facts; the chain is verified by `retort inspect`."""
    run = subprocess.run([program(), "inspect", str(out / "provenance.jsonl"), "--json"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    entries = json.loads(run.stdout)["entries"]
    assert all(entry["payload"].pop("when").endswith("Z") for entry in entries)
    return [(entry["kind"], entry["payload"]) for entry in entries]


def costs(out):
    run = subprocess.run([program(), "cost", str(out), "--json"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return {row["stage"]: row for row in map(json.loads, run.stdout.splitlines())}


def assert_equal_runs(out, calm):
    ours, theirs = output_bytes(out), output_bytes(calm)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert payloads(out) == payloads(calm)
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
    spread = {"problems": 0.002, "curate": 0.03, "curate_answers": 0.03, "eval_student": 0.02, "eval_ablation": 0.01}.get(step, 0.1)
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
    books = {p: p.read_bytes() for p in calm.iterdir() if p.is_file()}  # the report too, and when it was
    run = finish(calm)
    assert {p: p.read_bytes() for p in calm.iterdir() if p.is_file()} == books
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


def clock(out, step):
    """Seconds noted by the step so far: the last whole line."""
    try:
        return float((out / step / "work" / "clock.txt").read_text().rsplit("\n", 1)[0].split("\n")[-1])
    except (FileNotFoundError, ValueError, IndexError):
        return 0.0


def test_what_a_killed_try_used_is_on_the_books(calm, tmp_path):
    """Seconds of tries that SIGKILL ended, and tokens and operations after the last checkpoint, count: while the step is
    unfinished, when it has finished, and when its work is thrown away."""
    out = tmp_path / "run"
    sets = ["--set", "test=4000", "--set", "student.checkpoint.every_steps=5"]
    noted = {}
    for step, least in (("student", 7), ("eval_student", 300)):
        child = subprocess.Popen([*command(out), *sets], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and not (stage(out) == step and progress(out, step) >= least and clock(out, step) > 0):
            time.sleep(0.001)
        child.kill()
        child.wait()
        assert child.returncode == -signal.SIGKILL and stage(out) == step
        noted[step] = clock(out, step)
        assert noted[step] > 0 and costs(out)[step]["seconds"] == noted[step]  # it is known before anything goes on
    rows = [json.loads(line) for line in (out / "student" / "work" / "train_log.jsonl").read_text().splitlines()]
    booked = costs(out)["student"]
    assert booked["resumed_seconds"] > 0 and booked["seconds"] >= noted["student"]
    assert booked["tokens_in"] > sum(row["tokens"] for row in rows) and booked["flops"] > sum(row["flops"] for row in rows)
    # Other options: the evaluation under way is abandoned, and its time and answers stay on the books as failed.
    answers = costs(out)["eval_student"]["requests"]
    assert answers >= 299  # the file begins with a line that is no score
    run = subprocess.run([*command(out), *sets, "--set", "eval_student.max_tokens=149"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    row = costs(out)["eval_student"]
    assert row["failed_seconds"] == noted["eval_student"] and row["failed_requests"] == answers
    assert row["requests"] == answers + 4000 and row["seconds"] > row["failed_seconds"]


def test_the_model_says_where_each_part_came_from(calm):
    record = json.loads((calm / "student" / "model" / "provenance.json").read_text())
    examples = (calm / "curate" / "examples.jsonl").read_bytes()
    rows = [json.loads(line) for line in examples.splitlines()]
    permission = hashlib.sha256((ROOT / "recipes" / "quickstart" / "permission.yaml").read_bytes()).hexdigest()
    assert record["examples"]["sha256"] == hashlib.sha256(examples).hexdigest() and record["base"] is None
    assert record["examples"]["teachers"] == [{"teacher": rows[0]["teacher"], "permission_hash": permission, "examples": len(rows)}]
    book = {payload["step"]: payload for _, payload in payloads(calm)}
    assert list(book) == STEPS
    for step in ("collect", "curate", "student", "eval_student"):
        assert book[step]["permissions"] == [permission]
    assert book["problems"]["permissions"] == []
    for name, digest in book["student"]["outputs"].items():
        assert hashlib.sha256((calm / "student" / name).read_bytes()).hexdigest() == digest
    assert book["curate"]["outputs"]["examples.jsonl"] == book["student"]["inputs"]["${curate}/examples.jsonl"]
    said = subprocess.run([program(), "inspect", str(calm / "student" / "model")], capture_output=True, text=True).stdout
    assert f"{len(rows)} of {rows[0]['teacher']}, permission {permission[:12]}" in said


def test_a_forged_book_is_named_by_its_line(calm, tmp_path):
    whole = (calm / "provenance.jsonl").read_text()
    said = subprocess.run([program(), "inspect", str(calm / "provenance.jsonl")], capture_output=True, text=True)
    assert "chain holds" in said.stdout and "student (train)" in said.stdout and said.returncode == 0
    lines = whole.splitlines(keepends=True)
    forged = tmp_path / "book.jsonl"  # under any name: it is known by its first line
    for name, text, line in (("changed", whole.replace('"curate/1"', '"curate/2"', 1), 3), ("dropped", "".join(lines[:4] + lines[5:]), 5),
                             ("swapped", "".join([lines[0], lines[2], lines[1], *lines[3:]]), 2)):
        forged.write_text(text)
        for more in ([], ["--json"]):
            run = subprocess.run([program(), "inspect", str(forged), *more], capture_output=True, text=True)
            assert run.returncode == 4 and f"book.jsonl line {line} is broken" in run.stderr, (name, run.stderr)
    forged.write_text(whole + lines[-1][:40])
    run = subprocess.run([program(), "inspect", str(forged), "--json"], capture_output=True, text=True)
    assert run.returncode == 0 and json.loads(run.stdout)["torn"] == 40


def test_the_forecast_counts_what_will_be(calm, tmp_path):
    """Tokens of a training are counted from texts that can be made at once; times of answers are ranges."""
    run = subprocess.run([program(), "run", str(RECIPE), "--out", str(tmp_path / "none"), "--dry-run", "--json"], capture_output=True, text=True)
    rows = {row["step"]: row for row in json.loads(run.stdout)}
    assert not (tmp_path / "none").exists()
    report = json.loads((calm / "student" / "work" / "train_report.json").read_text())
    assert 0.75 < rows["student"]["tokens"] / report["tokens"] < 1.35
    assert rows["collect"]["usd_micros"] == pytest.approx(sum(row[7] for row in attempts(calm)), rel=0.5)
    for step in ("eval_student", "eval_ablation"):
        assert 0 < rows[step]["seconds_low"] < rows[step]["seconds"] < rows[step]["seconds_high"]
    assert 0 < rows["student"]["seconds_low"] <= rows["student"]["seconds"] <= rows["student"]["seconds_high"]
    assert rows["curate"]["seconds_low"] == rows["curate"]["seconds"]
