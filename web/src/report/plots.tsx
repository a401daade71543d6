// The plots: one function a figure, each an SVG from Observable Plot in a <figure>, drawn for the width that it has and
// again when that changes. Colours are the style sheet's variables, so that both colour schemes read well.
import * as Plot from "@observablehq/plot";
import { useEffect, useRef } from "preact/hooks";

import type { Cost, Evaluation, Lengths, Selection, Training } from "./data";
import { count, dollars, duration, percent } from "./format";

const PALETTE = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)"];
const STYLE = { fontFamily: "inherit", fontSize: "13px", background: "none", color: "var(--ink)" };
const LEAST_WIDTH = 320;

function Figure({ id, caption, plot }: { id: string; caption: string; plot: (width: number) => Element }) {
  const holder = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const node = holder.current!;
    let drawn = 0;
    const draw = () => {
      const width = Math.max(LEAST_WIDTH, Math.floor(node.clientWidth));
      if (width === drawn) return;
      drawn = width;
      node.replaceChildren(plot(width));
    };
    draw();
    const watch = new ResizeObserver(draw);
    watch.observe(node);
    return () => watch.disconnect();
  }, []);
  return (
    <figure id={id} class="plot">
      <figcaption>{caption}</figcaption>
      <div ref={holder} />
    </figure>
  );
}

/** Room for labels on the left: about 7 px a character at 13 px, at most a third of the plot. */
function labelMargin(labels: string[], width: number): number {
  const longest = Math.max(4, ...labels.map((label) => label.length));
  return Math.min(Math.floor(width / 3), 18 + 7.3 * longest);
}

/** A label that fits into a margin made by labelMargin. */
function fitted(label: string, width: number): string {
  return shortened(label, width / 3 - 18, 7.3);
}

function shortened(label: string, room: number, perCharacter: number): string {
  const most = Math.floor(room / perCharacter);
  return label.length <= most ? label : `${label.slice(0, most - 1)}…`;
}

/** A count for an axis: 2 M, not 2.00 M. */
function roundCount(value: number): string {
  return count(value).replace(/(\.\d*?)0+ /, "$1 ").replace(". ", " ");
}

export function AccuracyPlot({ evals }: { evals: Evaluation[] }) {
  const rows = evals.flatMap((e) =>
    (e.tasks.length > 1 ? [{ ...e.overall, task: "all" }, ...e.tasks] : [e.overall]).map((t) => ({ ...t, label: e.label })));
  const tasks = [...new Set(rows.map((row) => row.task))];
  const labels = evals.map((e) => e.label);
  return (
    <Figure id="plot-accuracy" caption="Right at the first answer, with 95 % intervals" plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 48 + tasks.length * (16 + 20 * labels.length),
        marginLeft: labelMargin(tasks, width),
        marginRight: 72,
        marginTop: 4,
        marginBottom: 34,
        x: { domain: [0, 1], tickFormat: (v: number) => `${Math.round(v * 100)} %`, label: null, grid: true, ticks: width < 500 ? [0, 0.5, 1] : 5 },
        y: { domain: labels, axis: null, padding: 0.3 },
        fy: { domain: tasks, label: null, padding: 0.2, axis: "left", tickFormat: (t: string) => fitted(t, width) },
        color: { domain: labels, range: PALETTE, legend: true },
        marks: [
          Plot.ruleX([0], { stroke: "var(--line)" }),
          Plot.ruleY(rows, { y: "label", x1: "low", x2: "high", fy: "task", stroke: "label", strokeWidth: 3, strokeOpacity: 0.4 }),
          Plot.dot(rows, { x: "pass1", y: "label", fy: "task", fill: "label", r: 5,
            title: (d) => `${d.label}, ${d.task}: ${percent(d.pass1)} (${percent(d.low)} to ${percent(d.high)}), n = ${d.n}` }),
          Plot.text(rows, { x: (d) => Math.max(d.high, d.pass1 + 0.01), y: "label", fy: "task", text: (d) => percent(d.pass1), dx: 7,
            textAnchor: "start", fill: "currentColor" }),
        ],
      })} />
  );
}

export function LossPlot({ training }: { training: Training[] }) {
  const rows = training.flatMap((t) => t.points.map((p) => ({ ...p, label: t.label })));
  return (
    <Figure id="plot-loss" caption="Loss, nats a target token, over the training tokens seen" plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 300,
        marginLeft: 52,
        marginRight: 24,
        marginBottom: 34,
        x: { label: null, tickFormat: (v: number) => roundCount(v), ticks: width < 500 ? 4 : 8 },
        y: { type: "log", label: null, grid: true, ticks: 6, tickFormat: (v: number) => String(Number(v.toPrecision(2))) },
        color: { domain: training.map((t) => t.label), range: PALETTE, legend: true },
        marks: [
          Plot.lineY(rows, { x: "tokens", y: "loss", stroke: "label", strokeWidth: 1.8 }),
          Plot.dot(rows, Plot.selectLast({ x: "tokens", y: "loss", z: "label", fill: "label", r: 3.5,
            title: (d) => `${d.label}: loss ${d.loss.toPrecision(3)} at the end` })),
        ],
      })} />
  );
}

