// The report page: reads the JSON that retort put into the document and lays it out. Every number shown is a number of
// that JSON (formatted), which a test checks.
import { render } from "preact";

import type { Evaluation, Report, Sample } from "./data";
import { count, dollars, duration, percent, points, pValue } from "./format";
import { AccuracyPlot, LengthsPlot, LossPlot, RejectionsPlot } from "./plots";
import "./style.css";

function Headline({ report }: { report: Report }) {
  const spent = report.cost.reduce((sum, c) => sum + c.usd_micros, 0);
  const best = report.comparisons[0];
  const find = (label: string) => report.evals.find((e) => e.label === label);
  const before = best && find(best.a);
  const after = best && find(best.b);
  return (
    <div class="cards">
      {before && after && (
        <div class="card wide">
          <div class="big">{percent(before.overall.pass1)} → {percent(after.overall.pass1)}</div>
          <div>{before.label} → {after.label}, {after.overall.n} problems kept out of training</div>
        </div>
      )}
      {report.training.length > 0 && (
        <div class="card">
          <div class="big">{count(report.training.reduce((sum, t) => sum + t.tokens, 0))}</div>
          <div>training tokens in {duration(report.training.reduce((sum, t) => sum + t.seconds, 0))}</div>
        </div>
      )}
      <div class="card"><div class="big">{dollars(spent)}</div><div>paid to teachers</div></div>
      <div class="card"><div class="big">{duration(report.run.seconds)}</div><div>all steps on {report.run.threads} threads</div></div>
    </div>
  );
}

function AccuracyTable({ evals }: { evals: Evaluation[] }) {
  const votes = evals.some((e) => e.overall.maj !== undefined);
  return (
    <table id="table-accuracy">
      <thead>
        <tr><th>model</th><th>task</th><th class="n">problems</th><th class="n">answers each</th><th class="n">pass@1</th><th class="n">95 % interval</th>
          {votes && <th class="n">majority</th>}<th class="n">tokens an answer</th><th class="n">cut off</th></tr>
      </thead>
      <tbody>
        {evals.flatMap((e) => [e.overall, ...(e.tasks.length > 1 ? e.tasks : [])].map((t, i) => (
          <tr class={i === 0 ? "first" : "sub"}>
            <td>{i === 0 ? e.label : ""}</td><td>{i === 0 && e.tasks.length > 1 ? "all" : t.task}</td><td class="n">{t.n}</td><td class="n">{t.samples}</td>
            <td class="n"><b>{percent(t.pass1)}</b></td><td class="n">{percent(t.low)} to {percent(t.high)}</td>
            {votes && <td class="n">{t.maj === undefined ? "" : percent(t.maj)}</td>}
            <td class="n">{i === 0 ? e.mean_tokens.toFixed(1) : ""}</td><td class="n">{i === 0 ? percent(e.truncated) : ""}</td>
          </tr>
        )))}
      </tbody>
    </table>
  );
}

