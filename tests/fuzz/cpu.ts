/** `fuzz cpu` in user mode: streams from a seed, run on this machine's processor and on the core, compared in full. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { readEnvironment, VectorMachine } from "../support/cpu-vectors.ts";
import { type Finding, isStrayImage, judge, shrink } from "./judge.ts";
import { NativeHost, prepareNativeHost } from "./native-host.ts";
import { StreamMaker } from "./stream.ts";
import type { Bits, Stream } from "./stream-state.ts";
import { Chance } from "./values.ts";

const root = join(import.meta.dirname, "../..");
/** Vectors of differences that were found; env.json beside them says what their machine is like. */
export const foundFolder = join(root, "tests/vectors/cpu");
const BATCH = 500;

/** What a run of the fuzzer did; a line of the log. */
export interface Tally {
  readonly seed: number;
  readonly mode: string;
  readonly against: string;
  readonly wallMinutes: number;
  /** Processor time of all of it: making, running here, and the judge. */
  readonly cpuMinutes: number;
  /** The judge's part of it; lines of before 2026-11-21T22:00 do not say. */
  readonly judgeMinutes: number;
  readonly streams: number;
  /** Streams that the judge could not answer: they ran on, or called the kernel, or met what TCG leaves out. */
  readonly unusable: number;
  readonly findings: number;
  /** Digest of emulator/cpu as it was. */
  readonly state: string;
}

const sources = join(root, "emulator/cpu");
const sourceFiles = (): string[] =>
  readdirSync(sources, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .toSorted();

/** The core's sources in one digest, so that the log tells which state was tested. */
export function coreState(): string {
  const hash = createHash("sha256");
  for (const file of sourceFiles()) hash.update(file).update(readFileSync(join(sources, file)));
  return hash.digest("hex").slice(0, 16);
}
/** Throws where a source is newer than the core that was built: the digest would name a state that was not tested. */
export function checkBuild(): void {
  const built = statSync(join(root, "build/wasm/cpu-plain.wasm")).mtimeMs;
  const newer = sourceFiles().find((file) => statSync(join(sources, file)).mtimeMs > built);
  if (newer !== undefined)
    throw new Error(`emulator/cpu/${newer} is newer than the core that was built: npm run build:cpu`);
}

/** Minutes with two decimals. */
export const minutesOf = (microseconds: number): number => Math.round(microseconds / 6e5) / 100;

export interface FuzzOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly bits: Bits;
  /** The number of the first stream: a finding's name ends in its seed and number. */
  readonly first: number;
  /** Ends after so many streams, whatever the time. */
  readonly streams?: number;
  onFinding(finding: Finding, whole: Stream): void;
}

/** Throws where no native host can be had. */
export function fuzzUser(options: FuzzOptions): Tally {
  const { seed, minutes, bits, first } = options;
  const prepared = prepareNativeHost();
  if ("absent" in prepared) throw new Error(`user modes need the native host: ${prepared.absent}`);
  const host = new NativeHost(prepared.program, readEnvironment(foundFolder)),
    machine = new VectorMachine("long", foundFolder);
  const started = performance.now(),
    state = coreState();
  let streams = 0,
    unusable = 0,
    findings = 0;
  while (performance.now() - started < minutes * 60_000 && streams < (options.streams ?? Infinity)) {
    const count = Math.min(BATCH, (options.streams ?? Infinity) - streams);
    const batch = Array.from({ length: count }, (_, k) =>
      new StreamMaker(new Chance((seed * 1_000_003 + first + streams + k) | 0), bits).make(
        `m${bits}/found/${seed}-${first + streams + k}`,
      ),
    );
    const answers = host.answer(batch.map(({ question }) => question));
    for (const [k, answer] of answers.entries()) {
      if (typeof answer === "string") {
        unusable++;
        continue;
      }
      const finding = judge(machine, batch[k]!, answer);
      if (!finding) continue;
      const smallest = shrink(machine, host, batch[k]!, finding);
      if (isStrayImage(smallest)) {
        unusable++;
        continue;
      }
      findings++;
      options.onFinding(smallest, batch[k]!);
    }
    streams += count;
  }
  const { user, system } = process.cpuUsage();
  return {
    seed,
    mode: `user${bits}`,
    against: "native host",
    wallMinutes: minutesOf((performance.now() - started) * 1000),
    cpuMinutes: minutesOf(user + system + host.cpuMicroseconds),
    judgeMinutes: minutesOf(host.cpuMicroseconds),
    streams,
    unusable,
    findings,
    state,
  };
}
