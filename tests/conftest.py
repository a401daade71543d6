"""What every Python test shares: the program under test, the SmolLM2 weights, and the one door to ../shared."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
import zstandard

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
sys.path.insert(0, str(ROOT / "tools"))

import models  # noqa: E402


def shared(name: str) -> pathlib.Path:
    """../shared/data/<name>; skips the test where ../shared is absent, fails where only the file is."""
    if not SHARED.exists():
        pytest.skip(f"needs ../shared/data/{name}")
    path = SHARED / "data" / name
    assert path.exists(), f"{path} is missing"
    return path


def compressed_text(name: str) -> str:
    """The text of ../shared/data/<name>, a .zst file."""
    with zstandard.open(shared(name), "rt", encoding="utf-8", newline="") as file:
        return file.read()


def compressed_rows(name: str) -> list:
    """Its JSON lines, which end at \\n alone."""
    return [json.loads(line) for line in compressed_text(name).strip("\n").split("\n")]


def program() -> str:
    """The retort binary under test: $RETORT or the release build."""
    path = os.environ.get("RETORT", str(ROOT / "build" / "release" / "bin" / "retort"))
    assert os.access(path, os.X_OK), f"{path} is missing; run ./dev build"
    return path


def retort(*args, stdin=None, check=True, timeout=600, env=None, cwd=None):
    """Runs the program to its end; returns the CompletedProcess with text streams."""
    run = subprocess.run([program(), *map(str, args)], input=stdin, capture_output=True, text=True, timeout=timeout,
                         env={**os.environ, **(env or {})}, cwd=cwd)
    if check and run.returncode != 0:
        raise AssertionError(f"retort {' '.join(map(str, args))} ended with {run.returncode}:\n{run.stderr[-4000:]}")
    return run


def retort_lines(rows, *args, **kwargs):
    """Feeds `rows` as JSON Lines to `retort ... --json` and returns the rows it answers. Lines end at \\n alone: texts
    hold U+2028 and U+0085, at which splitlines() would break them."""
    run = retort(*args, "--json", stdin="".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), **kwargs)
    return [json.loads(line) for line in run.stdout.split("\n") if line]


@pytest.fixture(scope="session")
def smollm2() -> pathlib.Path:
    """SmolLM2-135M-Instruct's GGUF (Q4_1) from the Python environment."""
    return models.smollm2()


@pytest.fixture(scope="session")
def smollm2_hf() -> pathlib.Path:
    """The same weights dequantised to a Hugging Face directory in F32."""
    return models.smollm2_hf()


@pytest.fixture(scope="session")
def smollm2_q8_0() -> pathlib.Path:
    """The same weights in Q8_0."""
    return models.smollm2_q8_0()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The folder of a whole run in seconds: recipes/quickstart.yaml with few problems and a student too small to learn."""
    out = tmp_path_factory.mktemp("tiny") / "run"
    small = [f"{step}.scratch.{name}={value}" for step in ("student", "ablation")
             for name, value in (("hidden", 48), ("heads", 3), ("kv_heads", 3), ("ffn", 96), ("layers", 2))]
    settings = ["prompts=240", "test=48", "epochs=1", "eval_student.max_tokens=60", "eval_ablation.max_tokens=60", *small]
    retort("run", ROOT / "recipes" / "quickstart.yaml", "--out", out, *[part for s in settings for part in ("--set", s)])
    return out
