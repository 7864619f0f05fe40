/**
 * `npm run fuzz -- cpu --seed S --minutes M [--mode MODE] [--judge bochs|qemu] [--first N] [--streams N] [--keep] [--log]`, MODE being
 * user64, user32 and user16 (against this host's processor), system or long (against Bochs, or QEMU's TCG).
 * `npm run fuzz -- log`: what the log adds up to, and which filed findings differ today; the exit status is 1 when one does.
 * `npm run fuzz -- net --seed S --frames N [--long]`: the TCP/IP stack, --long: where segments travel uncut; the exit status is
 * 1 when it threw or held too much.
 * Prints each difference; --keep files it as a vector in tests/vectors/cpu, --log adds a line to infra/docs/fuzz-log.jsonl.
 * The exit status is 1 when there was a difference.
 */
import { appendFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { checkBuild, foundFolder, fuzzUser, type Tally } from "./cpu.ts";
import type { StreamCode } from "./judge-rule.ts";
import { logFile, printLog } from "./log.ts";
import { fuzzStack } from "./net.ts";
import type { Bits } from "./stream-state.ts";
import { fuzzSystem, type StreamKind } from "./system.ts";
import { Bochs, Qemu } from "./system-judges.ts";
import { kinds } from "./system-kinds.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "1" },
    mode: { type: "string", default: "user64" },
    judge: { type: "string", default: "bochs" },
    first: { type: "string", default: "0" },
    streams: { type: "string" },
    long: { type: "boolean", default: false },
    frames: { type: "string", default: "10000000" },
    keep: { type: "boolean", default: false },
    log: { type: "boolean", default: false },
  },
});
const bits: Readonly<Record<string, Bits>> = { user64: 64, user32: 32, user16: 16 };
const judges = { bochs: Bochs, qemu: Qemu } as const;
const common = {
  seed: Number(values.seed),
  minutes: Number(values.minutes),
  first: Number(values.first),
  ...(values.streams === undefined ? {} : { streams: Number(values.streams) }),
};
const keep = (file: string, found: unknown): void => {
  if (values.keep) appendFileSync(join(foundFolder, file), `${JSON.stringify(found)}\n`);
};

function runUser(width: Bits): Tally {
  return fuzzUser({
    ...common,
    bits: width,
    onFinding: ({ vector, differences }) => {
      console.log(`${vector.id} at ${vector.a} [${vector.c}] ${differences.slice(0, 5).join("; ")}`);
      keep(`m${width}-found.ndjson`, vector);
    },
  });
}

function runSystem<S extends StreamCode & { cs: number }>(
  kind: StreamKind<S>,
  judge: keyof typeof judges,
): Tally {
  return fuzzSystem({
    ...common,
    kind,
    judge: new judges[judge](),
    onFinding: ({ name: id, stream, expected, differences }) => {
      const code = Buffer.from(stream.code).toString("hex");
      console.log(`${id} cs ${stream.cs.toString(16)} [${code}] ${differences.slice(0, 6).join("; ")}`);
      // What TCG says is a hint: only Bochs' answers are filed.
      if (judge === "bochs")
        keep("system-found.jsonl", { id, kind: kind.name, stream, expected: expected ?? null });
    },
  });
}

function runCpu(mode: string, judge: string): Tally | undefined {
  checkBuild();
  const width = bits[mode];
  if (width !== undefined) return runUser(width);
  if (judge !== "bochs" && judge !== "qemu") return undefined;
  if (mode === "system") return runSystem(kinds.system, judge);
  return mode === "long" ? runSystem(kinds.long, judge) : undefined;
}

if (positionals[0] === "net") {
  const seed = Number(values.seed);
  const { long } = values;
  console.log(
    JSON.stringify({ seed, ...(long && { long }), ...fuzzStack(Number(values.frames), seed, { long }) }),
  );
} else if (positionals[0] === "log") {
  if (printLog() > 0) process.exitCode = 1;
} else {
  const tally = positionals[0] === "cpu" ? runCpu(values.mode, values.judge) : undefined;
  if (!tally) {
    const modes = [...Object.keys(bits), ...Object.keys(kinds)].join("|");
    console.error(`Which part, and which mode? net, log, or cpu --mode ${modes} [--judge bochs|qemu]`);
    process.exit(2);
  }
  const date = new Date().toISOString().slice(0, 16);
  const line = JSON.stringify({ date, processor: cpus()[0]?.model ?? "unknown", ...tally });
  console.log(line);
  if (values.log) appendFileSync(logFile, `${line}\n`);
  process.exitCode = tally.findings > 0 ? 1 : 0;
}
