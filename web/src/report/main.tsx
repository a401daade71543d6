// The report page: reads the JSON that retort put into the document and lays it out. Every number shown is a number of
// that JSON (formatted), which tests/test_report.py checks.
import { render, type ComponentChildren } from "preact";

import type { Comparison, Cost, Evaluation, Rejects, Report, Sample, SampleAnswer } from "./data";
import { count, dollars, duration, percent, points, pValue } from "./format";
import { LineageGraph } from "./lineage";
import { AccuracyPlot, LengthsPlot, LossPlot, RejectionsPlot, SpendPlot, TimePlot } from "./plots";
import "./style.css";

function Card({ value, children, wide }: { value: string; children: ComponentChildren; wide?: boolean }) {
  return (
    <div class={wide ? "card wide" : "card"}>
      <div class="big">{value}</div>
      <div>{children}</div>
    </div>
  );
}

function Headline({ report }: { report: Report }) {
  const best = report.comparisons[0];
  const find = (label: string) => report.evals.find((e) => e.label === label);
  const before = best && find(best.a);
  const after = best && find(best.b);
  const only = report.evals.length === 1 ? report.evals[0] : undefined;
  const tokens = report.training.reduce((sum, t) => sum + t.tokens, 0);
  const training = report.training.reduce((sum, t) => sum + t.seconds, 0);
  const spent = report.cost.reduce((sum, c) => sum + c.usd_micros, 0);
  return (
    <div class="cards">
      {before && after && (
        <Card wide value={`${percent(before.overall.pass1)} → ${percent(after.overall.pass1)}`}>
          {before.label} → {after.label}, on {after.overall.n} held-out problems
        </Card>
      )}
      {only && <Card wide value={percent(only.overall.pass1)}>{only.label}, on {only.overall.n} held-out problems</Card>}
      {report.training.length > 0 && <Card value={count(tokens)}>training tokens in {duration(training)}</Card>}
      <Card value={dollars(spent)}>paid to teachers</Card>
      <Card value={duration(report.run.seconds)}>all steps, on {report.run.threads} threads</Card>
    </div>
  );
}

interface Column<Row> {
  head: string;
  of: (row: Row) => ComponentChildren;
  text?: boolean; // left-aligned, may wrap
}

/** A table that scrolls inside its own box where the page is narrower than it. */
function Table<Row>({ id, columns, rows, mark }: { id: string; columns: Column<Row>[]; rows: Row[]; mark?: (row: Row) => string }) {
  return (
    <div class="scroll" tabIndex={0}>
      <table id={id}>
        <thead><tr>{columns.map((c) => <th class={c.text ? "" : "n"}>{c.head}</th>)}</tr></thead>
        <tbody>{rows.map((row) => <tr class={mark?.(row) ?? ""}>{columns.map((c) => <td class={c.text ? "" : "n"}>{c.of(row)}</td>)}</tr>)}</tbody>
      </table>
    </div>
  );
}

function AccuracyTable({ evals }: { evals: Evaluation[] }) {
  const rows = evals.flatMap((e) => [
    { e, t: e.overall, all: true },
    ...(e.tasks.length > 1 ? e.tasks.map((t) => ({ e, t, all: false })) : []),
  ]);
  type Row = (typeof rows)[number];
  const columns: Column<Row>[] = [
    { head: "model", text: true, of: ({ e, all }) => (all ? e.label : "") },
    { head: "task", text: true, of: ({ e, t, all }) => (all && e.tasks.length > 1 ? "all" : t.task) },
    { head: "problems", of: ({ t }) => t.n },
    { head: "answers each", of: ({ t }) => t.samples },
    { head: "pass@1", of: ({ t }) => <b>{percent(t.pass1)}</b> },
    { head: "95 % interval", of: ({ t }) => `${percent(t.low)} to ${percent(t.high)}` },
    { head: "majority", of: ({ t }) => (t.maj === undefined ? "" : percent(t.maj)) },
    { head: "tokens an answer", of: ({ e, all }) => (all ? e.mean_tokens.toFixed(1) : "") },
    { head: "cut off", of: ({ e, all }) => (all ? percent(e.truncated) : "") },
  ];
  const votes = evals.some((e) => e.overall.maj !== undefined);
  return <Table id="table-accuracy" rows={rows} columns={columns.filter((c) => votes || c.head !== "majority")} mark={({ all }) => (all ? "first" : "sub")} />;
}

