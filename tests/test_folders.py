"""What is the user's stays: commands write only into folders that they made and know by their mark, one at a time, and
set aside what they cannot go on from. Each refusal is one message with the path, and leaves every byte as it was."""
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from conftest import ROOT, program, retort
from test_train import SCRATCH, digest, examples, write

INVALID, UNAVAILABLE = 2, 6
PROBLEMS = "name: small\nsteps:\n  data: {do: problems, train: 4, test: 2}\n"
PERMISSION = (ROOT / "recipes" / "smollm2" / "gsm8k.yaml").read_text()


def tree(folder):
    """Every path below a folder with its bytes, or what a link points to."""
    return {str(p.relative_to(folder)): os.readlink(p) if p.is_symlink() else p.read_bytes() if p.is_file() else None
            for p in sorted(folder.rglob("*"))}


def refused(status, *args, says=(), **kwargs):
    run = retort(*args, check=False, timeout=120, **kwargs)
    assert run.returncode == status, (run.returncode, run.stderr[-2000:])
    assert len([line for line in run.stderr.splitlines() if line.startswith("retort: ")]) == 1, run.stderr
    for part in says:
        assert str(part) in run.stderr, (part, run.stderr)
    return run


def traces(path, count=4):
    rows = [{"id": f"t{i}", "prompt_id": f"p{i}", "sample": 0, "messages": [{"role": "user", "content": f"What is {i}+{i}?"}],
             "answer": str(2 * i), "task": "add", "reasoning": f"Twice {i} is {2 * i}.", "content": f"The answer is {2 * i}.",
             "finish_reason": "stop", "teacher": "test", "model": "m", "permission_hash": "x", "raw_hash": "y"} for i in range(count)]
    return write(path, rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the commands read: traces, prompts, rows to import with their permission, examples, and a tiny model."""
    folder = tmp_path_factory.mktemp("made")
    traces(folder / "traces.jsonl")
    write(folder / "prompts.jsonl", [{"id": f"p{i}", "messages": [{"role": "user", "content": f"What is {i} + 1?"}], "answer": str(i + 1)}
                                     for i in range(6)])
    write(folder / "rows.jsonl", [{"question": f"What is {i} + 1?", "answer": f"It is one more.\n#### {i + 1}"} for i in range(4)])
    (folder / "permission.yaml").write_text(PERMISSION)
    write(folder / "examples.jsonl", examples(16))
    retort("train", "--examples", folder / "examples.jsonl", *SCRATCH, "--max_steps", 2, "--out", folder / "model")
    return folder


def verbs(made, out):
    """Each command that writes a folder, into `out`."""
    return {
        "collect": ["collect", "--import", made / "rows.jsonl", "--permission", made / "permission.yaml", "--out", out],
        "curate": ["curate", "--traces", made / "traces.jsonl", "--out", out],
        "eval": ["eval", "--model", made / "model", "--tasks", made / "prompts.jsonl", "--max_tokens", 8, "--out", out],
        "train": ["train", "--examples", made / "examples.jsonl", *SCRATCH, "--max_steps", 1, "--replace", "--out", out],
        "export": ["export", made / "model", out, "--replace"],
        "run": ["run", made / "small.yaml", "--out", out],
    }


VERBS = ["collect", "curate", "eval", "train", "export", "run"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_the_users_is_refused(made, tmp_path, verb):
    (made / "small.yaml").write_text(PROBLEMS)
    out = tmp_path / "out"
    (out / "data").mkdir(parents=True)
    for name in ("thesis.tex", "traces.jsonl", "examples.jsonl", "data/precious.txt", "movie.part", "config.json.tmp-0123456789ab"):
        (out / name).write_text("mine")
    before = tree(tmp_path)
    refused(INVALID, *verbs(made, out)[verb], says=[out])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_of_its_own_is_written_again(made, tmp_path, verb):
    (made / "small.yaml").write_text(PROBLEMS)
    out = tmp_path / "out"
    for name in (out, f"{out}/"):
        retort(*verbs(made, name)[verb])
    assert (out / ".retort").exists() and sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    # A file that was put there later is named or stays; nothing of it is lost.
    (out / "notes.txt").write_text("mine")
    if verb in ("train", "export"):
        refused(INVALID, *verbs(made, out)[verb], says=[out / "notes.txt", "was not made by retort"])
    else:
        retort(*verbs(made, out)[verb])
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("verb", VERBS)
def test_one_process_at_a_time(made, tmp_path, verb):
    (made / "small.yaml").write_text(PROBLEMS)
    out = tmp_path / "out"
    retort(*verbs(made, out)[verb])
    held = tmp_path / "out.training" if verb == "train" else out
    if verb == "train":
        held.mkdir()
        (held / ".retort").write_text('{"retort":"folder","version":1,"by":"train"}\n')
    before = tree(tmp_path)
    with open(held / ".retort") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        refused(UNAVAILABLE, *verbs(made, out)[verb], says=[f"another retort works in {held}"])
    assert tree(tmp_path) == before
    retort(*verbs(made, out)[verb])


@pytest.mark.parametrize("verb, name", [("collect", "traces.jsonl"), ("curate", "examples.jsonl"), ("eval", "scores.jsonl")])
def test_an_edited_output_is_the_users(made, tmp_path, verb, name):
    out = tmp_path / "out"
    retort(*verbs(made, out)[verb])
    edited = (out / name).read_bytes().replace(b"a", b"A", 1)
    (out / name).write_bytes(edited)
    refused(INVALID, *verbs(made, out)[verb], says=[out / name, "was changed after retort wrote it", "move it elsewhere"])
    assert (out / name).read_bytes() == edited
    (out / name).rename(tmp_path / "mine")
    retort(*verbs(made, out)[verb])
    assert (out / name).read_bytes() != edited


@pytest.mark.parametrize("verb", VERBS)
def test_a_link_is_no_folder(made, tmp_path, verb):
    (made / "small.yaml").write_text(PROBLEMS)
    (tmp_path / "victim").mkdir()
    (tmp_path / "out").symlink_to("victim")
    for out in (tmp_path / "out", f"{tmp_path}/out/"):
        refused(INVALID, *verbs(made, out)[verb], says=["symbolic link", tmp_path / "out"])
    assert list((tmp_path / "victim").iterdir()) == [] and (tmp_path / "out").is_symlink()


@pytest.mark.parametrize("name", ["..", "../../home", "a/b", ".", "", "x" * 101, "data/"])
def test_a_recipes_name_is_a_name(tmp_path, name):
    project = tmp_path / "a" / "b"
    (project / "data").mkdir(parents=True)
    (project / "data" / "thesis.tex").write_text("mine")
    (project / "recipe.yaml").write_text(PROBLEMS.replace("small", f'"{name}"'))
    before = tree(tmp_path)
    run = retort("run", "recipe.yaml", check=False, cwd=project)
    assert run.returncode == INVALID and "name" in run.stderr
    assert tree(tmp_path) == before
    (project / "recipe.yaml").write_text(PROBLEMS.replace("data:", f'"{name}":'))
    assert retort("run", "recipe.yaml", check=False, cwd=project).returncode == INVALID
    assert (project / "data" / "thesis.tex").read_text() == "mine"


def run_small(place, *more):
    return ["run", place / "recipe.yaml", "--out", place / "out", *more]


def test_what_lies_in_a_runs_folder_stays(tmp_path):
    """Files beside the steps are kept; ones in a step's folder stop the step, by name, before anything goes."""
    (tmp_path / "recipe.yaml").write_text(PROBLEMS)
    retort(*run_small(tmp_path))
    out = tmp_path / "out"
    (out / "mine").mkdir()
    for name in ("notes.txt", "movie.part", "costs.jsonl.tmp-0123456789abcd", "mine/x.part"):
        (out / name).write_text("mine")
    (out / "report.json.part").write_text("left by a kill")  # of a file of ours: swept
    other = run_small(tmp_path, "--set", "data.train=5")
    for name in ("data/precious.txt", "data/work/precious.txt", "data/sub/x", "data/train.jsonl.bak", "data/link"):
        path = out / name
        path.parent.mkdir(exist_ok=True)
        if path.name == "link":
            path.symlink_to("../notes.txt")
        else:
            path.write_text("mine")
        before = tree(out / "data")
        refused(INVALID, *other, says=[path.parent if path.parent.name == "sub" else path, "was not made by retort"])
        assert tree(out / "data") == before
        path.unlink()
        if path.parent.name == "sub":
            path.parent.rmdir()
    retort(*other)
    assert (out / "data" / "train.jsonl").read_text().count("\n") == 5
    assert all((out / name).read_text() == "mine" for name in ("notes.txt", "movie.part", "costs.jsonl.tmp-0123456789abcd", "mine/x.part"))
    assert not (out / "report.json.part").exists()


def test_a_folder_named_like_a_step(tmp_path):
    (tmp_path / "recipe.yaml").write_text(PROBLEMS)
    out = tmp_path / "out"
    retort(*run_small(tmp_path))
    shutil.rmtree(out / "data")
    (out / "data").mkdir()
    (out / "data" / "thesis.tex").write_text("mine")
    refused(INVALID, *run_small(tmp_path), says=[out / "data", "thesis.tex"])
    shutil.rmtree(out / "data")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis.tex").write_text("mine")
    (out / "data").symlink_to(tmp_path / "victim")
    refused(INVALID, *run_small(tmp_path), says=[out / "data", "symbolic link"])
    assert (tmp_path / "victim" / "thesis.tex").read_text() == "mine"


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "recipe.yaml").write_text(PROBLEMS)
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("mine")
    for name in ("costs.jsonl", "provenance.jsonl", "report.json", "data/work/clock.txt", "data/train.jsonl.part", "data/train.jsonl"):
        shutil.rmtree(out, ignore_errors=True)
        retort(*run_small(tmp_path))
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(victim)
        run = retort(*run_small(tmp_path, "--set", "data.train=5"), check=False)
        assert run.returncode == INVALID and str(out / name) in run.stderr, (name, run.stderr)
        assert victim.read_text() == "mine" and (out / name).is_symlink()


