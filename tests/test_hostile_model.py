"""What a downloaded model may do to the program and to its reader's terminal: nothing. Special files, broken weights,
hostile templates and patterns, control characters in names."""
import json
import os
import re
import shutil
import struct
import time
import urllib.error
import urllib.request

import pytest

from conftest import retort, retort_lines
from test_install import TINY, write_examples
from test_serve import Server

INERT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
HOSTILE = "evil\x1b[2J\x1b]0;owned\x07\u009b31m\u202egnp\rretort: all is well\n"
ENDLESS = ("{% set a = ['x'] %}" + "{% set a = [a,a,a,a,a,a,a,a,a,a] %}" * 12 + "{% set b = ['x'] %}" +
           "{% set b = [b,b,b,b,b,b,b,b,b,b] %}" * 12 + "{{ a == b }}")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    write_examples(folder / "examples.jsonl")
    retort("train", "--examples", folder / "examples.jsonl", *TINY, "--out", folder / "model")
    return folder / "model"


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the tiny model, to be spoilt."""
    return shutil.copytree(tiny, tmp_path / "model")


def answer(model):
    return retort("chat", model, "--max_tokens", 4, "--temperature", 0, stdin="What is 1 + 1?\n", check=False, timeout=60)


def change_tensor(model, name, value):
    path = model / "model.safetensors"
    data = bytearray(path.read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    begin = json.loads(data[8:8 + size])[name]["data_offsets"][0]
    data[8 + size + begin:8 + size + begin + 4] = struct.pack("<f", value)
    path.write_bytes(data)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(model, value):
    change_tensor(model, "model.layers.0.mlp.up_proj.weight", value)
    run = answer(model)
    assert run.returncode == 4 and "`model.layers.0.mlp.up_proj.weight` [64, 32]" in run.stderr and "[0, 0]" in run.stderr, run.stderr
    scored = retort("perplexity", "/dev/null", "--model", model, check=False)
    assert scored.returncode != 0


def test_sums_that_overflow_are_said_and_no_answer_is_given(model):
    for layer_norm in ("input_layernorm", "post_attention_layernorm"):
        change_tensor(model, f"model.layers.0.{layer_norm}.weight", 3e38)
    change_tensor(model, "model.norm.weight", 3e38)
    change_tensor(model, "model.layers.0.mlp.down_proj.weight", 3e38)
    run = answer(model)
    assert run.returncode == 4 and "NaN or infinite" in run.stderr, (run.returncode, run.stdout, run.stderr)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json",
                                  "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "folder"])
def test_special_files_are_refused_at_once(model, name, kind):
    (model / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(model / name)
    elif kind == "zero":
        (model / name).symlink_to("/dev/zero")
    else:
        (model / name).mkdir()
    run = answer(model)
    optional = name == "generation_config.json"
    assert run.returncode == 0 if optional else run.returncode in (2, 3), (run.returncode, run.stderr)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_files_past_their_size_are_refused(model, name):
    with (model / name).open("r+b") as file:
        file.truncate(1 << 42)
    run = answer(model)
    assert run.returncode == 7 and "more than the" in run.stderr, run.stderr


def test_threads_are_bounded_by_the_machine(tiny):
    for args in (["serve", tiny, "--port", 0], ["chat", tiny], ["logprobs", "a", "--model", tiny]):
        run = retort(*args, "--threads", 4000, stdin="", check=False, timeout=60)
        assert run.returncode == 2 and "this machine has" in run.stderr, run.stderr


def test_a_hostile_template_ends_and_the_server_lives(model, tmp_path):
    (model / "chat_template.jinja").write_text(ENDLESS)
    with Server(model, tmp_path) as server:
        start = time.monotonic()
        for _ in range(3):
            body = json.dumps({"messages": [{"role": "user", "content": "a"}]}).encode()
            request = urllib.request.Request(server.url + "/chat/completions", body, {"Content-Type": "application/json"})
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(request, timeout=60)
            assert "takes more than" in json.load(error.value)["error"]["message"]
        assert time.monotonic() - start < 60  # milliseconds; it never ended


def test_a_hostile_pattern_is_an_error(model):
    data = json.loads((model / "tokenizer.json").read_text())
    data["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "((?=(a+))a)+b|."}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    (model / "tokenizer.json").write_text(json.dumps(data))
    run = retort("tokenize", "--model", model, stdin="a" * 20000, check=False, timeout=60)
    assert run.returncode == 7 and "takes more work" in run.stderr, run.stderr
    assert len(retort_lines([{"text": "abc"}], "tokenize", "--model", model)[0]["ids"]) == 3


def test_names_cannot_steer_the_terminal(tiny, tmp_path):
    from gguf import GGUFWriter
    path = tmp_path / "x.gguf"
    writer = GGUFWriter(str(path), "llama")
    writer.add_name(HOSTILE)
    writer.add_string("general.license", HOSTILE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shown = retort("inspect", path, check=False)
    assert not INERT.search(shown.stdout + shown.stderr), shown.stdout
    odd = tmp_path / ("model" + HOSTILE.replace("\n", ""))
    shutil.copytree(tiny, odd)
    for run in (retort("inspect", odd), retort("inspect", odd, "--json"), answer(odd), retort("inspect", str(odd) + "x", check=False)):
        assert not INERT.search(run.stderr + run.stdout.replace("\r", "\x00")), (run.stdout, run.stderr)
    assert json.loads(retort("inspect", odd, "--json").stdout)["name"] == odd.name


def test_prompt_ids_cannot_steer_the_terminal(tmp_path):
    rows = [{"id": HOSTILE, "messages": [{"role": HOSTILE, "content": "x"}]}] * 2
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    run = retort("inspect", tmp_path / "prompts.jsonl", check=False)
    assert not INERT.search(run.stdout + run.stderr)
    run = retort("eval", "--model", tmp_path / "none", "--tasks", tmp_path / "prompts.jsonl", "--out", tmp_path / "out", check=False)
    assert run.returncode != 0 and not INERT.search(run.stderr), run.stderr
    long = retort("verify", "--" + "x" * 100000, check=False)
    assert long.returncode == 2 and len(long.stderr) < 20000


def test_a_recipe_is_bounded_in_bytes(tmp_path):
    head = "name: a\n"
    steps = "steps: {p: {do: problems}}\n"
    wide = "[" + ",".join(["*{0}"] * 100) + "]"
    laughs = (f'a: &a "{"x" * 100000}"\nb: &b {wide.format("a")}\nc: &c {wide.format("b")}\nd: {wide.format("c")}\n')
    filled = "set: {a: " + "x" * 10000 + "}\nsteps: {p: {do: problems, kinds: '" + "${a}" * 100000 + "'}}\n"
    keys = "set:\n" + "".join(f"  k{i}: 1\n" for i in range(100000))
    for text, code, says in ((head + laughs + steps, 7, "aliases"), (head + filled, 7, "fill in more"), (head + keys + steps, None, "")):
        (tmp_path / "r.yaml").write_text(text)
        run = retort("run", tmp_path / "r.yaml", "--dry-run", "--out", tmp_path / "out", check=False, timeout=120)
        assert says in run.stderr and (code is None or run.returncode == code), run.stderr[:2000]
