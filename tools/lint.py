"""House rules that a machine can check: file sizes, where heavy libraries may be named, what the binary links, format,
clang-tidy. Prints each fault; returns 1 where there is any."""
import os
import pathlib
import re
import subprocess
import sys

MOST_LINES = 800
MOST_TORCH_FILES = 10

# (what, pattern, path prefixes where it is allowed)
BANNED = [
    ("libtorch belongs in src/train/torch", r'#\s*include\s+[<"](torch|ATen|c10)/', ("src/train/torch/",)),
    ("torch/torch.h, torch::nn and torch::optim cost too much compile time", r'#\s*include\s+<torch/torch\.h>|\btorch::(nn|optim)\b', ()),
    ("Arrow belongs in src/record/parquet", r'#\s*include\s+[<"](arrow|parquet)/', ("src/record/parquet/",)),
    ("environment variables are for secrets and RETORT_ISA", r"\bgetenv\(", ("src/app/secret_variable.cc", "src/app/cmd_doctor.cc", "src/kernels/")),
    ("unfinished work", r"\b(TODO|FIXME|XXX|HACK)\b", ()),
    ("libraries do not print", r"\b(printf|fprintf|puts|std::cout|std::cerr)\s*[(<]",
     ("src/app/", "src/base/check.cc", "src/base/progress.cc", "src/base/log.cc", "src/base/fuzz/", "bench/")),
    ("libraries are opened by base/open_module", r"\b(dlopen|dlsym|dladdr)\(", ("src/base/open_module.cc",)),
    ("what retort made is removed by base/folder.h, which asks whose it is", r"\bremove_all\(",
     ("src/base/", "src/model/weights_fixture.h", "src/eval/partial_fuzz.cc")),
    ("libraries do not end the process", r"\b(std::)?(exit|abort|quick_exit)\(", ("src/base/check.cc", "src/app/")),
    ("whole namespaces are not imported", r"^\s*using namespace (?!\w*literals|retort|unicode_tables)", ()),
]
# What the main binary must not need: these libraries are modules of their own, opened on first use.
MODULES_ONLY = ("torch", "c10", "arrow", "parquet", "mpi", "libpq")


def tracked(root, *patterns):
    out = subprocess.run(["git", "ls-files", *patterns], cwd=root, capture_output=True, text=True).stdout.split("\n")
    return [name for name in out if name and (root / name).exists()]


def house_rules(root):
    for name in tracked(root, "*.h", "*.cc", "*.ts", "*.py", "dev"):
        text = (root / name).read_text(errors="replace")
        lines = text.count("\n")
        if lines > MOST_LINES and "tables" not in name:
            yield f"{name}: {lines} lines, more than {MOST_LINES}; does it have one job?"
    for name in tracked(root, "src/*.h", "src/*.cc", "bench/*.cc"):
        text = (root / name).read_text(errors="replace")
        code = re.sub(r"//[^\n]*", "", text)
        for what, pattern, allowed in BANNED:
            if allowed and name.startswith(allowed):
                continue
            if name.endswith("_test.cc") and what.startswith(("libraries", "environment", "what retort made")):
                continue
            searched = text if what == "unfinished work" else code
            for match in re.finditer(pattern, searched, re.M):
                yield f"{name}:{searched.count(chr(10), 0, match.start()) + 1}: {match.group().strip()}: {what}"
        if name.endswith(".h") and not text.startswith("//"):
            yield f"{name}: no head comment: say in 2 to 6 lines what the file owns and why it is so"
        if name.endswith(".h") and not name.endswith("-inl.h") and "#pragma once" not in text:
            yield f"{name}: no #pragma once"
    torch_files = tracked(root, "src/train/torch/*")
    if len(torch_files) > MOST_TORCH_FILES:
        yield f"src/train/torch: {len(torch_files)} files, more than {MOST_TORCH_FILES}"


def binary_rules(root):
    program = root / "build" / "release" / "bin" / "retort"
    if not program.exists():
        return
    needed = subprocess.run(["readelf", "-d", program], capture_output=True, text=True).stdout
    for line in needed.splitlines():
        if "NEEDED" in line and any(word in line.lower() for word in MODULES_ONLY):
            yield f"{program.relative_to(root)} links {line.split('[')[-1].rstrip(']')}; it must be a module opened on first use"


def format_rules(root):
    files = tracked(root, "src/*.h", "src/*.cc", "tests/*.h", "bench/*.cc")
    tool = root / ".venv" / "bin" / "clang-format"
    for start in range(0, len(files), 100):
        run = subprocess.run([tool, "--dry-run", "--Werror", "--ferror-limit=1", *files[start:start + 100]], cwd=root, capture_output=True, text=True)
        for line in run.stderr.splitlines():
            if ": error:" in line:
                yield f"{line.split(': error:')[0]}: not formatted; run ./dev fmt"


def tidy_rules(root, everything):
    build = root / "build" / "release"
    if not (build / "compile_commands.json").exists():
        return
    if everything:
        files = tracked(root, "src/*.cc")
    else:
        changed = subprocess.run(["git", "diff", "--name-only", "HEAD", "--", "src/*.cc"], cwd=root, capture_output=True, text=True).stdout.split()
        files = [name for name in changed if (root / name).exists()]
    if not files:
        return
    tool = root / ".venv" / "bin" / "run-clang-tidy.py"
    run = subprocess.run([root / ".venv" / "bin" / "python", tool, "-quiet", "-clang-tidy-binary", root / ".venv" / "bin" / "clang-tidy",
                          "-p", build, f"-j{len(os.sched_getaffinity(0))}", *[f"{root}/{name}$" for name in files]],
                         cwd=root, capture_output=True, text=True)
    for line in run.stdout.splitlines():
        if re.search(r": (warning|error): ", line):
            yield line.replace(f"{root}/", "")


def main(root, everything=False):
    root = pathlib.Path(root)
    found = []
    for rules in (house_rules(root), binary_rules(root), format_rules(root), tidy_rules(root, everything)):
        for fault in rules:
            print(fault, flush=True)
            found.append(fault)
    print(f"lint: {len(found)} fault{'s' if len(found) != 1 else ''}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parent.parent, "--all" in sys.argv))
