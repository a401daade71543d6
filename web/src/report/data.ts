// The report's data, as retort writes it (report.json); see docs/formats.md.

export interface Accuracy {
  task: string;
  n: number;
  samples: number;
  pass1: number;
  low: number;
  high: number;
  maj?: number;
}

export interface Evaluation {
  step: string;
  label: string;
  model: string;
  overall: Accuracy;
  tasks: Accuracy[];
  mean_tokens: number;
  truncated: number;
}

export interface Comparison {
  a: string;
  b: string;
  task: string;
  n: number;
  difference: number;
  low: number;
  high: number;
  p: number;
  test: string;
  only_a: number;
  only_b: number;
  differs?: string[]; // what the two were asked differently
}

export interface Training {
  step: string;
  label: string;
  parameters: number;
  tokens: number;
  flops: number;
  seconds: number;
  cut_share: number;
  points: { tokens: number; loss: number; lr: number }[];
}

export interface Lengths {
  step: string;
  label: string;
  unit: string;
  bins: { low: number; high: number; count: number }[];
}

export interface Selection {
  step: string;
  in: number;
  kept: number;
  dropped: number;
  reasons: Record<string, number>;
  counts: Record<string, number>;
}

export interface Rejects {
  step: string;
  reason: string;
  count: number;
  records: { id: string; detail: string; question: string; gold: string; reasoning: string; content: string }[];
}

export interface Cost {
  step: string;
  kind: string;
  seconds: number;
  tokens_in: number;
  tokens_out: number;
  flops: number;
  usd_micros: number;
  possibly_usd_micros: number;
  wasted_usd_micros: number;
}

export interface LineageNode {
  id: string;
  kind: string;
  hash: string;
  parents: string[];
}

export interface SampleAnswer {
  label: string;
  reasoning: string;
  content: string;
  pred: string;
  correct: boolean;
}

export interface Sample {
  task: string;
  prompt: string;
  gold: string;
  answers: SampleAnswer[];
}

export interface Report {
  version: number;
  name: string;
  title: string;
  program: string;
  run: { started: string; finished: string; seconds: number; machine: string; threads: number };
  evals: Evaluation[];
  comparisons: Comparison[];
  training: Training[];
  lengths: Lengths[];
  selections: Selection[];
  rejects: Rejects[];
  cost: Cost[];
  lineage: LineageNode[];
  samples: Sample[];
}
