"""Builds the peers that ../shared/peers measures, once, outside the checkout: llama.cpp from the sdist of llama-cpp-python,
and a Python environment with TRL. They serve `./dev bench` only. RETORT_PEERS names the folder (default: the user's cache)."""
import os
import pathlib
import subprocess
import sys
import tarfile

LLAMA_SDIST = "llama-cpp-python==0.3.36"
TORCH = "torch==2.13.0"
TRL = ["transformers==5.23.0", "trl==1.13.0", "peft==0.21.2", "accelerate==1.15.0", "datasets", "tokenizers", "gguf", "safetensors"]
TOOLS = ["llama-bench", "llama-batched-bench", "llama-perplexity", "llama-quantize"]


def folder():
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    return pathlib.Path(os.environ.get("RETORT_PEERS", f"{cache}/retort-peers"))


def run(*command, **kwargs):
    print("==", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True, **kwargs)


def build_llama(base, jobs):
    done = base / "llama.cpp" / "bin"
    if all((done / tool).exists() for tool in TOOLS):
        return
    base.mkdir(parents=True, exist_ok=True)
    run(base / "trl" / "bin" / "python", "-m", "pip", "download", "-q", "--no-binary", LLAMA_SDIST.split("==")[0], "--no-deps", "-d", base, LLAMA_SDIST)
    sdist = next(base.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(base / "source", filter="data")
    source = next((base / "source").glob("*/vendor/llama.cpp"))
    build = base / "llama.cpp"
    run("cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF",
        "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_SERVER=OFF", stdout=subprocess.DEVNULL)
    run("ninja", "-C", build, f"-j{jobs}", *TOOLS)


def build_trl(base):
    python = base / "trl" / "bin" / "python"
    if (base / "trl" / "done").exists():
        return
    run(sys.executable, "-m", "venv", base / "trl")
    run(python, "-m", "pip", "install", "-q", TORCH)
    run(python, "-m", "pip", "install", "-q", *TRL)
    (base / "trl" / "done").touch()


def main(root):
    base = folder()
    build_trl(base)
    build_llama(base, len(os.sched_getaffinity(0)))
    print(f"peers are ready in {base}")
    return 0
