"""The house's own rules fail when they are broken."""
import json
import shutil
import subprocess
import sys

from conftest import ROOT, program

sys.path.insert(0, str(ROOT / "tools"))
import layers  # noqa: E402
import lint  # noqa: E402


def plant(tmp_path, module_lines, files):
    tmp_path.mkdir(parents=True, exist_ok=True)
    (tmp_path / "CMakeLists.txt").write_text("\n".join(module_lines))
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(layers.violations(tmp_path))


def test_layers_hold():
    assert list(layers.violations(ROOT / "src")) == []


def test_layers_catch_planted_violations(tmp_path):
    lines = ["retort_module(base LIBS fmt)", "retort_module(net USES base LIBS curl)", "retort_module(app USES base)"]
    good = {"base/a.h": "", "net/b.cc": '#include "base/a.h"\n#include "net/b.h"\n', "app/c.cc": '#include "base/a.h"\n'}
    assert plant(tmp_path / "good", lines, good) == []
    upward = plant(tmp_path / "upward", lines, {**good, "base/a.h": '#include "net/b.h"\n'})
    assert upward == ["src/base/a.h:1: base may not include net; its line names: nothing"]
    unnamed = plant(tmp_path / "unnamed", lines, {**good, "app/c.cc": '// x\n#include "net/b.h"\n'})
    assert unnamed == ["src/app/c.cc:2: app may not include net; its line names: base"]
    order = plant(tmp_path / "order", ["retort_module(base USES net)", *lines[1:]], good)
    assert order == ["src/CMakeLists.txt: base uses net, which is not on an earlier line"]
    stray = plant(tmp_path / "stray", lines, {**good, "extra/d.cc": ""})
    assert stray == ["src/extra: no module of that name in src/CMakeLists.txt"]


def test_layers_catch_a_violation_in_this_tree(tmp_path):
    """The real tree with one line added: the check must end with 1."""
    copy = tmp_path / "tree"
    (copy / "src").parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", ROOT / "src", copy / "src"], check=True)
    subprocess.run(["cp", "-r", ROOT / "tools", copy / "tools"], check=True)
    header = copy / "src" / "base" / "result.h"
    header.write_text(header.read_text() + '#include "app/command.h"\n')
    run = subprocess.run([sys.executable, copy / "tools" / "layers.py"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "base may not include app" in run.stdout


def tree(root, files):
    """A git checkout with these files under src/curate (or where a name says)."""
    for name, text in files.items():
        path = root / (name if "/" in name else f"src/curate/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    return root


# For each rule of lint.BANNED, in its order, a line that breaks it.
BANNED = ["#include <ATen/ATen.h>", "auto x = torch::nn::Linear(1, 2);", "#include <arrow/api.h>", 'const char* home = getenv("HOME");',
          "// TO" + "DO: later", 'printf("x");', 'void* h = dlopen("x.so", 1);', "env.remove_all(path);",
          "std::exit(1);", "using namespace std;"]


def test_lint_catches_every_banned_pattern(tmp_path):
    assert len(BANNED) == len(lint.BANNED)
    for i, (line, (what, _, _)) in enumerate(zip(BANNED, lint.BANNED)):
        root = tree(tmp_path / str(i), {"x.cc": f"int x;\n{line}\n"})
        faults = list(lint.house_rules(root))
        assert len(faults) == 1 and faults[0].startswith("src/curate/x.cc:2: ") and faults[0].endswith(what), (line, faults)
    good = tree(tmp_path / "good", {"x.cc": "// a line that says printf( and exit(\nint x;\n", "x_test.cc": 'void f() { printf("x"); }\n'})
    assert list(lint.house_rules(good)) == []


def test_lint_catches_long_and_headless_files(tmp_path):
    root = tree(tmp_path, {"x.cc": "\n" * 801, "a.h": "#pragma once\n", "b.h": "// What b owns.\n", **{f"src/train/torch/{i}.cc": "" for i in range(11)}})
    faults = "\n".join(lint.house_rules(root))
    for expected in ("x.cc: 801 lines", "a.h: no head comment", "b.h: no #pragma once", "src/train/torch: 11 files"):
        assert expected in faults, faults
    assert faults.count("\n") == 3


def with_tools(root):
    (root / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(ROOT / ".clang-format", root)
    shutil.copy(ROOT / ".clang-tidy", root)
    return root


def test_lint_catches_what_is_not_formatted(tmp_path):
    root = with_tools(tree(tmp_path, {"x.cc": "int   x ;\n", "y.cc": "int y;\n"}))
    assert [fault.split(":")[0] for fault in lint.format_rules(root)] == ["src/curate/x.cc"]


def test_lint_catches_what_tidy_does(tmp_path):
    source = "#include <string>\n#include <utility>\nint f(std::string s) {\n  std::string t = std::move(s);\n  return static_cast<int>(s.size() + t.size());\n}\n"
    root = with_tools(tree(tmp_path, {"x.cc": source}))
    build = root / "build" / "release"
    build.mkdir(parents=True)
    (build / "compile_commands.json").write_text(json.dumps(
        [{"directory": str(build), "file": str(root / "src/curate/x.cc"), "command": f"c++ -std=c++20 -c {root}/src/curate/x.cc"}]))
    faults = list(lint.tidy_rules(root, everything=True))
    assert faults and any("use-after-move" in fault for fault in faults), faults


def test_lint_catches_a_heavy_binary(tmp_path):
    build = tmp_path / "build" / "release" / "bin"
    build.mkdir(parents=True)
    (tmp_path / "p.c").write_text("int parquet(void) { return 0; }\n")
    (tmp_path / "m.c").write_text("int parquet(void);\nint main(void) { return parquet(); }\n")
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "p.c", "-o", tmp_path / "libparquet.so"], check=True)
    subprocess.run(["cc", tmp_path / "m.c", f"-L{tmp_path}", "-lparquet", "-o", build / "retort"], check=True)
    assert list(lint.binary_rules(tmp_path)) == ["build/release/bin/retort links libparquet.so; it must be a module opened on first use"]


def test_binary_links_no_heavy_library():
    needed = subprocess.run(["readelf", "-d", program()], capture_output=True, text=True, check=True).stdout.lower()
    assert "needed" in needed
    for word in lint.MODULES_ONLY:
        assert f"[lib{word}" not in needed and f"[{word}" not in needed, needed
