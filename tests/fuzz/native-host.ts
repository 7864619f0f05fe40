/**
 * The processor of this machine as a judge of user-mode code: native-host.c, compiled with the gcc that is there.
 * A question is a vector without its outcome; the answer is the vector with it.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { registerNames } from "../support/cpu-bench.ts";
import { type Environment, type Vector } from "../support/cpu-vectors.ts";

/** A vector whose outcome is not known yet. */
export type Question = Omit<Vector, "o" | "om" | "e">;

/** Why the processor's answer cannot be used: it ran on, asked the kernel for something, or could not be brought back. */
export type Unusable = "timeout" | "system call" | "died";
const KINDS = ["ended", "exception", "timeout", "system call", "died"] as const;

const root = join(import.meta.dirname, "../..");
const source = join(import.meta.dirname, "native-host.c"),
  folder = join(root, "build/native"),
  program = join(folder, "native-host");

/** Compiles the program where that is needed; the reason why it cannot be had otherwise. */
export function prepareNativeHost(): { program: string } | { absent: string } {
  if (process.platform !== "linux" || process.arch !== "x64")
    return { absent: "this is not Linux on x86-64" };
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return { program };
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync("gcc", ["-O1", "-o", program, source], { stdio: ["ignore", "ignore", "pipe"] });
  } catch {
    return { absent: "gcc is absent" };
  }
  return { program };
}

/** The `record` of native-host.c, byte by byte. */
const at = {
  bits: 0,
  kind: 4,
  rip: 8,
  exit: 16,
  gpr: 24,
  flags: 152,
  mxcsr: 160,
  fcw: 164,
  fsw: 166,
  ftw: 168,
  segments: 172,
  fsBase: 184,
  gsBase: 192,
  vector: 200,
  error: 204,
  cr2: 208,
  st: 216,
  xmm: 344,
  runs: 856,
};
const RECORD = 864;
const segmentOrder = ["es", "cs", "ss", "ds", "fs", "gs"] as const;
const usualSegments: Readonly<Record<number, readonly number[]>> = {
  64: [0, 0x33, 0x2b, 0, 0, 0],
  32: [0x2b, 0x23, 0x2b, 0x2b, 0x37, 0x3f],
  16: [0x17, 0x07, 0x1f, 0x0f, 0x27, 0x2f],
};
/** Flags that the vectors compare; IF and bit 1 are always set for the code. */
const FLAGS = 0x244cd5;

export class NativeHost {
  readonly #program: string;
  readonly #environment: Environment;
  readonly #arguments: readonly string[];
  /** Processor time that the questions have taken so far. */
  cpuMicroseconds = 0;

