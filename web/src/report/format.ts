// Numbers as a reader wants them.

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Percentage points with a sign. */
export function points(share: number): string {
  const value = (100 * share).toFixed(1);
  return `${share >= 0 ? "+" : "−"}${value.replace("-", "")} pp`;
}

export function count(value: number): string {
  const units: [number, string][] = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [size, unit] of units) {
    if (Math.abs(value) >= size) return `${(value / size).toPrecision(3)} ${unit}`;
  }
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

export function dollars(micros: number): string {
  const value = micros / 1e6;
  return value === 0 ? "$0" : Math.abs(value) < 1 ? `$${value.toFixed(6)}` : `$${value.toFixed(2)}`;
}

export function pValue(p: number): string {
  if (p < 1e-300) return "p < 1e-300";
  return p < 0.001 ? `p = ${p.toExponential(1)}` : `p = ${p.toFixed(3)}`;
}