function Comparisons({ rows }: { rows: Comparison[] }) {
  return (
    <Table id="table-comparisons" rows={rows} mark={(c) => (c.task === "all" ? "first" : "sub")} columns={[
      { head: "from → to", text: true, of: (c) => (c.task === "all" ? `${c.a} → ${c.b}` : "") },
      { head: "task", text: true, of: (c) => c.task },
      { head: "problems", of: (c) => c.n },
      { head: "points", of: (c) => <b>{points(c.difference)}</b> },
      { head: "95 % interval", of: (c) => `${points(c.low)} to ${points(c.high)}` },
      { head: "gained", of: (c) => c.only_b },
      { head: "lost", of: (c) => c.only_a },
      { head: "p", of: (c) => pValue(c.p) },
      { head: "verdict", text: true, of: (c) => <span class={c.p < 0.05 ? (c.difference > 0 ? "good" : "bad") : "quiet"}>{verdict(c)}</span> },
    ]} />
  );
}

/** Pairs whose evaluations did not ask alike, each once. */
function Unlike({ rows }: { rows: Comparison[] }) {
  const unlike = rows.filter((c) => c.task === "all" && c.differs?.length);
  if (unlike.length === 0) return null;
  return (
    <div class="unlike">
      {unlike.map((c) => <p class="note">Not asked alike: {c.a} and {c.b} had {c.differs!.join("; ")}. Part of their difference may be that.</p>)}
    </div>
  );
}

function verdict(c: Comparison): string {
  return c.p < 0.05 ? (c.difference > 0 ? "better" : "worse") : "inconclusive";
}

function CostTable({ cost }: { cost: Cost[] }) {
  const total: Cost = { step: "all", kind: "", seconds: 0, tokens_in: 0, tokens_out: 0, flops: 0, usd_micros: 0, possibly_usd_micros: 0, wasted_usd_micros: 0 };
  for (const c of cost) {
    for (const key of ["seconds", "tokens_in", "tokens_out", "flops", "usd_micros", "possibly_usd_micros", "wasted_usd_micros"] as const) total[key] += c[key];
  }
  return (
    <Table id="table-cost" rows={[...cost, total]} mark={(c) => (c === total ? "total" : "")} columns={[
      { head: "step", text: true, of: (c) => c.step },
      { head: "kind", text: true, of: (c) => c.kind },
      { head: "time", of: (c) => duration(c.seconds) },
      { head: "tokens in", of: (c) => count(c.tokens_in) },
      { head: "tokens out", of: (c) => count(c.tokens_out) },
      { head: "FLOPs", of: (c) => count(c.flops) },
      { head: "paid", of: (c) => dollars(c.usd_micros) },
      { head: "of it possibly", of: (c) => dollars(c.possibly_usd_micros) },
      { head: "of it for failures", of: (c) => dollars(c.wasted_usd_micros) },
    ]} />
  );
}

function Answer({ answer }: { answer: SampleAnswer }) {
  return (
    <div class={answer.correct ? "answer right" : "answer wrong"}>
      <h4>{answer.label}<span>{answer.correct ? "right" : answer.pred ? `wrong: ${shorten(answer.pred)}` : "no answer"}</span></h4>
      {answer.reasoning.trim() && <div class="thought"><h5>thought</h5><pre>{tidy(answer.reasoning)}</pre></div>}
      {answer.content.trim() ? <pre>{tidy(answer.content)}</pre> : <p class="quiet">(no text)</p>}
    </div>
  );
}

/** For reading: no blank lines at the ends, never two in a row. The full text is in scores.jsonl. */
function tidy(text: string): string {
  return text.replace(/\n[ \t]*(\n[ \t]*)+/g, "\n\n").trim();
}

function shorten(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > 24 ? `${line.slice(0, 23)}…` : line;
}

function Samples({ samples }: { samples: Sample[] }) {
  return (
    <>
      {samples.map((s) => (
        <article class="sample">
          <p class="question"><span class="tag">{s.task || "problem"}</span>{s.prompt}<span class="gold">reference: {s.gold}</span></p>
          <div class="answers">{s.answers.map((a) => <Answer answer={a} />)}</div>
        </article>
      ))}
    </>
  );
}

