"""`retort train` against PyTorch, transformers and peft, and against kill -9."""
import hashlib
import json
import math
import random
import signal
import subprocess
import time

import pytest

from conftest import program, retort

TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def examples(count, seed=0, long=False):
    rng, rows = random.Random(seed), []
    for i in range(count):
        a, b = rng.randrange(1000), rng.randrange(1000)
        thought = f"{a} + {b}: add the parts. " + ("Carry on, step by step. " * rng.randrange(1, 6) if long else "") + f"It is {a + b}."
        rows.append({"id": f"e{i}", "parents": [f"t{i}"], "prompt_id": f"p{i}", "messages": [{"role": "user", "content": f"What is {a} + {b}?"}],
                     "reasoning": thought, "content": f"The answer is {a + b}.", "answer": str(a + b), "how": "reference", "task": "add",
                     "teacher": "test", "permission_hash": "0"})
    return rows


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny random Llama (grouped heads, tied) with a byte-level tokenizer and ChatML, as transformers saves it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    folder = tmp_path_factory.mktemp("base")
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    texts = [r["messages"][0]["content"] + r["reasoning"] + r["content"] for r in examples(50)]
    tok.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|im_start|>", "<|im_end|>"],
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, eos_token="<|im_end|>", pad_token="<|im_end|>")
    fast.chat_template = TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(fast), hidden_size=48, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, intermediate_size=112,
        max_position_embeddings=512, tie_word_embeddings=True, rms_norm_eps=1e-5, initializer_range=0.1,
        bos_token_id=None, eos_token_id=1, pad_token_id=None))  # a pad id would freeze its embedding in torch
    model.generation_config.eos_token_id = 1
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def load(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"), AutoTokenizer.from_pretrained(folder)


def samples(tok, rows):
    out = []
    for r in rows:
        prompt = tok.apply_chat_template(r["messages"], add_generation_prompt=True, tokenize=False)
        ids = tok.encode(prompt, add_special_tokens=False)
        answer = f"<think>\n{r['reasoning']}\n</think>\n\n{r['content']}"
        out.append((len(ids), ids + tok.encode(answer, add_special_tokens=False) + [tok.eos_token_id]))
    return out


def mean_loss(model, data):
    """Mean over all answer tokens, one sample at a time: what packing must equal."""
    import torch
    total, count = 0.0, sum(len(ids) - start for start, ids in data)
    for start, ids in data:
        logits = model(torch.tensor([ids])).logits[0, start - 1:-1]
        total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[start:]), reduction="sum")
    return total / count


def train(out, *args, **kwargs):
    return json.loads(retort("train", "--out", out, "--json", *args, **kwargs).stdout)


def log(folder):
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


def test_loss_and_gradients_equal_pytorch(base, tmp_path):
    import torch
    rows = examples(12, long=True)
    model, tok = load(base)
    loss = mean_loss(model, samples(tok, rows))
    loss.backward()
    # With beta 0, epsilon 1 and rate 1 one AdamW step moves each weight by g / (|g| + 1), which gives g back.
    train(tmp_path / "out", "--examples", write(tmp_path / "e.jsonl", rows), "--base", base, "--max_steps", 1, "--batch_size", 12,
          "--micro_tokens", 300, "--optimizer.lr", 1, "--optimizer.beta1", 0, "--optimizer.beta2", 0, "--optimizer.eps", 1,
          "--optimizer.weight_decay", 0, "--optimizer.clip", 0, "--schedule.shape", "constant", "--schedule.warmup", 0)
    row = log(tmp_path / "out")[0]
    assert abs(row["loss"] - loss.item()) < 1e-5
    after = load(tmp_path / "out")[0].state_dict()
    squares = 0.0
    for name, p in model.named_parameters():
        moved = (p.detach() - after[name]).double()
        grad = moved / (1 - moved.abs())
        assert (grad - p.grad.double()).abs().max() < 1e-5 * max(1.0, p.grad.abs().max().item()), name
        squares += p.grad.double().pow(2).sum().item()
    assert abs(row["grad_norm"] - math.sqrt(squares)) < 1e-5 * math.sqrt(squares)


