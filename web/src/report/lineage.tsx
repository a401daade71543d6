// The run's steps as a graph: a step stands one column to the right of the last one that it is made from.
import type { LineageNode } from "./data";

const BOX = { width: 126, height: 44, across: 27, down: 16 };

interface Placed extends LineageNode {
  column: number;
  row: number;
}

/** Columns by the longest way from a source; rows in the order of the recipe. */
export function place(nodes: LineageNode[]): Placed[] {
  const placed = new Map<string, Placed>();
  const used: number[] = [];
  for (const node of nodes) {  // the recipe's order: parents first
    const column = Math.max(-1, ...node.parents.map((p) => placed.get(p)?.column ?? -1)) + 1;
    used[column] = (used[column] ?? 0) + 1;
    placed.set(node.id, { ...node, column, row: used[column]! - 1 });
  }
  return [...placed.values()];
}

/** The parents of a step that are not already parents of its other parents, near or far. */
function nearest(node: LineageNode, nodes: LineageNode[]): string[] {
  const above = new Set<string>();
  const climb = (id: string) => {
    for (const parent of nodes.find((n) => n.id === id)?.parents ?? []) {
      if (above.has(parent)) continue;
      above.add(parent);
      climb(parent);
    }
  };
  node.parents.forEach(climb);
  return node.parents.filter((id) => !above.has(id));
}

export function LineageGraph({ nodes }: { nodes: LineageNode[] }) {
  const placed = place(nodes);
  const columns = Math.max(...placed.map((n) => n.column)) + 1;
  const rows = Math.max(...placed.map((n) => n.row)) + 1;
  const width = columns * BOX.width + (columns - 1) * BOX.across + 2;
  const height = rows * (BOX.height + BOX.down) - BOX.down + 2;
  const x = (n: Placed) => 1 + n.column * (BOX.width + BOX.across);
  const y = (n: Placed) => 1 + n.row * (BOX.height + BOX.down);
  const edges = placed.flatMap((to) => nearest(to, nodes).flatMap((id) => placed.filter((from) => from.id === id).map((from) => ({ from, to }))));
  return (
    <figure id="plot-lineage" class="plot">
      <figcaption>What was made from what: the nearest steps; the table names all</figcaption>
      <div>
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label="steps and what they are made from">
          {edges.map(({ from, to }) => {
            const x1 = x(from) + BOX.width, y1 = y(from) + BOX.height / 2, x2 = x(to), y2 = y(to) + BOX.height / 2;
            const bend = BOX.across * 0.9;
            return <path class="edge" d={`M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}`} />;
          })}
          {placed.map((n) => (
            <g class={`node ${n.kind}`}>
              <rect x={x(n)} y={y(n)} width={BOX.width} height={BOX.height} rx="8" />
              <text x={x(n) + 10} y={y(n) + 18} class="name">{n.id.length > 15 ? `${n.id.slice(0, 14)}…` : n.id}</text>
              <text x={x(n) + 10} y={y(n) + 34} class="what">{n.kind}</text>
              <title>{`${n.id} (${n.kind}), output ${n.hash}`}</title>
            </g>
          ))}
        </svg>
      </div>
    </figure>
  );
}
