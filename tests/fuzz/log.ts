/** `fuzz log`: what infra/docs/fuzz-log.jsonl adds up to, by mode, judge and state of the core, and which filed findings differ today. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readVectors, VectorMachine } from "../support/cpu-vectors.ts";
import { coreState, foundFolder, type Tally } from "./cpu.ts";
import { replaySystem, type SystemVector } from "./system-vectors.ts";

export const logFile = join(import.meta.dirname, "../../infra/docs/fuzz-log.jsonl");

/** A line of the log: before `judgeMinutes` was kept, `cpuMinutes` held the judge's time too. */
export type LogLine = Omit<Tally, "judgeMinutes"> & {
  readonly date: string;
  readonly processor: string;
  readonly judgeMinutes?: number;
};

/** Sums over the lines that have something in common. */
export interface Sum {
  readonly name: string;
  readonly runs: number;
  readonly cpuHours: number;
  readonly streams: number;
  readonly findings: number;
}

export const readLog = (file = logFile): LogLine[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine);

/** One sum for each name that `nameOf` gives, in the order in which they appear, and one of all lines. */
export function sumBy(lines: readonly LogLine[], nameOf: (line: LogLine) => string): Sum[] {
  const groups = Map.groupBy(lines, nameOf);
  return [...groups, ["all", lines] as const].map(([name, members]) => {
    const total = (valueOf: (line: LogLine) => number): number => {
      let sum = 0;
      for (const line of members) sum += valueOf(line);
      return sum;
    };
    return {
      name,
      runs: members.length,
      cpuHours: total(({ cpuMinutes }) => cpuMinutes) / 60,
      streams: total(({ streams }) => streams),
      findings: total(({ findings }) => findings),
    };
  });
}

/** Names of the filed findings that the core of today still answers otherwise. */
export function openFindings(): string[] {
  const machine = new VectorMachine("long", foundFolder);
  const user = readdirSync(foundFolder)
    .filter((name) => name.endsWith(".ndjson"))
    .flatMap((name) => readVectors(name.replace(".ndjson", ""), foundFolder))
    .filter((vector) => machine.replay(vector).length > 0);
  const system = readFileSync(join(foundFolder, "system-found.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as SystemVector)
    .filter((vector) => replaySystem(vector).length > 0);
  return [...user, ...system].map(({ id }) => id);
}

const column = (text: string | number, width: number): string => String(text).padStart(width);
function table(title: string, sums: readonly Sum[]): string[] {
  return [
    `${title.padEnd(34)}${column("runs", 6)}${column("CPU-hours", 11)}${column("streams", 12)}${column("findings", 10)}`,
    ...sums.map(
      ({ name, runs, cpuHours, streams, findings }) =>
        `${name.padEnd(34)}${column(runs, 6)}${column(cpuHours.toFixed(2), 11)}${column(streams, 12)}${column(findings, 10)}`,
    ),
  ];
}

/** Prints it all; the number of filed findings that differ. */
export function printLog(): number {
  const lines = readLog(),
    now = coreState();
  console.log(
    table(
      "mode, judge",
      sumBy(lines, ({ mode, against }) => `${mode}, ${against}`),
    ).join("\n"),
  );
  const states = sumBy(lines, ({ state }) => (state === now ? `${state} (this one)` : state));
  console.log(`\n${table("state of emulator/cpu", states).join("\n")}`);
  const open = openFindings();
  console.log(`\nfiled findings that differ today: ${open.length === 0 ? "none" : open.join(", ")}`);
  return open.length;
}