def test_ten_steps_equal_torch_adamw(base, tmp_path):
    import torch
    rows = examples(6, seed=1)
    model, tok = load(base)
    data = samples(tok, rows)
    decays = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.dim() == 1 or "embed" in n]
    optimizer = torch.optim.AdamW([{"params": decays, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=1e-3,
                                  betas=(0.9, 0.99), eps=1e-6)
    train(tmp_path / "out", "--examples", write(tmp_path / "e.jsonl", rows), "--base", base, "--max_steps", 10, "--batch_size", 6,
          "--optimizer.lr", 1e-3, "--optimizer.beta2", 0.99, "--optimizer.eps", 1e-6, "--optimizer.weight_decay", 0.1,
          "--optimizer.clip", 0.5, "--schedule.warmup", 0.2, "--schedule.floor", 0.1)
    for step, row in enumerate(log(tmp_path / "out"), 1):
        lr = 1e-3 * (step / 2 if step <= 2 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 2) / 8)))
        assert abs(row["lr"] - lr) < 1e-12
        optimizer.zero_grad()
        loss = mean_loss(model, data)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        assert abs(row["loss"] - loss.item()) < 2e-5, step
        assert abs(row["grad_norm"] - norm.item()) < 1e-4 * norm.item(), step
    after, tok_after = load(tmp_path / "out")
    worst = max((p - after.state_dict()[n]).abs().max().item() for n, p in model.named_parameters())
    assert worst < 5e-5
    ids = torch.tensor([data[0][1]])
    with torch.no_grad():
        assert (model(ids).logits - after(ids).logits).abs().max() < 1e-3
    assert tok_after.apply_chat_template(rows[0]["messages"], tokenize=False) == tok.apply_chat_template(rows[0]["messages"], tokenize=False)


def test_lora_merged_equals_the_adapter_in_peft(base, tmp_path):
    import torch
    from peft import PeftModel
    report = train(tmp_path / "out", "--examples", write(tmp_path / "e.jsonl", examples(16)), "--base", base, "--method", "lora",
                   "--lora.rank", 4, "--lora.alpha", 8, "--lora.targets", "q_proj,v_proj,down_proj", "--max_steps", 8, "--optimizer.lr", 1e-2)
    assert 0 < report["trained_parameters"] < report["parameters"] / 4
    assert report["last_loss"] < report["first_loss"]
    plain, tok = load(base)
    merged, _ = load(tmp_path / "out")
    ids = torch.tensor([samples(tok, examples(1))[0][1]])
    with torch.no_grad():
        before, after = plain(ids).logits, merged(ids).logits
        adapted = PeftModel.from_pretrained(plain, tmp_path / "out" / "adapter")(ids).logits
    assert (before - after).abs().max() > 0.1
    assert (adapted - after).abs().max() < 1e-4
    trained = {n for n, p in merged.state_dict().items() if not torch.equal(p, load(base)[0].state_dict()[n])}
    assert all(any(t in n for t in ("q_proj", "v_proj", "down_proj")) for n in trained)


SCRATCH = ["--from-scratch", "--scratch.layers", 2, "--scratch.hidden", 64, "--scratch.heads", 4, "--scratch.kv_heads", 2, "--scratch.ffn", 128,
           "--scratch.vocab_size", 320, "--scratch.max_positions", 256, "--max_length", 256, "--batch_size", 8, "--threads", 2]


def test_from_scratch_learns_and_loads(tmp_path):
    import torch
    rows = examples(64)
    report = train(tmp_path / "out", "--examples", write(tmp_path / "e.jsonl", rows), *SCRATCH, "--epochs", 10)
    assert report["last_loss"] < 0.5 * report["first_loss"]
    assert report["data"]["examples"] == 64 and report["data"]["cut"] == 0 and report["steps"] == 80
    model, tok = load(tmp_path / "out")
    assert len(tok) <= 320
    with torch.no_grad():
        assert mean_loss(model, samples(tok, rows)).item() < 0.6 * report["first_loss"]


