"""The engine's numbers against transformers on SmolLM2: log-probabilities against float64, greedy continuations, and
how far the quantised files are from fp32."""
import json

import pytest

from conftest import ROOT, retort, retort_lines

TEXTS = [
    "The capital of France is Paris. The capital of Germany is Berlin. The capital of Italy is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
    "Natalia sell altogether in April and May? In April she sold 48 clips, in May 48 / 2 = 24 clips, 48 + 24 = 72.",
    "Å 12345 + 67890 = 80235 – naïve café, 日本語, emoji 😀.",
]


@pytest.fixture(scope="module")
def peers(smollm2_hf):
    """transformers in fp32 and, as the reference, in float64."""
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(2)
    single = AutoModelForCausalLM.from_pretrained(smollm2_hf, dtype=torch.float32).eval()
    double = AutoModelForCausalLM.from_pretrained(smollm2_hf, dtype=torch.float64).eval()
    return single, double


def logprobs_of(model, ids):
    import torch
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].tolist()


def ids_of(folder, text):
    from tokenizers import Tokenizer
    return Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids


def test_logprobs_are_as_close_to_float64_as_transformers(smollm2_hf, peers):
    single, double = peers
    ids = [ids_of(smollm2_hf, text) for text in TEXTS]
    ours = retort_lines([{"ids": i} for i in ids], "logprobs", "--model", smollm2_hf)
    mine, theirs = [], []
    for row, i in zip(ours, ids):
        assert row["ids"] == i and row["logprobs"][0] is None
        want = logprobs_of(double, i)
        mine += [abs(a - b) for a, b in zip(row["logprobs"][1:], want)]
        theirs += [abs(a - b) for a, b in zip(logprobs_of(single, i), want)]
    mean, mean_theirs = sum(mine) / len(mine), sum(theirs) / len(theirs)
    print(json.dumps({"tokens": len(mine), "mean": mean, "mean_transformers": mean_theirs, "max": max(mine),
                      "max_transformers": max(theirs)}))
    assert mean <= 1.5 * mean_theirs
    assert max(mine) <= 1.5 * max(theirs)


def test_text_and_threads_give_the_same_logprobs(smollm2_hf):
    rows = [{"text": text} for text in TEXTS]
    one = retort("logprobs", "--model", smollm2_hf, "--threads", 1, "--top-k", 2, "--json",
                 stdin="".join(json.dumps(r) + "\n" for r in rows)).stdout
    two = retort("logprobs", "--model", smollm2_hf, "--threads", 3, "--top-k", 2, "--json",
                 stdin="".join(json.dumps(r) + "\n" for r in rows)).stdout
    assert one == two
    for row, text in zip(map(json.loads, one.splitlines()), TEXTS):
        assert row["ids"] == ids_of(smollm2_hf, text)
        assert row["top"][0] is None and len(row["top"][1]) == 2


def test_every_instruction_set_gives_the_same_bits(smollm2):
    row = json.dumps({"text": TEXTS[0][:40]}) + "\n"
    outputs = {}
    for isa in ("scalar", "avx2", "avx512", "neon"):
        run = retort("logprobs", "--model", smollm2, "--json", stdin=row, env={"RETORT_ISA": isa}, check=False)
        if run.returncode == 0:
            outputs[isa] = run.stdout
        else:
            assert run.returncode == 2 and isa in run.stderr and "scalar" in run.stderr
    assert "scalar" in outputs and len(set(outputs.values())) == 1


def test_greedy_continuation_equals_transformers(smollm2_hf, peers):
    import torch
    single, _ = peers
    for text in TEXTS[:3]:
        ids = ids_of(smollm2_hf, text)
        with torch.no_grad():
            made = single.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, pad_token_id=0)[0].tolist()
        scored = retort_lines([{"ids": made}], "logprobs", "--model", smollm2_hf, "--top-k", 1)[0]
        # Each token that transformers chose is the likeliest one for us, too.
        assert [t[0]["id"] for t in scored["top"][len(ids):]] == made[len(ids):]


def test_quantised_files_stay_close_to_fp32(smollm2, smollm2_hf, smollm2_q8_0, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS) * 3, encoding="utf-8")
    rows = {}
    # The Q4_1 file holds the very weights of the fp32 directory, so its KL is that of 8-bit activations alone.
    for name, path in {"q4_1": smollm2, "q8_0": smollm2_q8_0}.items():
        run = retort("perplexity", "--model", path, "--reference", smollm2_hf, "--json", "--limit", 400, text)
        rows[name] = json.loads(run.stdout)
    print(json.dumps({k: [v["kl_mean"], v["kl_standard_error"], v["top1_agreement"]] for k, v in rows.items()}))
    for row in rows.values():
        assert 0 < row["kl_mean"] < 0.01 and row["kl_standard_error"] > 0 and row["top1_agreement"] > 0.95
    itself = json.loads(retort("perplexity", "--model", smollm2_hf, "--reference", smollm2_hf, "--json", "--limit",
                               100, text).stdout)
    assert itself["kl_mean"] == 0 and itself["top1_agreement"] == 1


def test_perplexity_equals_the_mean_of_logprobs(smollm2, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXTS[2], encoding="utf-8")
    row = json.loads(retort("perplexity", "--model", smollm2, "--json", text).stdout)
    logprobs = retort_lines([{"text": TEXTS[2]}], "logprobs", "--model", smollm2)[0]["logprobs"][1:]
    assert row["tokens"] == len(logprobs)
    assert row["nats_per_token"] == pytest.approx(-sum(logprobs) / len(logprobs), rel=1e-12)
    # Windows that do not overlap, counted from the fourth token on.
    ids = retort_lines([{"text": TEXTS[2]}], "tokenize", "--model", smollm2)[0]["ids"]
    windows = [ids[at:at + 8] for at in range(0, len(ids), 8)]
    row = json.loads(retort("perplexity", "--model", smollm2, "--json", "--window", 8, "--stride", 8, "--context", 3, text).stdout)
    scored = retort_lines([{"ids": window} for window in windows], "logprobs", "--model", smollm2)
    logprobs = [value for line in scored for value in line["logprobs"][3:]]
    assert row["tokens"] == len(logprobs)
    assert row["nats_per_token"] == pytest.approx(-sum(logprobs) / len(logprobs), rel=1e-12)


def test_bad_input_is_named(smollm2):
    for line, word in [('{"ids": [1, 99999]}', "99999"), ('{"ids": [1, -5]}', "-5"), ("{}", "text"),
                       ('{"text": 3}', "text"), ('{"ids"', "line 1")]:
        run = retort("logprobs", "--model", smollm2, "--json", stdin=line + "\n", check=False)
        assert run.returncode == 2 and word in run.stderr, run.stderr
    run = retort("logprobs", "--model", smollm2, "--json", stdin=json.dumps({"ids": [1] * 9000}) + "\n", check=False)
    assert run.returncode == 7 and "9000" in run.stderr and "8192" in run.stderr
