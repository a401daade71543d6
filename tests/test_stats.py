"""The committed golden values of src/stats are what SciPy says today (the C++ tests compare against them)."""
import json
import math

from conftest import ROOT
from make_stats_golden import golden


def same(a, b, where=""):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}/{i}")
    else:
        assert math.isclose(a, b, rel_tol=1e-10, abs_tol=1e-14), f"{where}: {a} != {b}"


def test_golden_values_are_scipys():
    committed = json.loads((ROOT / "tests" / "stats_golden.json").read_text())
    same(committed, json.loads(json.dumps(golden())))
    assert sum(len(rows) for rows in committed.values()) > 90
