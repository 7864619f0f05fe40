/**
 * `npm run fuzz -- cpu --seed S --minutes M [--mode user64|user32|user16|system] [--first N] [--streams N] [--keep] [--log]`
 * `npm run fuzz -- net --seed S --frames N`: the TCP/IP stack; the exit status is 1 when it threw or held too much.
 * Prints each difference; --keep files it as a vector in tests/vectors/cpu, --log adds a line to infra/docs/fuzz-log.jsonl.
 * The exit status is 1 when there was a difference.
 */
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { foundFolder, fuzzUser } from "./cpu.ts";
import { fuzzStack } from "./net.ts";
import type { Bits } from "./stream.ts";
import { fuzzSystem } from "./system.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "1" },
    mode: { type: "string", default: "user64" },
    first: { type: "string", default: "0" },
    streams: { type: "string" },
    frames: { type: "string", default: "10000000" },
    keep: { type: "boolean", default: false },
    log: { type: "boolean", default: false },
  },
});
if (positionals[0] === "net") {
  const seed = Number(values.seed);
  console.log(JSON.stringify({ seed, ...fuzzStack(Number(values.frames), seed) }));
  process.exit(0);
}
const bits: Record<string, Bits> = { user64: 64, user32: 32, user16: 16 };
const width = bits[values.mode];
if (positionals[0] !== "cpu" || (width === undefined && values.mode !== "system")) {
  console.error(`Which part, and which mode? net, or cpu --mode ${Object.keys(bits).join("|")}|system`);
  process.exit(2);
}
const common = {
  seed: Number(values.seed),
  minutes: Number(values.minutes),
  first: Number(values.first),
  ...(values.streams === undefined ? {} : { streams: Number(values.streams) }),
};
const keep = (file: string, found: unknown): void => {
  if (values.keep) appendFileSync(join(foundFolder, file), `${JSON.stringify(found)}\n`);
};
const tally =
  width === undefined
    ? fuzzSystem({
        ...common,
        onFinding: (finding) => {
          const { name, stream, differences } = finding;
          const code = Buffer.from(stream.code).toString("hex");
          console.log(`${name} cpl ${stream.cpl} [${code}] ${differences.slice(0, 6).join("; ")}`);
          keep("system-found.jsonl", { id: name, stream, expected: finding.expected ?? null });
        },
      })
    : fuzzUser({
        ...common,
        bits: width,
        onFinding: ({ vector, differences }) => {
          console.log(`${vector.id} at ${vector.a} [${vector.c}] ${differences.slice(0, 5).join("; ")}`);
          keep(`m${width}-found.ndjson`, vector);
        },
      });
const line = JSON.stringify({
  date: new Date().toISOString().slice(0, 16),
  processor: cpus()[0]?.model ?? "unknown",
  ...tally,
});
console.log(line);
if (values.log) appendFileSync(join(import.meta.dirname, "../../infra/docs/fuzz-log.jsonl"), `${line}\n`);
process.exitCode = tally.findings > 0 ? 1 : 0;
