// Numbers as a reader wants them. tests/test_report.py computes the same forms from report.json.

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Percentage points with a sign. */
export function points(share: number): string {
  return `${share >= 0 ? "+" : "−"}${Math.abs(100 * share).toFixed(1)}`;
}

export function count(value: number): string {
  const units: [number, string][] = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
  for (const [size, unit] of units) {
    if (Math.abs(value) < size) continue;
    const scaled = value / size;
    return `${scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0)} ${unit}`;
  }
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

export function dollars(micros: number): string {
  const value = micros / 1e6;
  if (value === 0) return "$0";
  return `$${value.toFixed(Math.abs(value) < 0.0001 ? 6 : Math.abs(value) < 1 ? 4 : 2)}`;
}

export function pValue(p: number): string {
  if (p < 1e-300) return "< 1e-300";
  return p < 0.001 ? p.toExponential(1) : p.toFixed(3);
}
