"""An installed tree runs where it was moved to, without the Python environment and the build folder that it came from."""
import json
import pathlib
import subprocess

import pyarrow
import pyarrow.parquet
import pytest

from conftest import ROOT, program


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    build = pathlib.Path(program()).parent.parent
    first = tmp_path_factory.mktemp("install") / "first"
    subprocess.run(["cmake", "--install", build, "--prefix", first], check=True, stdout=subprocess.DEVNULL)
    second = first.parent / "second"
    first.rename(second)
    return second


def run(moved, *arguments, **kwargs):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(moved)}
    return subprocess.run([moved / "bin" / "retort", *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=moved, **kwargs)


def test_no_installed_library_points_outside_the_tree(moved):
    for library in [moved / "bin" / "retort", *(moved / "lib" / "retort").iterdir()]:
        listed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        for line in listed.splitlines():
            if "RUNPATH" in line or "RPATH" in line:
                assert str(ROOT) not in line and ".venv" not in line, f"{library.name}: {line}"


def test_the_moved_program_opens_its_modules(moved):
    done = run(moved, "doctor", "--json")
    rows = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    for module in ("trainer", "parquet"):
        assert rows[module]["status"] == "ok", rows[module]
        assert rows[module]["found"].startswith(str(moved)), rows[module]


def test_a_program_found_through_PATH_opens_its_own_modules_alone(moved, tmp_path):
    """The modules of the working directory's neighbours are somebody else's, whatever name they bear."""
    here, planted = tmp_path / "here", tmp_path / "lib" / "retort"
    here.mkdir()
    planted.mkdir(parents=True)
    source = tmp_path / "planted.c"
    source.write_text(f'#include <fcntl.h>\n__attribute__((constructor)) static void ran(void) {{ creat("{tmp_path}/loaded", 0600); }}\n')
    for name in ("parquet", "train"):
        subprocess.run(["cc", "-shared", "-fPIC", source, "-o", planted / f"libretort_{name}.so"], check=True)
    prompts = here / "prompts.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"], "question": ["What is 2 + 1?"], "answer": ["3"]}), prompts)
    environment = {"PATH": f"{moved}/bin:/usr/bin:/bin", "HOME": str(here)}

    def called(*arguments):
        return subprocess.run(["retort", *map(str, arguments)], capture_output=True, text=True, env=environment, cwd=here)
    rows = {row["check"]: row for row in map(json.loads, called("doctor", "--json").stdout.splitlines())}
    for module in ("trainer", "parquet"):
        assert rows[module]["status"] == "ok" and rows[module]["found"].startswith(str(moved)), rows[module]
    write_examples(here / "examples.jsonl")
    trained = called("train", "--examples", here / "examples.jsonl", *TINY, "--out", here / "model")
    assert trained.returncode == 0, trained.stderr
    graded = called("eval", "--model", here / "model", "--tasks", prompts, "--max_tokens", 4, "--out", here / "scores")
    assert graded.returncode == 0, graded.stderr
    assert not (tmp_path / "loaded").exists()


TINY = ["--from-scratch", "--scratch.layers", 1, "--scratch.hidden", 32, "--scratch.heads", 2, "--scratch.kv_heads", 2, "--scratch.ffn", 64,
        "--scratch.vocab_size", 300, "--max_steps", 2]


def write_examples(path):
    with path.open("w") as out:
        for n in range(24):
            out.write(json.dumps({"id": f"e{n}", "parents": [f"t{n}"], "prompt_id": f"p{n}", "reasoning": f"{n}+1", "content": f"\\boxed{{{n + 1}}}",
                                  "messages": [{"role": "user", "content": f"What is {n} + 1?"}], "answer": str(n + 1), "how": "reference",
                                  "task": "addition", "teacher": "test", "permission_hash": ""}) + "\n")


def test_the_moved_program_trains_and_reads_parquet(moved, tmp_path):
    write_examples(tmp_path / "examples.jsonl")
    trained = run(moved, "train", "--examples", tmp_path / "examples.jsonl", *TINY, "--out", tmp_path / "model")
    assert trained.returncode == 0, trained.stderr
    prompts = tmp_path / "prompts.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"], "question": ["What is 2 + 1?"], "answer": ["3"]}), prompts)
    graded = run(moved, "eval", "--model", tmp_path / "model", "--tasks", prompts, "--max_tokens", 4, "--out", tmp_path / "scores")
    assert graded.returncode == 0, graded.stderr
    assert len((tmp_path / "scores" / "scores.jsonl").read_text().splitlines()) == 1
