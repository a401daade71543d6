"""Benchmarks beside their peers: `./dev bench NAME [--json]`. A row a case: what was done, our figure, the peer's (or the
machine's limit) measured in turns in the same run, the ratio of the medians, the mark it must reach, and whether it does.
A row of quantised weights counts only where their KL to fp32 is no worse than the peer's on the same text (beyond two
standard errors). A peer that is absent gives `met: unknown`. NAME: slice."""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import peers

TURNS = 3


def in_turns(ours, theirs):
    """Medians of TURNS runs of each, taken in turns; the peer's is None where it is absent."""
    mine, other = [], []
    for _ in range(TURNS):
        mine.append(ours())
        if theirs is not None:
            other.append(theirs())
    return statistics.median(mine), statistics.median(other) if other else None


def row(case, unit, ours, peer, peer_name, mark, quality=None):
    """`quality`: {"ours_kl", "peer_kl", "standard_error"}, to fp32 of the same weights."""
    ratio = None if peer is None else ours / peer
    good = quality is None or quality["ours_kl"] <= quality["peer_kl"] + 2 * quality["standard_error"]
    return {"case": case, "unit": unit, "ours": round(ours, 1), "peer": None if peer is None else round(peer, 1), "peer_name": peer_name,
            "ratio": None if ratio is None else round(ratio, 3), "mark": mark, "met": "unknown" if ratio is None else ratio >= mark and good,
            **({} if quality is None else {"quality": quality})}