export function LengthsPlot({ lengths }: { lengths: Lengths[] }) {
  const rows = lengths.flatMap((l) => l.bins.filter((b) => b.count > 0).map((b) => ({ ...b, label: l.label })));
  const labels = lengths.map((l) => l.label);
  const longest = Math.max(1, ...rows.map((row) => row.high));
  const narrowest = Math.min(longest, ...rows.map((row) => row.high - row.low));
  const gap = (width: number) => ((width * narrowest) / longest > 6 ? 0.5 : 0);
  const unit = lengths[0]?.unit ?? "tokens";
  return (
    <Figure id="plot-lengths" caption={`Answers by their length in ${unit}, thought included`} plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 60 + 108 * lengths.length,
        marginLeft: 52,
        marginRight: 16,
        marginTop: 24,
        marginBottom: 34,
        x: { domain: [0, longest], label: null, ticks: width < 500 ? 5 : 10 },
        y: { label: null, grid: true, ticks: 3 },
        fy: { domain: labels, axis: null, padding: 0.3 },
        color: { domain: labels, range: PALETTE },
        marks: [
          Plot.rectY(rows, { x1: "low", x2: "high", y: "count", fy: "label",
            fill: "label", insetLeft: gap(width), insetRight: gap(width), title: (d) => `${d.label}: ${d.count} of ${d.low} to ${d.high - 1} ${unit}` }),
          Plot.ruleY([0], { stroke: "var(--quiet)" }),
          Plot.text(labels, { fy: (d) => d, text: (d) => shortened(d, width - 80, 8.6), frameAnchor: "top-right", dy: -17, fill: "currentColor", fontWeight: 600 }),
        ],
      })} />
  );
}

export function RejectionsPlot({ selections }: { selections: Selection[] }) {
  const rows = selections.flatMap((s) =>
    Object.entries(s.reasons).map(([reason, n]) => ({ step: s.step, reason: reason.replaceAll("_", " "), n })));
  const totals = new Map<string, number>();
  for (const row of rows) totals.set(row.reason, (totals.get(row.reason) ?? 0) + row.n);
  const reasons = [...totals.keys()].sort((a, b) => totals.get(b)! - totals.get(a)!);
  const steps = selections.map((s) => s.step);
  return (
    <Figure id="plot-rejections" caption="Records left out, by reason and step" plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 40 + reasons.length * (10 + 18 * steps.length),
        marginLeft: labelMargin(reasons, width),
        marginRight: 58,
        marginTop: 4,
        marginBottom: 34,
        x: { label: null, grid: true, tickFormat: (v: number) => roundCount(v), ticks: width < 500 ? 4 : 8 },
        y: { domain: steps, axis: null, padding: 0.15 },
        fy: { domain: reasons, label: null, padding: 0.2, axis: "left", tickFormat: (r: string) => fitted(r, width) },
        color: { domain: steps, range: PALETTE, legend: true },
        marks: [
          Plot.barX(rows, { x: "n", y: "step", fy: "reason", fill: "step", title: (d) => `${d.step}: ${d.reason} ${d.n}` }),
          Plot.text(rows, { x: "n", y: "step", fy: "reason", text: (d) => String(d.n), dx: 6, textAnchor: "start", fill: "currentColor" }),
          Plot.ruleX([0], { stroke: "var(--quiet)" }),
        ],
      })} />
  );
}

export function TimePlot({ cost }: { cost: Cost[] }) {
  const steps = cost.map((c) => c.step);
  return (
    <Figure id="plot-time" caption="Time by step" plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 40 + 24 * steps.length,
        marginLeft: labelMargin(steps, width),
        marginRight: 84,
        marginTop: 4,
        marginBottom: 34,
        x: { label: null, grid: true, tickFormat: (v: number) => (v < 10 ? `${v} s` : duration(v)), ticks: width < 500 ? 2 : 5 },
        y: { domain: steps, label: null, tickFormat: (s: string) => fitted(s, width), tickSize: 0 },
        marks: [
          Plot.barX(cost, { x: "seconds", y: "step", fill: PALETTE[0]!, insetTop: 2, insetBottom: 2 }),
          Plot.text(cost, { x: "seconds", y: "step", text: (d) => duration(d.seconds), dx: 6, textAnchor: "start", fill: "currentColor" }),
          Plot.ruleX([0], { stroke: "var(--quiet)" }),
        ],
      })} />
  );
}

export function SpendPlot({ cost }: { cost: Cost[] }) {
  const paying = cost.filter((c) => c.usd_micros > 0);
  const parts: [string, (c: Cost) => number][] = [
    ["for answers", (c) => c.usd_micros - c.possibly_usd_micros - c.wasted_usd_micros],
    ["for failed work", (c) => c.wasted_usd_micros],
    ["possibly charged", (c) => c.possibly_usd_micros],
  ];
  const rows = paying.flatMap((c) => parts.map(([part, of]) => ({ step: c.step, part, micros: of(c) }))).filter((r) => r.micros > 0);
  const steps = paying.map((c) => c.step);
  return (
    <Figure id="plot-spend" caption="Paid by step" plot={(width) =>
      Plot.plot({
        style: STYLE,
        width,
        height: 40 + 28 * steps.length,
        marginLeft: labelMargin(steps, width),
        marginRight: 84,
        marginTop: 4,
        marginBottom: 34,
        x: { label: null, grid: true, tickFormat: (v: number) => `$${Number((v / 1e6).toPrecision(3))}`, ticks: width < 500 ? 2 : 5 },
        y: { domain: steps, label: null, tickFormat: (s: string) => fitted(s, width), tickSize: 0 },
        color: { domain: parts.map(([part]) => part), range: [PALETTE[0]!, PALETTE[4]!, PALETTE[1]!], legend: true },
        marks: [
          Plot.barX(rows, { x: "micros", y: "step", fill: "part", insetTop: 3, insetBottom: 3,
            title: (d) => `${d.step}: ${dollars(d.micros)} ${d.part}` }),
          Plot.text(paying, { x: "usd_micros", y: "step", text: (d) => dollars(d.usd_micros), dx: 6, textAnchor: "start", fill: "currentColor" }),
          Plot.ruleX([0], { stroke: "var(--quiet)" }),
        ],
      })} />
  );
}
