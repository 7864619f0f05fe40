import { availableParallelism, cpus, totalmem } from "node:os";

/** One measured figure. `ratio` is value / peer's value, measured in the same run; the peer may be a limit that was promised. */
export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly peer?: string;
  readonly ratio?: number;
}

export interface Report {
  readonly bench: string;
  readonly host: {
    readonly processor: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly node: string;
  };
  readonly results: readonly Result[];
}

export const makeReport = (bench: string, results: readonly Result[]): Report => ({
  bench,
  host: {
    processor: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
  },
  results,
});

/** A figure against what ARCHITECTURE.md promises: at most `limit`. */
export const againstLimit = (name: string, value: number, unit: string, limit: number): Result => ({
  name,
  value,
  unit,
  peer: `limit ${limit} ${unit}`,
  ratio: value / limit,
});

const figure = (value: number) => value.toLocaleString("en", { maximumSignificantDigits: 4 });

/** The same as a table for people. */
export function asTable({ bench, host, results }: Report): string {
  const rows = results.map(({ name, value, unit, peer, ratio }) => [
    name,
    figure(value),
    unit,
    peer ?? "",
    ratio === undefined ? "" : `× ${figure(ratio)}`,
  ]);
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 1 || column === 4 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  "),
  );
  return [`${bench} on ${host.processor}, ${host.cores} cores, Node ${host.node}`, ...lines].join("\n");
}