class Slice:
    """Decoding and fine-tuning of SmolLM2-135M."""

    def __init__(self, root):
        self.root = root
        self.python = root / ".venv" / "bin" / "python"
        self.folder = peers.folder()

    def model(self, name):
        made = subprocess.run([self.python, self.root / "tools" / "models.py", name], capture_output=True, text=True, check=True)
        return made.stdout.split("\n")[-2]

    def decode(self, model, streams, steps):
        run = subprocess.run([self.root / "build" / "release" / "bin" / "slice_infer", model, str(streams), str(steps)],
                             capture_output=True, text=True, check=True)
        return json.loads(run.stdout)["tokens_per_second"]

    def llama(self, model):
        tool = self.folder / "llama.cpp" / "bin" / "llama-bench"
        if not tool.exists():
            return None

        def once():
            run = subprocess.run([tool, "-m", model, "-t", str(len(os.sched_getaffinity(0))), "-p", "0", "-n", "64", "-r", "1", "-o", "json"],
                                 capture_output=True, text=True, check=True)
            return json.loads(run.stdout)[0]["avg_ts"]
        return once

    def quality(self, model):
        """KL of a quantised file to fp32 of the same weights, ours and llama.cpp's, on 8 windows of worked solutions. The peer's
        repacking is off here: its AMX path for batches ends with an illegal instruction on some virtual machines."""
        tool = self.folder / "llama.cpp" / "bin" / "llama-perplexity"
        source = self.root.parent / "shared" / "data" / "gsm8k" / "train.jsonl"
        if not tool.exists() or not source.exists():
            return None
        with tempfile.TemporaryDirectory() as folder:
            text, base = pathlib.Path(folder) / "text", f"{folder}/base"
            rows = [json.loads(line) for line in source.open()]
            text.write_text("\n\n".join(f"{r['question']}\n{r['answer']}" for r in rows)[:30_000])

            def llama(file, *more):
                return subprocess.run([tool, "-m", file, "-f", text, "-c", "512", "--chunks", "8", "--no-repack", "--kl-divergence-base", base,
                                       *more],
                                      capture_output=True, text=True, check=True)
            llama(self.model("f32"))
            said = llama(model, "--kl-divergence").stdout
            run = subprocess.run([self.root / "build" / "release" / "bin" / "retort", "perplexity", "--model", model, "--reference",
                                  self.model("hf"), "--window", "512", "--stride", "512", "--context", "257", "--limit", str(8 * 512), "--json", text], capture_output=True, text=True, check=True)
            ours = json.loads(run.stdout)
            peer, error = re.search(r"Mean\s+KLD:\s+([0-9.]+)\s+±\s+([0-9.]+)", said).groups()
            return {"ours_kl": round(ours["kl_mean"], 6), "peer_kl": float(peer),
                    "standard_error": round((ours["kl_standard_error"] ** 2 + float(error) ** 2) ** 0.5, 6)}

    def transformers(self, model, streams):
        code = f"""
import time, torch
from transformers import AutoModelForCausalLM
torch.set_num_threads({len(os.sched_getaffinity(0))})
m = AutoModelForCausalLM.from_pretrained({str(model)!r}, dtype=torch.float32).eval()
x = torch.arange(100, 164).repeat({streams}, 1)
g = dict(do_sample=False, attention_mask=torch.ones_like(x), pad_token_id=2)
with torch.inference_mode():
    m.generate(x, max_new_tokens=2, min_new_tokens=2, **g)
    t = time.perf_counter(); m.generate(x, max_new_tokens=1, min_new_tokens=1, **g)
    t1 = time.perf_counter(); m.generate(x, max_new_tokens=33, min_new_tokens=33, **g); t2 = time.perf_counter()
print({streams} * 32 / ((t2 - t1) - (t1 - t)))
"""

        def once():
            run = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=True)
            return float(run.stdout.split()[-1])
        return once

    def examples(self, folder, count):
        """GSM8K's first worked solutions as examples, the rows that the peer's script trains on too."""
        rows = [json.loads(line) for line in (self.root.parent / "shared" / "data" / "gsm8k" / "train.jsonl").open()][:count]
        path = pathlib.Path(folder) / "examples.jsonl"
        with path.open("w") as out:
            for n, r in enumerate(rows):
                out.write(json.dumps({"id": f"gsm8k-{n}", "parents": [f"t{n}"], "prompt_id": f"p{n}", "reasoning": "", "content": r["answer"],
                                      "messages": [{"role": "user", "content": r["question"]}], "answer": "", "how": "reference", "task": "gsm8k",
                                      "teacher": "gsm8k", "permission_hash": ""}) + "\n")
        return path

    def sft(self):
        with tempfile.TemporaryDirectory() as folder:
            run = subprocess.run([self.root / "build" / "release" / "bin" / "retort", "train", "--examples", self.examples(folder, 16), "--base",
                                  self.model("hf"), "--out", f"{folder}/out", "--max_length", "512", "--batch_size", "4", "--max_steps", "4",
                                  "--checkpoint.every_s", "0", "--checkpoint.every_steps", "1000", "--quiet"], capture_output=True, text=True)
            if run.returncode != 0:
                raise SystemExit(f"bench: retort train failed: {run.stderr[-500:]}")
            log = [json.loads(line) for line in open(f"{folder}/out/train_log.jsonl")][1:]  # the peer leaves its first step out too
            return sum(r["tokens"] for r in log) / sum(r["seconds"] for r in log)

    def trl(self):
        python = self.folder / "trl" / "bin" / "python"
        script = self.root.parent / "shared" / "peers" / "03_trl_sft.py"
        if not python.exists() or not script.exists():
            return None

        def once():
            env = {**os.environ, "MODEL_HF": self.model("hf"), "GSM8K": str(self.root.parent / "shared" / "data" / "gsm8k")}
            run = subprocess.run([python, script, "fp32", "pad", "3"], capture_output=True, text=True, check=True, env=env, cwd=script.parent)
            return json.loads(re.search(r"RESULT (\{.*\})", run.stdout).group(1))["real_tok_s"]["med"]
        return once

    def rows(self):
        q8, hf = self.model("q8_0"), self.model("hf")
        yield row("SmolLM2-135M Q8_0, 1 stream, decode", "tokens/s", *in_turns(lambda: self.decode(q8, 1, 64), self.llama(q8)), "llama.cpp", 0.4,
                  self.quality(q8))
        yield row("SmolLM2-135M F32, 16 streams, decode", "tokens/s", *in_turns(lambda: self.decode(hf, 16, 32), self.transformers(hf, 16)),
                  "transformers fp32", 0.7)
        yield row("SmolLM2-135M SFT, 4 x 512, GSM8K", "real tokens/s", *in_turns(self.sft, self.trl()), "TRL defaults, fp32", 1.0)


BENCHES = {"slice": Slice}


def main(root, arguments):
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", choices=sorted(BENCHES))
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    given = parser.parse_args(arguments)
    failed = False
    for found in BENCHES[given.name](pathlib.Path(root)).rows():
        failed |= found["met"] is False
        if given.json:
            print(json.dumps(found), flush=True)
        else:
            peer = "peer absent; run ./dev peers" if found["peer"] is None else f"{found['peer_name']} {found['peer']}, ratio {found['ratio']}"
            kl = found.get("quality")
            kl = f"; KL to fp32 {kl['ours_kl']:.5f}, peer {kl['peer_kl']:.5f}" if kl else ""
            print(f"{found['case']:<40} {found['ours']:>8} {found['unit']:<14} {peer}{kl}; mark {found['mark']}: "
                  f"{ {True: 'met', False: 'not met', 'unknown': 'unknown'}[found['met']] }", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parent.parent, sys.argv[1:]))
