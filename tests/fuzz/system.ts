/** `fuzz cpu --mode system`: ROMs of system streams, run on the core and in another emulator, whose dumps are compared. */
import { coreState, minutesOf, type Tally } from "./cpu.ts";
import { type Dump, type Judge, runHere, type SystemRom } from "./system-judges.ts";
import type { Plan } from "./system-plan.ts";
import { differences } from "./system-vectors.ts";
import type { StreamCode } from "./judge-rule.ts";
import { bochsRule, tcgDifferences } from "./judge-rules.ts";
import { Chance } from "./values.ts";

const BATCH = 1000;

/** One kind of streams: how they are made, and their ROM. */
export interface StreamKind<S> {
  readonly name: string;
  readonly rom: SystemRom<S>;
  plan(chance: Chance): Plan<S>;
  build(plan: Plan<S>): S;
}

export interface SystemFinding<S> {
  readonly name: string;
  readonly stream: S;
  readonly expected: Dump | undefined;
  readonly differences: readonly string[];
}

interface Result {
  readonly expected: Dump | undefined;
  readonly differences: readonly string[];
  /** What the judge is known to leave out, where that explains the difference. */
  readonly rule?: string;
}

export interface SystemOptions<S> {
  readonly seed: number;
  readonly minutes: number;
  readonly first: number;
  readonly streams?: number;
  readonly kind: StreamKind<S>;
  readonly judge: Judge;
  onFinding(finding: SystemFinding<S>): void;
}

/** What the judge's word is worth: Bochs' counts in full, TCG's outside what it leaves out. */
function compare<S extends StreamCode>(
  rom: SystemRom<S>,
  judge: Judge,
  stream: S,
  here: Dump | undefined,
  there: Dump | undefined,
): Result {
  if (!judge.isPartial) {
    const found = differences(rom, here, there);
    const rule = found.length > 0 && here && there ? bochsRule(rom.fields, here, there, stream) : undefined;
    return { expected: there, ...(rule === undefined ? { differences: found } : { differences: [], rule }) };
  }
  // Without limits and checks a stream runs on where a processor shuts down.
  if (!here || !there) return { expected: there, differences: [], rule: "only one of the two shut down" };
  return { expected: there, ...tcgDifferences(rom.fields, here, there, stream) };
}

/** Runs all streams on both machines. A stream in which one of them hangs cuts its ROM short: the rest runs in another. */
function compareAll<S extends StreamCode>(rom: SystemRom<S>, judge: Judge, streams: readonly S[]): Result[] {
  const results: Result[] = [];
  while (results.length < streams.length) {
    const rest = streams.slice(results.length),
      image = rom.makeRom(rest);
    const here = runHere(image),
      there = judge.run(image);
    const [a, b] = [rom.readDumps(here.bytes), rom.readDumps(there.bytes)];
    const last = (dumps: ReadonlyMap<number, Dump>, ended: boolean): number =>
      ended ? rest.length : Math.max(-1, ...dumps.keys()) + 2;
    const reached = Math.min(rest.length, last(a, here.ended), last(b, there.ended));
    const wasCut = rest.length > 1 && !(here.ended && there.ended);
    for (let n = 0; n < reached; n++) {
      const [x, y] = [a.get(n), b.get(n)];
      // The judge's time may have been up: alone the stream has all of it.
      if (wasCut && n === reached - 1 && !(x && y)) results.push(...compareAll(rom, judge, [rest[n]!]));
      else results.push(compare(rom, judge, rest[n]!, x, y));
    }
  }
  return results;
}

/** Leaves out steps as long as a difference stays. */
function shrink<S extends StreamCode>({ kind, judge }: SystemOptions<S>, plan: Plan<S>): Plan<S> {
  let smallest = plan;
  for (;;) {
    if (smallest.steps.length < 2) return smallest;
    const candidates = smallest.steps.map((_step, k) => ({
      ...smallest,
      steps: smallest.steps.filter((_other, n) => n !== k),
    }));
    const results = compareAll(
      kind.rom,
      judge,
      candidates.map((candidate) => kind.build(candidate)),
    );
    const better = candidates.find((_candidate, k) => results[k]!.differences.length > 0);
    if (!better) return smallest;
    smallest = better;
  }
}

/** Streams are numbered like those of user mode. Throws where the judge cannot be had. */
export function fuzzSystem<S extends StreamCode>(options: SystemOptions<S>): Tally {
  const { seed, minutes, first, kind, judge } = options;
  const started = performance.now(),
    state = coreState(),
    limit = options.streams ?? Infinity;
  let streams = 0,
    masked = 0,
    findings = 0;
  while (performance.now() - started < minutes * 60_000 && streams < limit) {
    const plans = Array.from({ length: Math.min(BATCH, limit - streams) }, (_, k) =>
      kind.plan(new Chance((seed * 1_000_003 + first + streams + k) | 0)),
    );
    const results = compareAll(
      kind.rom,
      judge,
      plans.map((plan) => kind.build(plan)),
    );
    for (const [k, result] of results.entries()) {
      if (result.rule !== undefined) masked++;
      if (result.differences.length === 0) continue;
      findings++;
      const stream = kind.build(shrink(options, plans[k]!));
      const [again] = compareAll(kind.rom, judge, [stream]);
      // What does not come back alone depended on the streams before it: the whole is shown then.
      const shown = again!.differences.length > 0 ? again! : result;
      options.onFinding({ name: `${kind.name}/${seed}-${first + streams + k}`, stream, ...shown });
    }
    streams += plans.length;
  }
  judge.remove();
  const { user, system } = process.cpuUsage();
  return {
    seed,
    mode: kind.name,
    against: judge.name,
    wallMinutes: minutesOf((performance.now() - started) * 1000),
    cpuMinutes: minutesOf(user + system + judge.cpuMicroseconds),
    judgeMinutes: minutesOf(judge.cpuMicroseconds),
    streams,
    unusable: masked,
    findings,
    state,
  };
}
