"""The house's own rules fail when they are broken."""
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


def test_lint_catches_planted_faults(tmp_path):
    (tmp_path / "src" / "curate").mkdir(parents=True)
    bad = tmp_path / "src" / "curate" / "x.cc"
    bad.write_text("#include <torch/torch.h>\nvoid f() { printf(\"x\"); }\n" + "\n" * 900)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    faults = "\n".join(lint.house_rules(tmp_path))
    for expected in ("902 lines", "libtorch belongs", "libraries do not print"):
        assert expected in faults, faults


def test_binary_links_no_heavy_library():
    needed = subprocess.run(["readelf", "-d", program()], capture_output=True, text=True, check=True).stdout.lower()
    assert "needed" in needed
    for word in lint.MODULES_ONLY:
        assert f"[lib{word}" not in needed and f"[{word}" not in needed, needed
