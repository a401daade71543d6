"""The kernels on 64-bit Arm: cross-compiled with their own test and run under an emulator, each instruction set bit by bit
against the scalar reference. On such a machine itself kernels_test does the same, without this file."""
import concurrent.futures
import os
import platform
import re
import shutil
import subprocess

import pytest

from conftest import ROOT

COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
LIBRARIES = "/usr/aarch64-linux-gnu"
GTEST = "/usr/src/googletest/googletest"
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-ffp-contract=off", "-DFMT_HEADER_ONLY", "-I", ROOT / "src"]


@pytest.fixture(scope="module")
def kernels_test(tmp_path_factory):
    """kernels_test for aarch64."""
    if platform.machine() != "x86_64" or shutil.which("dpkg-query") is None:
        pytest.skip("cross-compiles on Debian for x86-64 only; elsewhere kernels_test runs what the machine has")
    for tool in (COMPILER, EMULATOR):
        assert shutil.which(tool), f"{tool} is missing; run ./dev setup"
    folder = tmp_path_factory.mktemp("aarch64")
    headers = folder / "include"  # of these libraries only: the rest of /usr/include is for x86
    headers.mkdir()
    for library in ("fmt", "gtest", "hwy"):
        (headers / library).symlink_to(f"/usr/include/{library}")
    sources = [*sorted((ROOT / "src" / "kernels").glob("*.cc")), *(ROOT / "src" / "base" / f"{name}.cc" for name in ("check", "random", "task_pool")),
               f"{GTEST}/src/gtest-all.cc", f"{GTEST}/src/gtest_main.cc"]
    ccache = ["ccache"] if shutil.which("ccache") else []

    def compile_one(numbered):
        number, source = numbered
        result = folder / f"{number}.o"
        subprocess.run([*ccache, COMPILER, *FLAGS, "-isystem", headers, "-I", GTEST, "-c", source, "-o", result], check=True)
        return result

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, enumerate(sources)))
    program = folder / "kernels_test"
    subprocess.run([COMPILER, *objects, "-o", program], check=True)
    return program


def run(program, cpu, chosen="*"):
    """The tests on an emulated CPU: {instruction set: how many of its tests were done, not skipped}."""
    done = subprocess.run([EMULATOR, "-L", LIBRARIES, "-cpu", cpu, program, f"--gtest_filter={chosen}"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.findall(r"^\[ +OK \] Kernels/EachIsa\.\w+/(\w+)", done.stdout, re.M)
    return {name: passed.count(name) for name in passed}


def test_every_instruction_set_equals_the_reference(kernels_test):
    passed = run(kernels_test, "max")
    assert passed.keys() == {"scalar", "neon", "dotprod"}
    assert len(set(passed.values())) == 1 and passed["neon"] >= 5, passed


def test_a_core_without_extensions_runs_the_plain_version(kernels_test):
    passed = run(kernels_test, "cortex-a53", "*neon:*dotprod:*EachKind*:Dispatch*")  # an illegal instruction would end it
    assert passed.keys() == {"neon"}