/** What was left out and why, some of each reason; the rest is read with `retort show`. */
function LeftOut({ rejects }: { rejects: Rejects[] }) {
  return (
    <>
      {rejects.map((r) => (
        <details class="rejects">
          <summary>{r.step}: {r.reason.replaceAll("_", " ")} <span class="quiet">{r.count}</span></summary>
          {r.records.map((one) => (
            <article class="reject">
              <p class="question">{one.question || one.id}{one.gold && <span class="gold">reference: {one.gold}</span>}</p>
              {one.detail && <p class="why">{one.detail}</p>}
              {one.reasoning.trim() && <div class="thought"><h5>thought</h5><pre>{tidy(one.reasoning)}</pre></div>}
              {one.content.trim() && <pre>{tidy(one.content)}</pre>}
            </article>
          ))}
        </details>
      ))}
    </>
  );
}

function Page({ report }: { report: Report }) {
  const selections = report.selections.filter((s) => s.in > 0);
  return (
    <>
      <header>
        <h1>{report.title || report.name}</h1>
        <p class="facts">{report.program} · recipe {report.name} · finished {report.run.finished} · {report.run.machine}</p>
      </header>
      <Headline report={report} />
      {report.evals.length > 0 && (
        <section><h2>Accuracy</h2><AccuracyPlot evals={report.evals} /><AccuracyTable evals={report.evals} />
          {report.comparisons.length > 0 && (
            <><h3>Paired comparisons</h3><Comparisons rows={report.comparisons} /><Unlike rows={report.comparisons} />
              <p class="note">The same problems, one by one: gained are those that only the second model solves, lost those that only the first
                does. p is of the paired test ({[...new Set(report.comparisons.map((c) => c.test))].join(", ")}).</p></>)}</section>
      )}
      {report.training.length > 0 && (
        <section><h2>Training</h2><LossPlot training={report.training} />
          <Table id="table-training" rows={report.training} columns={[
            { head: "run", text: true, of: (t) => t.label },
            { head: "parameters", of: (t) => count(t.parameters) },
            { head: "tokens", of: (t) => count(t.tokens) },
            { head: "FLOPs", of: (t) => count(t.flops) },
            { head: "time", of: (t) => duration(t.seconds) },
            { head: "examples cut", of: (t) => percent(t.cut_share) },
          ]} /></section>
      )}
      {report.lengths.length > 0 && <section><h2>Lengths</h2><LengthsPlot lengths={report.lengths} /></section>}
      {selections.length > 0 && (
        <section><h2>Selection</h2>
          {selections.some((s) => s.dropped > 0) && <RejectionsPlot selections={selections.filter((s) => s.dropped > 0)} />}
          <Table id="table-selections" rows={selections} columns={[
            { head: "step", text: true, of: (s) => s.step },
            { head: "in", of: (s) => s.in },
            { head: "kept", of: (s) => s.kept },
            { head: "left out", of: (s) => s.dropped },
            { head: "also counted", text: true, of: (s) => Object.entries(s.counts).map(([name, n]) => `${name.replaceAll("_", " ")} ${n}`).join(", ") },
          ]} />
          {report.rejects.length > 0 && <><h3>Left out, to read</h3><LeftOut rejects={report.rejects} /></>}</section>
      )}
      <section><h2>Cost</h2>
        <TimePlot cost={report.cost} />
        {report.cost.some((c) => c.usd_micros > 0) && <SpendPlot cost={report.cost} />}
        <CostTable cost={report.cost} /></section>
      {report.samples.length > 0 && <section><h2>Answers to read</h2><Samples samples={report.samples} /></section>}
      {report.lineage.length > 0 && (
        <section><h2>Lineage</h2><LineageGraph nodes={report.lineage} />
          <Table id="table-lineage" rows={report.lineage} columns={[
            { head: "step", text: true, of: (l) => l.id },
            { head: "kind", text: true, of: (l) => l.kind },
            { head: "SHA-256 of its output", text: true, of: (l) => <code>{l.hash.slice(0, 16)}</code> },
            { head: "made from", text: true, of: (l) => l.parents.join(", ") },
          ]} /></section>
      )}
    </>
  );
}

const report = JSON.parse(document.getElementById("data")!.textContent!) as Report;
document.title = `${report.title || report.name} · retort`;
render(<Page report={report} />, document.getElementById("report")!);
