/** `fuzz cpu --mode system`: ROMs of system streams, run on the core and in Bochs, whose dumps are compared. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RunExit } from "../../emulator/cpu/core.ts";
import { at, makeCpu } from "../support/cpu-bench.ts";
import { coreState, minutesOf, type Tally } from "./cpu.ts";
import { DUMP, makeRom, readDumps, ROM_BYTES, type SystemStream } from "./system-rom.ts";
import { build, type SystemPlan, SystemPlanner } from "./system-stream.ts";
import { Chance } from "./values.ts";

const BATCH = 400;
const LIMIT = 6e7;

export type Dumps = ReadonlyMap<number, readonly number[]>;

/** Runs the ROM on the core, without devices: port E9h is heard, all others read as ones. */
export function runHere(rom: Uint8Array): Dumps {
  const output: number[] = [];
  const cpu = makeCpu(4, {
    ioWrite: (port, _size, value) => {
      if (port === 0xe9) output.push(value & 255);
    },
  });
  cpu.ram.set(rom, 0x10_0000 - ROM_BYTES);
  cpu.view.setBigUint64(at("SEGMENTS") + 0x28, 0xf_0000n, true);
  cpu.reload();
  while (cpu.retired < LIMIT && cpu.run(1_000_000) === RunExit.budget);
  return readDumps(Buffer.from(output));
}

/** The other emulator, in a folder of its own. */
export class Bochs {
  readonly #folder = mkdtempSync(join(tmpdir(), "virga-bochs-"));
  readonly version: string;
  /** Processor time that its runs have taken. */
  cpuMicroseconds = 0;

  /** Throws where Bochs is not installed. */
  constructor() {
    const help = execFileSync("bochs", ["--help"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      input: "",
    });
    this.version = /Bochs x86 Emulator ([\d.]+)/.exec(help)?.[1] ?? "of an unknown version";
    const file = (name: string): string => join(this.#folder, name);
    writeFileSync(file("vga.bin"), new Uint8Array(0x8000));
    writeFileSync(file("go"), "c\n");
    const lines = [
      "config_interface: textconfig",
      'display_library: rfb, options="timeout=0"',
      "megs: 16",
      "cpu: model=corei7_haswell_4770, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=0",
      `romimage: file=${file("rom.bin")}, address=0xfffe0000`,
      `vgaromimage: file=${file("vga.bin")}`,
      "boot: floppy",
      "port_e9_hack: enabled=1",
      "sound: driver=dummy",
      "speaker: enabled=0",
      "plugin_ctrl: speaker=0, biosdev=0, parallel=0, serial=0, gameport=0, iodebug=0, extfpuirq=0",
      `log: ${file("log")}`,
      "panic: action=fatal",
    ];
    writeFileSync(file("machine"), `${lines.join("\n")}\n`);
  }

  run(rom: Uint8Array): Dumps {
    writeFileSync(join(this.#folder, "rom.bin"), rom);
    // The shell tells what processor time its children took.
    const command = [
      "-c",
      'timeout 20 bochs "$@"; times >&2',
      "sh",
      "-q",
      "-f",
      join(this.#folder, "machine"),
      "-rc",
      join(this.#folder, "go"),
    ];
    const ran = spawnSync("sh", command, {
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 1 << 28,
      timeout: 30_000,
    });
    const times = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(ran.stderr.toString("latin1"));
    if (times)
      this.cpuMicroseconds +=
        1e6 * (60 * (Number(times[1]) + Number(times[3])) + Number(times[2]) + Number(times[4]));
    return readDumps(ran.stdout);
  }
  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Fields that differ; the arithmetic flags of a stream are all defined. */
export function differences(
  here: readonly number[] | undefined,
  there: readonly number[] | undefined,
): string[] {
  if (!here || !there)
    return here === there ? [] : [here ? "only the other machine shut down" : "only this machine shut down"];
  const vector = DUMP.indexOf("vector");
  // A misaligned operand in an absent page may raise either (SDM 3A table 6-2 puts both in one class).
  if (there[vector] === 17 && here[vector] === 14) return [];
  return DUMP.flatMap((name, k) =>
    here[k] === there[k] ? [] : [`${name} ${here[k]!.toString(16)} not ${there[k]!.toString(16)}`],
  );
}

/** A line of tests/vectors/cpu/system-found.jsonl: a stream and Bochs' dump, null where it shut the machine down. */
export interface SystemVector {
  readonly id: string;
  readonly stream: SystemStream;
  readonly expected: readonly number[] | null;
}

export interface SystemFinding {
  readonly name: string;
  readonly stream: SystemStream;
  readonly expected: readonly number[] | undefined;
  readonly differences: readonly string[];
}

/** A stream that shuts the machine down cuts the ROM short: the rest runs in another. */
function compareAll(
  bochs: Bochs,
  streams: readonly SystemStream[],
): { expected: readonly number[] | undefined; differences: string[] }[] {
  const results: { expected: readonly number[] | undefined; differences: string[] }[] = [];
  while (results.length < streams.length) {
    const rest = streams.slice(results.length),
      rom = makeRom(rest);
    const here = runHere(rom),
      there = bochs.run(rom);
    const done = Math.min(here.size, there.size);
    const reached = Math.min(rest.length, done + 1);
    for (let n = 0; n < reached; n++)
      results.push({ expected: there.get(n), differences: differences(here.get(n), there.get(n)) });
  }
  return results;
}

/** Leaves out steps as long as a difference stays. */
function shrink(bochs: Bochs, plan: SystemPlan): SystemPlan {
  let smallest = plan;
  for (;;) {
    if (smallest.steps.length < 2) return smallest;
    const candidates = smallest.steps.map((_step, k) => ({
      ...smallest,
      steps: smallest.steps.filter((_other, n) => n !== k),
    }));
    const results = compareAll(bochs, candidates.map(build));
    const better = candidates.find((_candidate, k) => results[k]!.differences.length > 0);
    if (!better) return smallest;
    smallest = better;
  }
}

export interface SystemOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly first: number;
  readonly streams?: number;
  onFinding(finding: SystemFinding): void;
}

/** Streams are numbered like those of user mode. Throws where Bochs cannot be had. */
export function fuzzSystem(options: SystemOptions): Tally {
  const { seed, minutes, first } = options,
    bochs = new Bochs();
  const started = performance.now(),
    state = coreState(),
    limit = options.streams ?? Infinity;
  let streams = 0,
    findings = 0;
  while (performance.now() - started < minutes * 60_000 && streams < limit) {
    const plans = Array.from({ length: Math.min(BATCH, limit - streams) }, (_, k) =>
      new SystemPlanner(new Chance((seed * 1_000_003 + first + streams + k) | 0)).plan(),
    );
    const results = compareAll(bochs, plans.map(build));
    for (const [k, result] of results.entries()) {
      if (result.differences.length === 0) continue;
      findings++;
      const stream = build(shrink(bochs, plans[k]!));
      const [again] = compareAll(bochs, [stream]);
      options.onFinding({ name: `system/${seed}-${first + streams + k}`, stream, ...again! });
    }
    streams += plans.length;
  }
  bochs.remove();
  const { user, system } = process.cpuUsage();
  const wallMinutes = Math.round((performance.now() - started) / 600) / 100;
  return {
    seed,
    mode: "system",
    against: `Bochs ${bochs.version}`,
    wallMinutes,
    cpuMinutes: minutesOf(user + system + bochs.cpuMicroseconds),
    judgeMinutes: minutesOf(bochs.cpuMicroseconds),
    streams,
    unusable: 0,
    findings,
    state,
  };
}