def test_an_edited_output_of_a_step(tmp_path):
    """At equal size and time too; a copied run is the same run still."""
    (tmp_path / "recipe.yaml").write_text(PROBLEMS)
    retort(*run_small(tmp_path))
    path = tmp_path / "out" / "data" / "test.jsonl"
    shutil.copytree(tmp_path / "out", tmp_path / "copy", copy_function=shutil.copyfile)
    run = retort("run", tmp_path / "recipe.yaml", "--out", tmp_path / "copy", "--explain")
    assert "data is up to date" in run.stderr
    edited = path.read_bytes().replace(b"a", b"A", 1)
    facts = path.stat()
    path.write_bytes(edited)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert "its output test.jsonl was changed" in retort(*run_small(tmp_path, "--dry-run")).stderr
    refused(INVALID, *run_small(tmp_path), says=[path, "was changed after retort wrote it"])
    assert path.read_bytes() == edited
    path.unlink()
    assert "its output test.jsonl is gone" in retort(*run_small(tmp_path, "--explain")).stderr


def test_killed_at_its_start_it_goes_on(tmp_path):
    """Whatever a kill leaves of a folder, its mark and its files, the same command knows for its own."""
    (tmp_path / "recipe.yaml").write_text(PROBLEMS)
    rng, killed = random.Random(5), 0
    curate = ["curate", "--traces", str(traces(tmp_path / "t.jsonl", 2000)), "--out", str(tmp_path / "curated")]
    begin = time.monotonic()
    retort(*curate)
    took = time.monotonic() - begin
    alone = (tmp_path / "curated" / "examples.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "curated")
    for command in (curate, list(map(str, run_small(tmp_path)))):
        for _ in range(10):
            child = subprocess.Popen([program(), *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            time.sleep(rng.uniform(0, took))
            child.kill()
            assert child.wait() in (0, -signal.SIGKILL), child.stderr.read()
            killed += child.returncode != 0
        retort(*command)
    assert killed > 0
    assert (tmp_path / "curated" / "examples.jsonl").read_bytes() == alone
    assert not [p for p in tmp_path.rglob("*") if ".part" in p.name or ".tmp" in p.name]


# ---- comparisons

def test_an_earlier_comparison_does_not_outlive_its_scores(made, tmp_path):
    out = tmp_path / "out"
    plain = verbs(made, out)["eval"]
    retort(*plain, "--against", made / "model")
    assert (out / "comparison.json").exists() and (out / "against" / "summary.json").exists()
    retort(*plain, "--limit", 2)
    assert json.loads((out / "summary.json").read_text())["all"]["scores"] == 2
    assert not (out / "comparison.json").exists() and not (out / "against").exists()


# ---- training

def start(args, log, lines):
    """A training, killed once its log has so many lines."""
    child = subprocess.Popen([program(), *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and (not log.exists() or log.read_text().count("\n") < lines):
        time.sleep(0.001)
    assert child.poll() is None, "it ended before it could be killed"
    return child


def kill(child):
    child.kill()
    child.wait()


def training(made, out, *more):
    return ["train", "--examples", made / "examples.jsonl", *SCRATCH, "--epochs", 400, "--checkpoint.every_steps", 2, "--out", out, *more]


def shortened(args, epochs):
    args = list(args)
    args[args.index("--epochs") + 1] = epochs
    return args


def test_two_trainings_with_one_out(made, tmp_path):
    out = tmp_path / "out"
    child = start(training(made, out), tmp_path / "out.training" / "log.jsonl", 1)
    try:
        refused(UNAVAILABLE, *training(made, out), says=[f"another retort works in {out}.training"])
        refused(UNAVAILABLE, *training(made, out, "--replace"), says=[f"another retort works in {out}.training"])
        assert child.poll() is None
    finally:
        kill(child)


def test_resumed_on_another_count_of_threads(made, tmp_path):
    out = tmp_path / "out"
    args = shortened(training(made, out), 60)
    kill(start(args, tmp_path / "out.training" / "log.jsonl", 10))
    args[args.index("--threads") + 1] = 1
    run = retort(*args, "--json")
    report = json.loads(run.stdout)
    assert report["run"]["resumed_from"] >= 8 and report["steps"] == 120
    assert report["run"]["threads"] == [{"after_step": 0, "threads": 2}, {"after_step": report["run"]["resumed_from"], "threads": 1}]
    said = [line for line in run.stderr.splitlines() if "threads" in line]
    assert len(said) == 1 and "1 threads where 2 were before" in said[0]
    assert json.loads((out / "train_report.json").read_text())["run"]["threads"] == report["run"]["threads"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_checkpoints_of_another_training_are_set_aside(made, tmp_path):
    out, work = tmp_path / "out", tmp_path / "out.training"
    this = shortened(training(made, out), 40)
    kill(start(this, work / "log.jsonl", 5))
    first = tree(work)
    assert any(name.startswith("checkpoint-") for name in first)
    other = shortened(training(made, out, "--seed", 9), 3)
    run = retort(*other)
    aside = tmp_path / "out.training.before-1"
    assert str(aside) in run.stderr and "other options" in run.stderr
    assert tree(aside) == first
    # Another format's too; and put back in place, the first training goes on from its own.
    shutil.rmtree(out)
    aside.rename(work)
    newest = sorted(work.glob("checkpoint-*.bin"))[-1]
    whole = newest.read_bytes()
    newest.write_bytes(whole[:8] + (1).to_bytes(4, "little") + whole[12:])
    run = retort(*other)
    assert "of version 1" in run.stderr and str(aside) in run.stderr and (aside / newest.name).exists()
    shutil.rmtree(out)
    (aside / newest.name).write_bytes(whole)
    aside.rename(work)
    report = json.loads(retort(*this, "--json").stdout)
    assert report["run"]["resumed_from"] == int(newest.name[11:19])


def test_a_broken_checkpoint_is_out_of_the_way_of_those_to_come(made, tmp_path):
    """It has more steps than those that follow; they are kept all the same."""
    out, work = tmp_path / "out", tmp_path / "out.training"
    kill(start(training(made, out), work / "log.jsonl", 9))
    newest = sorted(work.glob("checkpoint-*.bin"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    aside = work / (newest.name + ".unfit")
    child = subprocess.Popen([program(), *map(str, training(made, out))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and not (aside.exists() and list(work.glob("checkpoint-*.bin"))):
        time.sleep(0.001)
    time.sleep(0.2)
    kill(child)
    assert child.returncode == -signal.SIGKILL and aside.exists() and list(work.glob("checkpoint-*.bin"))


def test_a_recipes_unfinished_training_is_set_aside(made, tmp_path):
    (tmp_path / "recipe.yaml").write_text(f"""name: small
steps:
  fit:
    do: train
    examples: {made}/examples.jsonl
    from_scratch: true
    epochs: 2000
    batch_size: 8
    checkpoint: {{every_steps: 2}}
    scratch: {{layers: 1, hidden: 32, heads: 2, kv_heads: 2, ffn: 64, vocab_size: 320, max_positions: 256}}
""")
    work = tmp_path / "out" / "fit" / "work"
    kill(start(run_small(tmp_path), work / "model.training" / "log.jsonl", 5))
    before = tree(work / "model.training")
    for number in (1, 2):
        run = retort(*run_small(tmp_path, "--set", f"fit.epochs={number}"))
        assert (str(work / "model.training.before-1") in run.stderr) == (number == 1)
        assert tree(work / "model.training.before-1") == before
    booked = [json.loads(line) for line in (tmp_path / "out" / "costs.jsonl").read_text().splitlines()]
    assert [row["flops"] > 0 for row in booked if row["state"] == "failed"] == [True]


def test_lora_model_and_adapter_come_together(made, tmp_path):
    out = tmp_path / "out"
    args = ["train", "--examples", made / "examples.jsonl", "--base", made / "model", "--method", "lora", "--lora.rank", 2, "--max_steps", 1, "--out", out]
    retort(*args)
    assert (out / "adapter" / "adapter_model.safetensors").exists()
    first = digest(out)
    (out / "adapter" / "notes.txt").write_text("mine")
    refused(INVALID, *args, "--replace", says=[out / "adapter" / "notes.txt"])
    (out / "adapter" / "notes.txt").unlink()
    retort(*args, "--replace")
    assert digest(out) == first and sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("option, value", [("--max_flops", "1e30"), ("--max_flops", "inf"), ("--max_steps", str(1 << 62)), ("--epochs", "1e18"),
                                           ("--epochs", "inf"), ("--epochs", "nan"), ("--epochs", "9e6")])
def test_a_plan_has_an_end(made, tmp_path, option, value):
    args = ["train", "--examples", made / "examples.jsonl", *SCRATCH, "--out", tmp_path / "out", option, value]
    refused(INVALID, *args, says=[option.replace("_", "-"), value if value in ("inf", "nan") else "at most" if option == "--epochs" else "give 0 to"])
    assert list(tmp_path.iterdir()) == []


# ---- a run rests on what is stamped

def small_fit(**more):
    options = {"do": "train", "examples": "${curate}/examples.jsonl", "from_scratch": True, "batch_size": 8,
               "scratch": {"layers": 1, "hidden": 32, "heads": 2, "kv_heads": 2, "ffn": 64, "vocab_size": 320, "max_positions": 512}, **more}
    return options


def test_work_may_go_and_flops_of_is_there_or_an_error(made, tmp_path):
    recipe = {"name": "small", "steps": {"curate": {"do": "curate", "traces": [str(made / "traces.jsonl")]},
                                         "one": small_fit(epochs=3), "two": small_fit(flops_of="${one}", seed=2)}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    retort(*run_small(tmp_path))
    out = tmp_path / "out"
    reports = {step: json.loads((out / step / "train_report.json").read_text()) for step in ("one", "two")}
    assert "run" not in reports["one"] and reports["two"]["flops"] == pytest.approx(reports["one"]["flops"], rel=0.34)
    page = json.loads((out / "report.json").read_text())
    for step in ("curate", "one", "two"):
        shutil.rmtree(out / step / "work")
    run = retort(*run_small(tmp_path, "--explain"))
    assert run.stderr.count("is up to date") == 3
    assert json.loads((out / "report.json").read_text()) == page
    # With its report gone from a folder that no step made, the same compute cannot be given.
    recipe["steps"]["two"]["flops_of"] = str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    refused(3, *run_small(tmp_path), says=["step `two`", "flops_of", tmp_path / "elsewhere"])
    (tmp_path / "elsewhere" / "train_report.json").write_text("{}")
    refused(INVALID, *run_small(tmp_path), says=["step `two`", "flops_of", "names no `flops`"])


def test_the_same_weights_whoever_made_the_folder(made, tmp_path):
    """The mark is no part of a model: it says nothing that differs from place to place."""
    (tmp_path / "empty").mkdir()
    for out in ("fresh", "empty"):
        retort("export", made / "model", tmp_path / out)
    assert tree(tmp_path / "fresh") == tree(tmp_path / "empty")
    names = [json.loads(line).get("name") for line in (tmp_path / "fresh" / ".retort").read_text().splitlines()]
    assert sorted(filter(None, names)) == sorted(p.name for p in (tmp_path / "fresh").iterdir() if p.name != ".retort")