function Comparisons({ report }: { report: Report }) {
  return (
    <table id="table-comparisons">
      <thead><tr><th>from</th><th>to</th><th>task</th><th class="n">problems</th><th class="n">difference</th><th class="n">95 % interval</th>
        <th class="n">gained</th><th class="n">lost</th><th class="n">paired exact test</th><th>verdict</th></tr></thead>
      <tbody>
        {report.comparisons.map((c) => (
          <tr>
            <td>{c.a}</td><td>{c.b}</td><td>{c.task}</td><td class="n">{c.n}</td><td class="n"><b>{points(c.difference)}</b></td>
            <td class="n">{points(c.low)} to {points(c.high)}</td><td class="n">{c.only_b}</td><td class="n">{c.only_a}</td>
            <td class="n">{pValue(c.p)}</td>
            <td>{c.p < 0.05 ? (c.difference > 0 ? "better" : "worse") : "inconclusive"}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function CostTable({ report }: { report: Report }) {
  const total = (pick: (c: Report["cost"][number]) => number) => report.cost.reduce((sum, c) => sum + pick(c), 0);
  return (
    <table id="table-cost">
      <thead><tr><th>step</th><th>kind</th><th class="n">time</th><th class="n">tokens in</th><th class="n">tokens out</th><th class="n">FLOPs</th>
        <th class="n">paid</th><th class="n">possibly paid</th><th class="n">of it for failed work</th></tr></thead>
      <tbody>
        {report.cost.map((c) => (
          <tr><td>{c.step}</td><td>{c.kind}</td><td class="n">{duration(c.seconds)}</td><td class="n">{count(c.tokens_in)}</td>
            <td class="n">{count(c.tokens_out)}</td><td class="n">{count(c.flops)}</td><td class="n">{dollars(c.usd_micros)}</td>
            <td class="n">{dollars(c.possibly_usd_micros)}</td><td class="n">{dollars(c.wasted_usd_micros)}</td></tr>
        ))}
        <tr class="total"><td>all</td><td /><td class="n">{duration(total((c) => c.seconds))}</td><td class="n">{count(total((c) => c.tokens_in))}</td>
          <td class="n">{count(total((c) => c.tokens_out))}</td><td class="n">{count(total((c) => c.flops))}</td><td class="n">{dollars(total((c) => c.usd_micros))}</td>
          <td class="n">{dollars(total((c) => c.possibly_usd_micros))}</td><td class="n">{dollars(total((c) => c.wasted_usd_micros))}</td></tr>
      </tbody>
    </table>
  );
}

function Samples({ samples }: { samples: Sample[] }) {
  return (
    <>
      {samples.map((s) => (
        <article class="sample">
          <p class="question"><span class="tag">{s.task}</span>{s.prompt}<span class="gold">reference: {s.gold}</span></p>
          <div class="answers">
            {s.answers.map((a) => (
              <div class={a.correct ? "answer right" : "answer wrong"}>
                <h4>{a.label}<span>{a.correct ? "right" : "wrong"}</span></h4>
                {a.reasoning && <pre class="thought">{a.reasoning}</pre>}
                <pre>{a.content}</pre>
              </div>
            ))}
          </div>
        </article>
      ))}
    </>
  );
}

function Page({ report }: { report: Report }) {
  return (
    <>
      <header>
        <h1>{report.title || report.name}</h1>
        <p class="facts">{report.program} · recipe {report.name} · finished {report.run.finished} · {report.run.machine}</p>
      </header>
      <Headline report={report} />
      {report.evals.length > 0 && (
        <section><h2>Accuracy</h2><AccuracyPlot evals={report.evals} /><AccuracyTable evals={report.evals} />
          {report.comparisons.length > 0 && <><h3>Paired comparisons</h3><Comparisons report={report} /></>}</section>
      )}
      {report.training.length > 0 && (
        <section><h2>Training</h2><LossPlot training={report.training} />
          <table id="table-training">
            <thead><tr><th>run</th><th class="n">parameters</th><th class="n">tokens</th><th class="n">FLOPs</th><th class="n">time</th><th class="n">examples cut</th></tr></thead>
            <tbody>{report.training.map((t) => (
              <tr><td>{t.label}</td><td class="n">{count(t.parameters)}</td><td class="n">{count(t.tokens)}</td><td class="n">{count(t.flops)}</td>
                <td class="n">{duration(t.seconds)}</td><td class="n">{percent(t.cut_share)}</td></tr>))}</tbody>
          </table></section>
      )}
      {report.lengths.length > 0 && <section><h2>Lengths</h2><LengthsPlot lengths={report.lengths} /></section>}
      {report.selections.some((s) => s.dropped > 0) && (
        <section><h2>Selection</h2><RejectionsPlot selections={report.selections.filter((s) => s.dropped > 0)} />
          <table id="table-selections">
            <thead><tr><th>step</th><th class="n">in</th><th class="n">kept</th><th class="n">left out</th><th>also counted</th></tr></thead>
            <tbody>{report.selections.map((s) => (
              <tr><td>{s.step}</td><td class="n">{s.in}</td><td class="n">{s.kept}</td><td class="n">{s.dropped}</td>
                <td>{Object.entries(s.counts).map(([name, n]) => `${name.replaceAll("_", " ")} ${n}`).join(", ")}</td></tr>))}</tbody>
          </table></section>
      )}
      <section><h2>Cost</h2><CostTable report={report} /></section>
      {report.samples.length > 0 && <section><h2>Answers to read</h2><Samples samples={report.samples} /></section>}
      <section><h2>Lineage</h2>
        <table id="table-lineage">
          <thead><tr><th>what</th><th>kind</th><th>content hash</th><th>made from</th></tr></thead>
          <tbody>{report.lineage.map((l) => (
            <tr><td>{l.id}</td><td>{l.kind}</td><td><code>{l.hash.slice(0, 16)}</code></td><td>{l.parents.join(", ")}</td></tr>))}</tbody>
        </table></section>
    </>
  );
}

const report = JSON.parse(document.getElementById("data")!.textContent!) as Report;
document.title = `${report.title || report.name} · retort`;
render(<Page report={report} />, document.getElementById("report")!);