def test_the_share_of_cut_examples_is_said(tmp_path):
    args = list(SCRATCH)
    args[args.index("--max_length") + 1] = 60
    run = retort("train", "--examples", write(tmp_path / "e.jsonl", examples(10, long=True)), "--out", tmp_path / "out", *args)
    cut = json.loads((tmp_path / "out" / "train_report.json").read_text())["data"]
    assert 0 < cut["cut"] <= 10 and cut["cut_tokens"] > 0
    assert f"{cut['cut']} of 10 examples were cut" in run.stdout


def digest(folder):
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in log(folder)]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir() if f.is_file() and not f.name.startswith("train_")}, rows


def test_kill_9_and_resume_give_the_same_bytes(tmp_path):
    args = ["--examples", str(write(tmp_path / "e.jsonl", examples(64))), *map(str, SCRATCH), "--epochs", "8", "--checkpoint.every_steps", "5"]
    retort("train", *args, "--out", tmp_path / "calm")
    rng, out = random.Random(7), tmp_path / "killed"
    steps, killed, stops = tmp_path / "killed.training" / "log.jsonl", 0, sorted(rng.sample(range(2, 60), 5))
    for number, stop in enumerate(stops):
        process = subprocess.Popen([program(), "train", *args, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not steps.exists() or steps.read_text().count("\n") < stop):
            time.sleep(0.001)
        if number == 2:
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        else:
            process.kill()
            process.wait()
        killed += not out.exists()
    assert killed >= 4, "the run is too short to be killed"
    report = json.loads(retort("train", *args, "--out", out, "--json").stdout)
    assert report["run"]["resumed_from"] > 0 and report["run"]["lost_steps"] > 0
    assert digest(out) == digest(tmp_path / "calm")
    assert not (tmp_path / "killed.training").exists()


def test_a_broken_checkpoint_is_not_used(tmp_path):
    args = ["--examples", str(write(tmp_path / "e.jsonl", examples(32))), *map(str, SCRATCH), "--epochs", "6", "--checkpoint.every_steps", "2",
            "--checkpoint.keep", "3"]
    retort("train", *args, "--out", tmp_path / "calm")
    work = tmp_path / "out.training"
    process = subprocess.Popen([program(), "train", *args, "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(work.glob("checkpoint-*.bin"))) < 3:
        time.sleep(0.001)
    process.kill()
    process.wait()
    newest = sorted(work.glob("checkpoint-*.bin"))[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    run = retort("train", *args, "--out", tmp_path / "out")
    assert newest.name in run.stderr
    assert digest(tmp_path / "out") == digest(tmp_path / "calm")


@pytest.mark.parametrize("change, said", [
    (["--method", "lora"], "needs a base"),
    (["--format", "thinking"], "thinking"),
    (["--schedule.shape", "cosin"], "cosin"),
    (["--max_length", "1000000"], "context"),
    (["--set", "optimizer.lerning_rate=1"], "lerning_rate"),
])
def test_wrong_options_are_named(tmp_path, change, said):
    run = retort("train", "--examples", write(tmp_path / "e.jsonl", examples(2)), *SCRATCH, "--out", tmp_path / "out", *change, check=False)
    assert run.returncode == 2 and said in run.stderr
    assert not (tmp_path / "out").exists()


def test_an_existing_directory_is_not_replaced_unasked(tmp_path):
    (tmp_path / "out").mkdir()
    args = ["train", "--examples", write(tmp_path / "e.jsonl", examples(8)), *SCRATCH, "--out", tmp_path / "out"]
    assert retort(*args, check=False).returncode == 2
    retort(*args, "--replace")
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_libtorch_is_opened_on_use_only():
    needed = subprocess.run(["readelf", "-d", program()], capture_output=True, text=True, check=True).stdout
    assert "torch" not in needed and "libc10" not in needed and "gomp" not in needed
