// The plots: one function a figure, each an SVG from Observable Plot in a labelled <figure>.
import * as Plot from "@observablehq/plot";
import { useEffect, useRef } from "preact/hooks";

import type { Evaluation, Lengths, Selection, Training } from "./data";
import { count, percent } from "./format";

const PALETTE = ["#2f6f8f", "#c2762d", "#6a8f3c", "#8a4f7d", "#b2473e", "#4d5f9e"];

function Figure({ id, caption, plot }: { id: string; caption: string; plot: () => Element }) {
  const holder = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const made = plot();
    holder.current?.replaceChildren(made);
    return () => made.remove();
  }, []);
  return (
    <figure id={id} class="plot">
      <div ref={holder} />
      <figcaption>{caption}</figcaption>
    </figure>
  );
}

const STYLE = { fontFamily: "inherit", fontSize: "13px", background: "none", overflow: "visible" };

export function AccuracyPlot({ evals }: { evals: Evaluation[] }) {
  const rows = evals.flatMap((e) =>
    (e.tasks.length > 1 ? [...e.tasks, { ...e.overall, task: "all" }] : e.tasks).map((t) => ({ ...t, label: e.label })));
  const tasks = new Set(rows.map((row) => row.task));
  return (
    <Figure id="plot-accuracy" caption="Accuracy at the first answer with its 95 % interval." plot={() =>
      Plot.plot({
        style: STYLE,
        width: 820,
        height: 60 + tasks.size * (22 + 16 * evals.length),
        marginLeft: 10,
        marginRight: 60,
        x: { domain: [0, 1], tickFormat: (v: number) => `${Math.round(v * 100)} %`, label: null, grid: true },
        y: { domain: evals.map((e) => e.label), axis: null },
        fy: { label: null, padding: 0.25 },
        color: { domain: evals.map((e) => e.label), range: PALETTE, legend: true },
        marks: [
          Plot.ruleY(rows, { y: "label", x1: "low", x2: "high", fy: "task", stroke: "label", strokeWidth: 3, strokeOpacity: 0.45 }),
          Plot.dot(rows, { x: "pass1", y: "label", fy: "task", fill: "label", r: 5,
            title: (d) => `${d.label}, ${d.task}: ${percent(d.pass1)} (${percent(d.low)} to ${percent(d.high)}), n = ${d.n}` }),
          Plot.text(rows, { x: "high", y: "label", fy: "task", text: (d) => percent(d.pass1), dx: 8, textAnchor: "start", fill: "currentColor" }),
        ],
      })} />
  );
}

export function LossPlot({ training }: { training: Training[] }) {
  const rows = training.flatMap((t) => t.points.map((p) => ({ ...p, label: t.label })));
  return (
    <Figure id="plot-loss" caption="Training loss (nats a target token) over training tokens." plot={() =>
      Plot.plot({
        style: STYLE,
        width: 820,
        height: 300,
        x: { label: "tokens", tickFormat: (v: number) => count(v), grid: true },
        y: { type: "log", label: "loss", grid: true, tickFormat: (v: number) => String(v) },
        color: { domain: training.map((t) => t.label), range: PALETTE, legend: true },
        marks: [Plot.lineY(rows, { x: "tokens", y: "loss", stroke: "label", strokeWidth: 1.8 })],
      })} />
  );
}

export function LengthsPlot({ lengths }: { lengths: Lengths[] }) {
  const rows = lengths.flatMap((l) => l.bins.map((b) => ({ ...b, label: l.label })));
  return (
    <Figure id="plot-lengths" caption={`Lengths of the answers in ${lengths[0]?.unit ?? "tokens"}, thought included.`} plot={() =>
      Plot.plot({
        style: STYLE,
        width: 820,
        height: 70 + 110 * lengths.length,
        marginRight: 140,
        x: { label: lengths[0]?.unit ?? "tokens" },
        y: { label: null, grid: true, ticks: 3 },
        fy: { label: null },
        marks: [Plot.rectY(rows, { x1: "low", x2: "high", y: "count", fy: "label", fill: PALETTE[0]!, inset: 0.5 }), Plot.ruleY([0])],
      })} />
  );
}

export function RejectionsPlot({ selections }: { selections: Selection[] }) {
  const rows = selections.flatMap((s) =>
    Object.entries(s.reasons).map(([reason, n]) => ({ step: s.step, reason: reason.replaceAll("_", " "), n })));
  return (
    <Figure id="plot-rejections" caption="What was left out, by step and reason." plot={() =>
      Plot.plot({
        style: STYLE,
        width: 820,
        height: 60 + 26 * rows.length,
        marginLeft: 130,
        marginRight: 90,
        x: { label: "records", grid: true },
        y: { label: null },
        fy: { label: null },
        marks: [
          Plot.barX(rows, { x: "n", y: "reason", fy: "step", fill: PALETTE[1]!, sort: { y: "-x" } }),
          Plot.text(rows, { x: "n", y: "reason", fy: "step", text: (d) => String(d.n), dx: 6, textAnchor: "start" }),
          Plot.ruleX([0]),
        ],
      })} />
  );
}
