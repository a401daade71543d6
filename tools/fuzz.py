"""Runs the libFuzzer targets of build/fuzz, each for a bounded time from the seeds that its quick form in build/release
writes. What a search has learned stays in build/fuzz/corpus; inputs that break a target go to build/fuzz/crashes."""
import concurrent.futures
import pathlib
import subprocess

LIMITS = ["-timeout=20", "-rss_limit_mb=3072", "-print_final_stats=1"]  # of one input: seconds, MiB


def search(root, name, seconds):
    """Returns (runs, output, crash files) of one target's search."""
    fuzz = root / "build" / "fuzz"
    corpus, crashes = fuzz / "corpus" / name, fuzz / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    subprocess.run([root / "build" / "release" / "bin" / name, "--seeds", corpus], check=True)
    before = set(crashes.iterdir())
    done = subprocess.run([fuzz / "bin" / name, f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/{name}-", *LIMITS, corpus],
                          cwd=crashes, capture_output=True, text=True, errors="replace")
    new = sorted(path for path in set(crashes.iterdir()) - before if path.name.startswith(name) and "-slow-unit-" not in path.name)
    runs = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    return int(runs[0]) if runs else 0, done.stderr if done.returncode != 0 else "", new


def main(root, seconds, names, workers):
    root = pathlib.Path(root)
    targets = sorted(path.name for path in (root / "build" / "fuzz" / "bin").glob("*_fuzz"))
    targets = [target for target in targets if not names or any(name in target for name in names)]
    if not targets:
        print(f"fuzz: no target is named like {' or '.join(names)}")
        return 1
    broken = 0
    print(f"== fuzzing {len(targets)} parsers for {seconds} s each", flush=True)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        found = {pool.submit(search, root, target, seconds): target for target in targets}
        for future in concurrent.futures.as_completed(found):
            target = found[future]
            runs, output, crashes = future.result()
            print(f"{target}: {runs} inputs{', BROKEN' if output else ''}", flush=True)
            if output:
                broken += 1
                print(output[-4000:])
                for crash in crashes:
                    print(f"{target} breaks on {crash.relative_to(root)}; see it again: build/release/bin/{target} {crash.relative_to(root)}")
    print(f"fuzz: {broken} of {len(targets)} parsers broken")
    return 1 if broken else 0
