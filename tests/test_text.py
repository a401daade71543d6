"""Tokenizer and chat templates, through the program, against Hugging Face's tokenizers and Jinja2's recorded output."""
import json
import random
import subprocess
import tempfile

import pytest

from conftest import program, shared

BYTE_LEVEL = ["smollm2", "phi-2", "gpt-neox-20b", "minimind", "torchtitan-test"]


def ask(rows, *args):
    """As conftest.retort_lines, but lines end at \\n alone: texts hold U+2028 and U+0085."""
    run = subprocess.run([program(), *map(str, args), "--json"], capture_output=True, timeout=600,
                         input="".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows).encode())
    return [json.loads(line) for line in run.stdout.decode().strip("\n").split("\n")]


def compressed_rows(name):
    out = subprocess.run(["zstd", "-dc", shared(name)], capture_output=True, check=True).stdout.decode()
    return [json.loads(line) for line in out.strip("\n").split("\n")]


@pytest.fixture(scope="module")
def texts():
    rng = random.Random(1)
    out = [r["text"] for r in compressed_rows("tokenizers/vectors_dev.jsonl.zst")]
    out += [json.loads(line)["text"] for line in shared("text/naughty_strings.jsonl").read_text().strip("\n").split("\n")]
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for at in range(0, len(every), 512):
        out += ["".join(every[at:at + 512]), " ".join(every[at:at + 512])]
    mix = list("aB cde\n\t\r  ''st\u017fTdDmMlL12345 3\u00e9\u4e2d\u00a0\u3000\u0301\u0338.,!?")
    mix += ["<|im_start|>", "<|endoftext|>", "    ", "'re", "'VE"]
    out += ["".join(rng.choice(mix) for _ in range(rng.randint(0, 60))) for _ in range(2000)]
    out += ["".join(rng.choice(every) for _ in range(rng.randint(0, 60))) for _ in range(1000)]
    out += [bytes(rng.randrange(256) for _ in range(rng.randint(0, 200))).decode(errors="replace") for _ in range(1000)]
    return out


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_ids_and_text_equal_hugging_face(name, texts):
    from tokenizers import Tokenizer
    file = shared(f"tokenizers/hf/{name}/tokenizer.json")
    oracle = Tokenizer.from_file(str(file))
    rows = ask([{"text": t} for t in texts], "tokenize", "--model", file)
    want = [e.ids for e in oracle.encode_batch(texts)]
    wrong = [(t, r, w) for t, r, w in zip(texts, rows, want, strict=True) if r.get("ids") != w]
    assert not wrong, wrong[:2]
    back = ask([{"ids": w} for w in want], "tokenize", "--model", file)
    assert [r["text"] for r in back] == [oracle.decode(w, skip_special_tokens=False) for w in want]


@pytest.mark.parametrize("name", ["gpt-2", "deepseek-coder", "deepseek-llm"])
def test_ids_from_gguf(name):
    base = f"tokenizers/gguf/ggml-vocab-{name}.gguf"
    inputs = shared(base + ".inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    want = [[int(i) for i in line.split()] for line in shared(base + ".out").read_text().splitlines()]
    rows = ask([{"text": t} for t in inputs[:len(want)]], "tokenize", "--model", shared(base), "--no-special")
    assert [r["ids"] for r in rows] == want


def test_sentencepiece_is_refused_by_name():
    run = subprocess.run([program(), "tokenize", "--model", shared("tokenizers/hf/phi-3-mini/tokenizer.json")],
                         input="x", capture_output=True, text=True)
    assert run.returncode == 2 and "not supported" in run.stderr


def test_templates_equal_jinja2():
    rows = compressed_rows("chat_templates/rendered.jsonl.zst")
    for name in sorted({r["template"] for r in rows}):
        mine = [r for r in rows if r["template"] == name]
        file = shared(("tokenizers/" if name.startswith("hf/") else "chat_templates/") + name)
        with tempfile.NamedTemporaryFile("w", suffix=".jinja") as copy:
            text = file.read_text()
            # The vectors' strftime_now says "22 Feb 2025" whatever the format.
            text = json.loads(text)["chat_template"] if name.endswith(".json") else text
            copy.write(text.replace('strftime_now("%d %B %Y")', 'strftime_now("%d %b %Y")'))
            copy.flush()
            got = ask([{k: r[k] for k in ("messages", "tools", "add_generation_prompt")} |
                       {"bos_token": "<BOS>", "eos_token": "<EOS>"} for r in mine],
                      "render", "--template", copy.name, "--now", "2025-02-22")
        for row, answer in zip(mine, got, strict=True):
            if row.get("rendered") is not None:
                assert answer.get("text") == row["rendered"], (name, row["case"], answer)
            else:
                assert "error" in answer, (name, row["case"])