  constructor(file: string, environment: Environment) {
    this.#program = file;
    this.#environment = environment;
    this.#arguments = [
      `fs64=${environment.fsbase64}`,
      `gs64=${environment.gsbase64}`,
      ...environment.ldt.map(({ sel, raw }) => `0x${sel}=${raw}`),
    ];
  }

  /** Runs all the questions in one process. Throws when the program itself fails. */
  answer(questions: readonly Question[]): (Vector | Unusable)[] {
    const count = Buffer.alloc(4);
    count.writeUInt32LE(questions.length);
    const input = Buffer.concat([count, ...questions.map((question) => this.#encode(question))]);
    const ran = spawnSync(this.#program, this.#arguments, { input, maxBuffer: 1 << 30 });
    if (ran.status !== 0) throw new Error(`native-host ended with ${ran.status}: ${ran.stderr.toString()}`);
    this.cpuMicroseconds += Number(ran.stderr.toString());
    let offset = 0;
    return questions.map((question) => {
      const result = this.#decode(question, ran.stdout, offset);
      offset = result.next;
      return result.answer;
    });
  }

  #initial(question: Question): Readonly<Record<string, string>> {
    const bits = Number(question.id.slice(1, 3));
    return {
      ...this.#environment.bg[question.b],
      rsp: bits === 16 ? "8000" : "301000",
      fl: "0",
      mxcsr: "1f80",
      fcw: "37f",
      fsw: "0",
      ftw: "0",
      ...question.i,
    };
  }

  #encode(question: Question): Buffer {
    const bits = Number(question.id.slice(1, 3)),
      state = this.#initial(question),
      start = Number.parseInt(question.a, 16),
      code = Buffer.from(question.c, "hex"),
      base = bits === 16 ? 0x20000 : 0;
    const number = (name: string): number => Number.parseInt(state[name] ?? "0", 16);
    const c = Buffer.alloc(RECORD);
    c.writeUInt32LE(bits, at.bits);
    c.writeBigUInt64LE(BigInt(start), at.rip);
    c.writeBigUInt64LE(BigInt(start + code.length), at.exit);
    for (const [k, name] of registerNames.entries())
      c.writeBigUInt64LE(
        bits === 64 ? BigInt(`0x${state[name] ?? "0"}`) : BigInt(`0x${state[name] ?? "0"}`) & 0xffffffffn,
        at.gpr + 8 * k,
      );
    c.writeBigUInt64LE(BigInt(number("fl") | 0x202), at.flags);
    c.writeUInt32LE(number("mxcsr"), at.mxcsr);
    c.writeUInt16LE(number("fcw"), at.fcw);
    c.writeUInt16LE(number("fsw"), at.fsw);
    c.writeUInt32LE(number("ftw"), at.ftw);
    for (const [k, name] of segmentOrder.entries())
      c.writeUInt16LE(state[name] ? number(name) : usualSegments[bits]![k]!, at.segments + 2 * k);
    for (const [name, selector, place] of [
      ["fs", 4, at.fsBase],
      ["gs", 5, at.gsBase],
    ] as const)
      c.writeBigUInt64LE(this.#baseOf(state[name] ? number(name) : usualSegments[bits]![selector]!), place);
    for (let k = 0; k < 8; k++) c.write(state[`st${k}`] ?? "", at.st + 16 * k, "hex");
    for (let k = 0; k < 16; k++) {
      c.write(state[`x${k}`] ?? "", at.xmm + 32 * k, "hex");
      c.write(state[`y${k}`] ?? "", at.xmm + 32 * k + 16, "hex");
    }
    const runs = [
      ...(question.m ?? []).map(
        ([place, hex]) => [Number.parseInt(place, 16), Buffer.from(hex, "hex")] as const,
      ),
      [base + start, code] as const,
    ];
    c.writeUInt32LE(runs.length, at.runs);
    return Buffer.concat([c, ...runs.flatMap(([place, bytes]) => [runHead(place, bytes.length), bytes])]);
  }

  #baseOf(selector: number): bigint {
    const entry = this.#environment.ldt.find(({ sel }) => Number.parseInt(sel, 16) >> 3 === selector >> 3);
    if ((selector & 4) === 0 || !entry) return 0n;
    const raw = BigInt(`0x${entry.raw}`);
    return ((raw >> 16n) & 0xffffffn) | ((raw >> 32n) & 0xff000000n);
  }

  #decode(question: Question, output: Buffer, start: number): { answer: Vector | Unusable; next: number } {
    const c = output.subarray(start, start + RECORD),
      om: [string, string][] = [];
    let next = start + RECORD;
    for (let run = c.readUInt32LE(at.runs); run > 0; run--) {
      const length = output.readUInt32LE(next + 4);
      om.push([output.readUInt32LE(next).toString(16), output.toString("hex", next + 8, next + 8 + length)]);
      next += 8 + length;
    }
    const kind = KINDS[c.readUInt32LE(at.kind)]!;
    if (kind !== "ended" && kind !== "exception") return { answer: kind, next };
    const o = this.#outcome(question, c),
      vector = c.readUInt32LE(at.vector);
    const rip = c.readBigUInt64LE(at.rip).toString(16);
    if (kind === "exception") {
      o["rip"] = rip;
      const hasError = vector === 8 || (vector >= 10 && vector <= 14) || vector === 17;
      const e = {
        v: vector,
        ...(hasError ? { err: c.readUInt32LE(at.error).toString(16) } : {}),
        ...(vector === 14 ? { cr2: c.readBigUInt64LE(at.cr2).toString(16) } : {}),
      };
      return { answer: { ...question, o, ...(om.length > 0 ? { om } : {}), e }, next };
    }
    return { answer: { ...question, o, ...(om.length > 0 ? { om } : {}) }, next };
  }

  /** Registers that differ from what they were. */
  #outcome(question: Question, c: Buffer): Record<string, string> {
    const initial = this.#initial(question),
      bits = Number(question.id.slice(1, 3)),
      o: Record<string, string> = {};
    const note = (name: string, value: string, zero: string): void => {
      if (value !== (initial[name] ?? zero)) o[name] = value;
    };
    const mask = bits === 64 ? (1n << 64n) - 1n : 0xffffffffn,
      count = bits === 64 ? 16 : 8;
    for (const [k, name] of registerNames.slice(0, count).entries()) {
      const value = c.readBigUInt64LE(at.gpr + 8 * k) & mask;
      if (value !== (BigInt(`0x${initial[name] ?? "0"}`) & mask)) o[name] = value.toString(16);
    }
    note("fl", (Number(c.readBigUInt64LE(at.flags)) & FLAGS).toString(16), "0");
    note("mxcsr", c.readUInt32LE(at.mxcsr).toString(16), "1f80");
    note("fcw", c.readUInt16LE(at.fcw).toString(16), "37f");
    note("fsw", c.readUInt16LE(at.fsw).toString(16), "0");
    note("ftw", c.readUInt32LE(at.ftw).toString(16), "0");
    const zero = "0".repeat(32);
    for (let k = 0; k < 8; k++)
      note(`st${k}`, c.toString("hex", at.st + 16 * k, at.st + 16 * k + 10), "0".repeat(20));
    for (let k = 0; k < count; k++) {
      note(`x${k}`, c.toString("hex", at.xmm + 32 * k, at.xmm + 32 * k + 16), zero);
      note(`y${k}`, c.toString("hex", at.xmm + 32 * k + 16, at.xmm + 32 * k + 32), zero);
    }
    for (const [k, name] of segmentOrder.entries()) {
      const value = c.readUInt16LE(at.segments + 2 * k),
        usual = initial[name] ?? usualSegments[bits]![k]!.toString(16);
      if (value.toString(16) !== usual) o[name] = value.toString(16);
    }
    return o;
  }
}

function runHead(place: number, length: number): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(place);
  head.writeUInt32LE(length, 4);
  return head;
}
