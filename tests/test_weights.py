"""Weights against the libraries that define their formats: safetensors, gguf, transformers and peft."""
import hashlib
import json
import random
import shutil

import numpy as np
import pytest

from conftest import retort

SIZES = dict(vocab_size=96, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128)
QUANTISED = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]


def inspect(path, *args):
    return json.loads(retort("inspect", path, *args, "--json").stdout)


def tensor_hash(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype=np.float32).tobytes()).hexdigest()


def refused(path, *words, code=None, command=("inspect",)):
    """The command fails with one message that holds all `words`; never by a signal."""
    run = retort(*command, path, check=False)
    assert run.returncode > 0, run.stdout
    assert run.stderr.startswith("retort: ") and run.stderr.count("\n") == 1, run.stderr
    for word in words:
        assert str(word) in run.stderr, run.stderr
    if code is not None:
        assert run.returncode == code, run.stderr


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random tiny Llama saved by transformers, with a tokenizer made by tokenizers: (model, folder)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=False, eos_token_id=[2, 0], bos_token_id=1))
    folder = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    model.save_pretrained(folder)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:80]
    vocab = {t: i for i, t in enumerate(["<|end|>", "<|start|>", "<|turn|>"] + alphabet)}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tok.add_special_tokens(["<|end|>", "<|start|>", "<|turn|>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, bos_token="<|start|>", eos_token="<|turn|>")
    fast.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    fast.save_pretrained(folder)
    return model, folder


def test_inspect_agrees_with_transformers(tiny):
    model, folder = tiny
    seen = inspect(folder)
    assert seen["kind"] == "huggingface model" and seen["name"] == "tiny-llama" and seen["runs"]
    assert seen["parameters"] == model.num_parameters()
    config = seen["config"]
    for ours, theirs in dict(vocab_size="vocab_size", hidden_size="hidden_size", layers="num_hidden_layers",
                             heads="num_attention_heads", kv_heads="num_key_value_heads", head_dim="head_dim",
                             ffn_size="intermediate_size", rms_eps="rms_norm_eps", bos_id="bos_token_id",
                             max_context="max_position_embeddings", tied_embeddings="tie_word_embeddings").items():
        assert config[ours] == getattr(model.config, theirs), ours
    assert config["eos_ids"] == [2, 0]
    assert config["rope_theta"] == model.config.rope_parameters["rope_theta"]
    assert seen["chat_template"] is True and seen["tokenizer"]["eos"] == "<|turn|>"
    state = model.state_dict()
    assert {t["name"]: t["shape"] for t in seen["tensors"]} == {k: list(v.shape) for k, v in state.items()}
    for name in ("lm_head.weight", "model.norm.weight", "model.layers.1.self_attn.k_proj.weight"):
        assert inspect(folder, "--tensor", name)["f32_sha256"] == tensor_hash(state[name].numpy()), name


def test_shards_hold_the_same_weights(tiny, tmp_path):
    model, folder = tiny
    model.save_pretrained(tmp_path / "sharded", max_shard_size="60KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    one, many = inspect(folder, "--hash"), inspect(tmp_path / "sharded", "--hash")
    assert many["runs"] and one["content_hash"] == many["content_hash"]
    next((tmp_path / "sharded").glob("*.safetensors")).unlink()
    run = retort("export", tmp_path / "sharded", tmp_path / "out", check=False)
    assert run.returncode > 0 and "safetensors" in run.stderr


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("shard_mb", [5000, 1])
def test_export_loads_in_transformers(tiny, tmp_path, dtype, shard_mb):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model, folder = tiny
    if shard_mb == 1:  # large enough for shards
        from transformers import LlamaConfig, LlamaForCausalLM
        big = LlamaForCausalLM(LlamaConfig(**{**SIZES, "hidden_size": 256, "intermediate_size": 512}))
        shutil.copytree(folder, tmp_path / "big")
        (tmp_path / "big" / "model.safetensors").unlink()
        big.save_pretrained(tmp_path / "big")
        model, folder = big, tmp_path / "big"
    out = tmp_path / "out"
    retort("export", folder, out, "--dtype", dtype, "--max-shard-mb", shard_mb)
    assert (out / "model.safetensors.index.json").exists() == (shard_mb == 1)
    loaded, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True, dtype="auto")
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    want = torch.float32 if dtype == "f32" else torch.bfloat16
    assert type(loaded).__name__ == "LlamaForCausalLM" and loaded.dtype == want
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.to(want)), name
    assert loaded.config.rope_parameters["rope_theta"] == model.config.rope_parameters["rope_theta"]
    assert loaded.config.eos_token_id == model.config.eos_token_id
    before, after = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(out)
    assert before("a<|turn|>bc")["input_ids"] == after("a<|turn|>bc")["input_ids"]
    assert after.chat_template == before.chat_template and after.eos_token == "<|turn|>"
    retort("export", folder, tmp_path / "again", "--dtype", dtype, "--max-shard-mb", shard_mb)
    for file in out.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
    busy = retort("export", folder, out, check=False)
    assert busy.returncode == 2 and "not empty" in busy.stderr
    retort("export", folder, out, "--replace", "--dtype", dtype)
    assert sorted(p.name for p in tmp_path.iterdir() if ".tmp-" in p.name or ".old-" in p.name) == []


def write_gguf(path, model, types, **extra):
    """The model as llama.cpp's converter would store it; `types` picks a type for each name."""
    from gguf import GGMLQuantizationType as T, GGUFWriter, quants
    c = model.config
    w = GGUFWriter(str(path), "llama")
    w.add_name("tiny")
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_feed_forward_length(c.intermediate_size)
    w.add_head_count(c.num_attention_heads)
    w.add_head_count_kv(c.num_key_value_heads)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(c.rms_norm_eps)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([f"t{i}" for i in range(c.vocab_size)])
    w.add_token_merges([])
    w.add_eos_token_id(2)
    stored = {}
    for name, value in model.state_dict().items():
        a = value.numpy()
        for head, part in ((c.num_attention_heads, "q_proj"), (c.num_key_value_heads, "k_proj")):
            if part in name:
                a = a.reshape(head, 2, a.shape[0] // head // 2, a.shape[1]).swapaxes(1, 2).reshape(a.shape)
        short = name
        for old, new in {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
                         "model.layers": "blk", "post_attention_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
                         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
                         "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
                         "mlp.down_proj": "ffn_down"}.items():
            short = short.replace(old, new)
        kind = T[types(name)] if a.ndim == 2 else T.F32
        data = quants.quantize(np.ascontiguousarray(a), kind)
        w.add_tensor(short, data, raw_dtype=kind)
        back = quants.dequantize(data, kind).reshape(a.shape)
        for head, part in ((c.num_attention_heads, "q_proj"), (c.num_key_value_heads, "k_proj")):
            if part in name:  # transformers' own inverse (LlamaTensorProcessor._reverse_permute_weights)
                back = back.reshape(head, a.shape[0] // head // 2, 2, a.shape[1]).swapaxes(2, 1).reshape(a.shape)
        stored[name] = back
    for name, (shape, kind) in extra.items():
        w.add_tensor(name, np.zeros(shape, np.uint8), raw_dtype=T[kind])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return stored


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", *QUANTISED])
def test_gguf_types_equal_gguf_py(tiny, tmp_path, kind):
    model, _ = tiny
    path = tmp_path / f"{kind}.gguf"
    stored = write_gguf(path, model, lambda name: kind)
    seen = inspect(path)
    assert seen["runs"], seen.get("why_not")
    assert kind in seen["types"] and not seen["config"]["tied_embeddings"]
    assert seen["config"]["rms_eps"] == model.config.rms_norm_eps
    for name in ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
                 "model.layers.1.self_attn.k_proj.weight", "model.layers.1.mlp.down_proj.weight"):
        got = inspect(path, "--tensor", name)
        assert got["type"] == kind and got["f32_sha256"] == tensor_hash(stored[name]), name


@pytest.mark.parametrize("kind", ["F16", "BF16", *QUANTISED])
def test_any_block_bits_equal_gguf_py(tmp_path, kind):
    """Random bits in every block (scales finite), not only those a quantiser makes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, GGUFWriter, quants
    block, size = GGML_QUANT_SIZES[T[kind]]
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 256, (64, 2048 // block, size), dtype=np.uint8)
    if kind == "BF16":
        raw[..., 1] &= 0xBF
    else:
        for high in [1] + ([3] if kind in ("Q4_1", "Q5_1") else []):
            raw[..., high] &= 0xBF  # clears a bit of the half's exponent: neither infinity nor NaN
    raw = raw.reshape(64, -1)
    w = GGUFWriter(str(tmp_path / "x.gguf"), "llama")
    w.add_tensor("x", raw, raw_dtype=T[kind])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    want = quants.dequantize(raw, T[kind]).reshape(64, 2048)
    assert inspect(tmp_path / "x.gguf", "--tensor", "x")["f32_sha256"] == tensor_hash(want)


def test_smollm2(smollm2):
    from gguf import GGUFReader, quants
    seen = inspect(smollm2)
    assert seen["runs"] and seen["parameters"] == 134515008 and seen["chat_template"]
    assert seen["types"]["Q4_1"]["tensors"] == 210 and seen["tokenizer"]["tokens"] == 49152
    reader = GGUFReader(str(smollm2))
    tensors = {t.name: t for t in reader.tensors}
    for gguf, hf in (("blk.7.ffn_up.weight", "model.layers.7.mlp.up_proj.weight"),
                     ("output_norm.weight", "model.norm.weight"), ("token_embd.weight", "model.embed_tokens.weight")):
        t = tensors[gguf]
        want = quants.dequantize(t.data, t.tensor_type)
        assert inspect(smollm2, "--tensor", hf)["f32_sha256"] == tensor_hash(want), hf


def test_smollm2_exports_to_the_weights_transformers_reads(smollm2, smollm2_hf, tmp_path):
    """Every tensor of the exported GGUF equals the one that transformers' own GGUF loader makes."""
    from safetensors import safe_open
    retort("export", smollm2, tmp_path / "out", "--dtype", "f32")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as ours, \
            safe_open(smollm2_hf / "model.safetensors", "pt") as theirs:
        assert set(ours.keys()) == set(theirs.keys()) and ours.metadata() == {"format": "pt"}
        for name in ours.keys():
            assert ours.get_tensor(name).equal(theirs.get_tensor(name)), name
    from transformers import AutoTokenizer
    ours, theirs = AutoTokenizer.from_pretrained(tmp_path / "out"), AutoTokenizer.from_pretrained(smollm2_hf)
    text = "Ann has 1234 apples.\n\tdef f(x): return x**2<|im_end|> 你好"
    assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    chat = [{"role": "user", "content": "Hi"}]
    assert ours.apply_chat_template(chat, tokenize=False) == theirs.apply_chat_template(chat, tokenize=False)


def test_what_is_not_supported_is_named(tiny, tmp_path):
    model, folder = tiny
    write_gguf(tmp_path / "k.gguf", model, lambda n: "F32", **{"blk.0.extra.weight": ((1, 144), "Q4_K")})
    assert inspect(tmp_path / "k.gguf")["unused_tensors"] == ["blk.0.extra.weight"]
    refused_tensor = retort("inspect", tmp_path / "k.gguf", "--tensor", "blk.0.extra.weight", check=False)
    assert refused_tensor.returncode == 2 and "Q4_K" in refused_tensor.stderr
    for key, value, says in (("hidden_act", "gelu", "gelu"), ("attention_bias", True, "attention_bias"),
                             ("model_type", "qwen2", "qwen2"), ("num_hidden_layers", 3, "model.layers.2"),
                             ("rope_scaling", {"rope_type": "llama3"}, "rope_scaling type llama3 is not supported"),
                             ("vocab_size", 95, "[96, 64]")):
        bad = tmp_path / key
        shutil.copytree(folder, bad)
        config = json.loads((bad / "config.json").read_text())
        config[key] = value
        (bad / "config.json").write_text(json.dumps(config))
        seen = inspect(bad)
        assert not seen["runs"] and says in seen["why_not"] and str(bad) in seen["why_not"], seen.get("why_not")
        assert retort("export", bad, tmp_path / "never", check=False).returncode in (2, 4)


def test_paths(tiny, tmp_path):
    _, folder = tiny
    hub = tmp_path / "models--acme--tiny"
    shutil.copytree(folder, hub / "snapshots" / "abc123")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("abc123")
    assert inspect(hub)["name"] == "acme/tiny" == inspect(hub / "snapshots" / "abc123")["name"]
    (hub / "refs" / "main").write_text("gone")
    refused(hub, "`gone`", code=3)
    refused(tmp_path / "nothing", "nothing", "never downloads", code=3)
    refused(tmp_path, "models--acme--tiny", code=3)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(empty, "config.json is missing", code=3)
    shutil.copy(folder / "config.json", empty)
    out = tmp_path / "out"
    for file, says in ((None, "has no weights"), ("pytorch_model.bin", "convert it to safetensors")):
        if file:
            (empty / file).write_bytes(b"x")
        run = retort("export", empty, out, check=False)
        assert run.returncode in (2, 3) and says in run.stderr, run.stderr
    shutil.copy(folder / "model.safetensors", empty)
    run = retort("export", empty, out, check=False)
    assert run.returncode > 0 and "tokenizer" in run.stderr and not out.exists()


def test_broken_files_name_themselves(tiny, tmp_path):
    """A few mutations through the whole program; thousands run in model_test."""
    model, folder = tiny
    write_gguf(tmp_path / "good.gguf", model, lambda n: "Q8_0")
    rng = random.Random(3)
    for source in (folder / "model.safetensors", tmp_path / "good.gguf"):
        good = source.read_bytes()
        for i in range(12):
            bad = tmp_path / f"bad{source.suffix}"
            data = bytearray(good)
            if i < 6:
                data = data[:rng.randrange(len(data))]
            else:
                for _ in range(3):
                    data[rng.randrange(min(2000, len(data)))] = rng.randrange(256)
            bad.write_bytes(data)
            run = retort("inspect", bad, "--json", check=False)
            assert 0 <= run.returncode < 128, run.stderr
            if i < 6:
                assert run.returncode == 4 and bad.name in run.stderr and run.stderr.count("\n") == 1, run.stderr


def test_records_and_doctor(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"id":"1","stage":"curate","reason":"loop","detail":""}\n{"id":"2","stage":"curate","reason":"loop"}\nx\n')
    seen = inspect(path)
    assert seen["records"] == 2 and seen["kinds"] == {"reject": 2} and seen["reasons"] == {"loop": 2}
    assert seen["broken_lines"] == 1 and seen["first_broken_line"] == 3
    plain = retort("doctor", check=False, env={"LC_ALL": "C"})
    rows = [json.loads(line) for line in retort("doctor", "--json", check=False).stdout.splitlines()]
    assert {"cpu", "threads", "memory", "disk", "gpu", "models", "trainer", "parquet"} <= {r["check"] for r in rows}
    found = {r["check"]: r["found"] for r in rows}
    assert "CPU only" in found["gpu"] and "family llama" in found["models"]
    assert "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1" in found["models"]
    assert all(r["status"] in ("ok", "warn", "fail") and (r["status"] == "ok" or r["next"]) for r in rows)
    assert plain.returncode == int(any(r["status"] == "fail" for r in rows))
