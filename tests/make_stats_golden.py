"""Golden values for src/stats from SciPy, NumPy and Python's integers: `make_stats_golden.py > stats_golden.json`.

test_stats.py regenerates them and compares with the committed file, which the C++ tests read; so neither can drift.
"""
import json
import math

import numpy as np
from scipy import stats


def golden():
    rows = {}
    counts = [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (1, 30), (17, 50), (499, 500), (950, 1000), (1234, 98765)]
    rows["wilson"], rows["clopper_pearson"] = [], []
    for k, n in counts:
        for level in (0.8, 0.95, 0.999):
            for name, method in (("wilson", "wilson"), ("clopper_pearson", "exact")):
                ci = stats.binomtest(k, n).proportion_ci(level, method)
                rows[name].append({"k": k, "n": n, "confidence": level, "low": float(ci.low), "high": float(ci.high)})
    rows["binomial_test"] = [
        {"k": k, "n": n, "p": p, "value": float(stats.binomtest(k, n, p).pvalue)}
        for k, n, p in [(0, 1, .5), (0, 5, .5), (5, 5, .5), (3, 10, .5), (5, 10, .5), (40, 100, .5), (2, 20, .3),
                        (9, 20, .3), (6, 20, .3), (7, 7, .9), (0, 30, .1), (51, 235, 1 / 6), (700, 1500, .5), (3, 3, 0.01)]]
    rows["two_proportions"] = []
    for a, na, b, nb in [(5, 10, 2, 10), (56, 70, 48, 80), (0, 20, 9, 20), (480, 500, 455, 500), (30, 100, 30, 100)]:
        i, j = (stats.binomtest(k, n).proportion_ci(.95, "wilson") for k, n in ((a, na), (b, nb)))
        p, q = a / na, b / nb
        d = p - q
        chi2 = stats.chi2_contingency([[a, na - a], [b, nb - b]], correction=False)
        rows["two_proportions"].append({
            "a": a, "n_a": na, "b": b, "n_b": nb, "difference": d, "p_value": float(chi2.pvalue),
            "low": d - math.sqrt((p - i.low) ** 2 + (j.high - q) ** 2),
            "high": d + math.sqrt((i.high - p) ** 2 + (q - j.low) ** 2)})
    rng = np.random.default_rng(7)
    rows["mean_t"] = []
    for n in (2, 3, 12, 400):
        x = np.round(rng.normal(2, 3, n), 6)
        ci = stats.t.interval(.9, n - 1, loc=x.mean(), scale=stats.sem(x))
        rows["mean_t"].append({"values": x.tolist(), "confidence": .9, "mean": float(x.mean()),
                               "standard_error": float(stats.sem(x)), "low": float(ci[0]), "high": float(ci[1])})
    rows["clustered_mean"] = []
    for sizes in ([4] * 9, [1, 5, 2, 8, 3, 3]):
        xs = [np.round(rng.normal(rng.normal(), .5, n), 6) for n in sizes]
        m = np.concatenate(xs).mean()
        g = len(xs)
        se = math.sqrt(g / (g - 1) * sum(((x - m).sum()) ** 2 for x in xs)) / sum(sizes)
        ci = stats.t.interval(.95, g - 1, loc=m, scale=se)
        rows["clustered_mean"].append({"clusters": [x.tolist() for x in xs], "confidence": .95, "mean": float(m),
                                       "standard_error": se, "low": float(ci[0]), "high": float(ci[1])})
    rows["pass_at_k"] = [{"n": n, "c": c, "k": k, "value": float(1 - math.comb(n - c, k) / math.comb(n, k))}
                         for n, c, k in [(1, 0, 1), (1, 1, 1), (8, 0, 8), (8, 1, 8), (8, 1, 1), (8, 3, 4), (10, 2, 5), (200, 13, 100)]]
    rows["paired_permutation"] = []
    for n in (3, 8, 13):
        x = np.round(rng.normal(.4, 1, n), 1)
        test = stats.permutation_test((x,), lambda v, axis=0: np.sum(v, axis=axis), permutation_type="samples",
                                      n_resamples=np.inf, vectorized=True)
        rows["paired_permutation"].append({"values": x.tolist(), "p_value": float(test.pvalue)})
    x = np.sort(np.round(rng.normal(size=11), 4))
    rows["quantile"] = [{"values": x.tolist(), "q": q, "value": float(np.quantile(x, q))} for q in (0, .025, .5, .9, 1)]
    return rows


if __name__ == "__main__":
    print(json.dumps(golden(), indent=1))
