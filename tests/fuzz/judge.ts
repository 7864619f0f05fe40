/** Compares one stream's outcome here with the processor's, and finds the instruction where they part. */
import type { Vector, VectorMachine } from "../support/cpu-vectors.ts";
import { ARITHMETIC } from "./instruction-forms.ts";
import type { NativeHost, Question, Unusable } from "./native-host.ts";
import { closed, type Mask, type Stream } from "./stream-state.ts";

export interface Finding {
  readonly vector: Vector;
  readonly differences: readonly string[];
}

const STATUS = 0x4700;

/** The instruction where it ended; undefined where that is inside one. */
function endOf(answer: Vector, masks: readonly Mask[]): Mask | undefined {
  const offset = Number(BigInt(`0x${answer.o["rip"] ?? "0"}`)) - Number.parseInt(answer.a, 16);
  return answer.e ? masks.find(({ at }) => at === offset) : masks.at(-1);
}

/** The kernel's half: which of its pages are present is the host's affair. */
const KERNEL = 1n << 47n;

/**
 * A trap before or inside CMPS or SCAS that repeats. Between two elements Intel's processors have the flags from before the
 * instruction (SDM 2B REP), AMD's those of the last comparison, as the native vectors have them.
 */
function stopsComparison({ a, c, o, e }: Vector): boolean {
  const start = 2 * (Number.parseInt(o["rip"] ?? a, 16) - Number.parseInt(a, 16));
  const prefixes = /^((?:2e|36|3e|26|6[4-7]|f[23])*)(?:4.)?a[67ef]/.exec(c.slice(start))?.[1];
  return e?.v === 1 && prefixes !== undefined && /f[23]/.test(prefixes);
}

/** The answer with what is undefined where it ended. */
function masked(answer: Vector, masks: readonly Mask[]): Vector {
  const end = endOf(answer, masks);
  const faulted = answer.e !== undefined && answer.e.v !== 1 && answer.e.v !== 3 && answer.e.v !== 4;
  const defined = faulted ? end?.flagsAtFault : end?.flags;
  const flags = stopsComparison(answer) ? ARITHMETIC : (defined ?? ARITHMETIC),
    // An approximation may or may not be exact: a tiny one underflows or not, and an unmasked loss of precision is pending.
    status = (end ? end.status : STATUS) | (answer.ap === 2 ? 0x8090 : 0);
  const { err, ...e } = answer.e ?? { v: -1 };
  const isForeign = e.cr2 !== undefined && BigInt(`0x${e.cr2}`) >= KERNEL;
  const ignored = faulted && end?.partial ? [...(answer.mi ?? []), end.partial] : answer.mi;
  return {
    ...answer,
    ...(ignored ? { mi: ignored.flatMap(inWindows) } : {}),
    // Whether an unmasked overflow or underflow also reports a loss of precision differs.
    ...(answer.e?.v === 19 && (status19(answer) & 0x18) !== 0 ? { mm: "20" } : {}),
    ...(flags === 0 ? {} : { uf: flags.toString(16) }),
    ...(status === 0 ? {} : { sm: status.toString(16) }),
    ...(e.v === 14
      ? {
          e: {
            ...e,
            ...(err === undefined || isForeign ? {} : { err }),
            ...(end?.modifies === false ? {} : { rmw: 1 }),
          },
        }
      : {}),
  };
}

const windows = [
  [0x200000, 0x204000],
  [0x300000, 0x302000],
  [0x30000, 0x80000],
] as const;
/** The part of a stretch of memory that is in a writable window. */
function inWindows([place, size]: readonly [string, number]): [string, number][] {
  const first = Number.parseInt(place, 16);
  return windows.flatMap(([start, end]): [string, number][] => {
    const from = Math.max(first, start),
      to = Math.min(first + size, end);
    return from < to ? [[from.toString(16), to - from]] : [];
  });
}

/** Unmasked exceptions that MXCSR holds after an #XM. */
function status19({ i, o }: Vector): number {
  const mxcsr = Number.parseInt(o["mxcsr"] ?? i["mxcsr"] ?? "1f80", 16);
  return mxcsr & ~(mxcsr >> 7) & 0x3f;
}

/** Gathers, the masked moves, VCVTPH2PS and VCVTPS2PH never raise #AC in the manual (SDM 2C, their exceptions); AMD's processors do. */
function raisesOtherAlignment({ a, c, o, e }: Vector): boolean {
  if (e?.v !== 17) return false;
  const start = 2 * (Number.parseInt(o["rip"] ?? a, 16) - Number.parseInt(a, 16));
  return /^(2e|36|3e|26|6[4-7])*c4..(..)(13|1d|2[c-f]|8[ce]|9[0-3])/.test(c.slice(start));
}

export function judge(machine: VectorMachine, stream: Stream, answer: Vector): Finding | undefined {
  if (answer.e && endOf(answer, stream.masks)?.isLoose) return undefined;
  if (raisesOtherAlignment(answer)) return undefined;
  const vector = masked(answer, stream.masks);
  let differences: string[];
  try {
    differences = machine.replay(vector);
  } catch (error) {
    differences = [String(error)];
  }
  // A misaligned operand in an absent page may raise either (SDM 3A table 6-2 puts both in one class).
  if (vector.e?.v === 17 && differences[0]?.startsWith("#14(")) return undefined;
  return differences.length === 0 || straysIntoCode(stream, answer) ? undefined : { vector, differences };
}

/** The stream with only the bytes before one of its instructions. */
function cut({ question, masks, patches }: Stream, count: number): Stream {
  return {
    patches,
    masks: masks.slice(0, count + 1),
    question: closed({ ...question, c: question.c.slice(0, 2 * masks[count]!.at) }),
  };
}

/** Whether the window that holds code was written to. */
function patchesCode({ id, om }: Vector): boolean {
  const start = id.startsWith("m16") ? 0x20000 : 0x100000;
  return (om ?? []).some(([place]) => {
    const linear = Number.parseInt(place, 16);
    return linear >= start && linear < start + 0x10000;
  });
}

/** A stray store into the code makes other instructions of it, whose undefined flags nobody keeps account of. */
function straysIntoCode({ patches }: Stream, { id, a, c, om }: Vector): boolean {
  const start = Number.parseInt(a, 16) + (id.startsWith("m16") ? 0x20000 : 0),
    end = start + c.length / 2;
  return (om ?? []).some(([place, hex]) => {
    const first = Number.parseInt(place, 16);
    for (let k = first; k < first + hex.length / 2; k++)
      if (k >= start && k < end && !patches.includes(k)) return true;
    return false;
  });
}

/**
 * FNSTENV, FNSAVE or FXSAVE through a register that the stream has changed: its image lies where nobody expects the
 * instruction and data pointers, which differ from one processor to the next (SDM 1 §8.1.8).
 */
export function isStrayImage({ vector, differences }: Finding): boolean {
  const image = /^(?:2e|36|3e|26|6[4-7]|4.)*(?:(?:d9|dd)[37b][0-7]|0fae[048][0-7])/;
  return image.test(vector.c) && differences.every((difference) => difference.startsWith("memory"));
}

/** Its last instruction alone, from the state that the processor had reached before it. */
function alone(stream: Stream, before: Vector): Stream | undefined {
  const last = stream.masks.length - 2,
    start = stream.masks[last]!.at,
    base = Number.parseInt(stream.question.a, 16);
  if (patchesCode(before) || before.e) return undefined;
  const { rip: _rip, ...outcome } = before.o;
  const question: Question = {
    ...stream.question,
    a: (base + start).toString(16),
    c: stream.question.c.slice(2 * start),
    i: { ...stream.question.i, ...outcome },
    m: [...(stream.question.m ?? []), ...(before.om ?? [])],
  };
  return {
    question,
    patches: stream.patches,
    masks: stream.masks.slice(last).map((mask) => ({ ...mask, at: mask.at - start })),
  };
}

/** A difference in as few bytes as it takes: the shortest beginning that differs, then its last instruction alone where that does too. */
export function shrink(machine: VectorMachine, host: NativeHost, stream: Stream, found: Finding): Finding {
  const cuts = stream.masks.map((_mask, count) => cut(stream, count));
  const answers = host.answer(cuts.map(({ question }) => question));
  const usable = (answer: Vector | Unusable | undefined): answer is Vector => typeof answer === "object";
  for (const [count, part] of cuts.entries()) {
    const answer = answers[count];
    if (count === 0 || !usable(answer)) continue;
    const finding = judge(machine, part, answer);
    if (!finding) continue;
    const before = answers[count - 1],
      single = usable(before) ? alone(part, before) : undefined;
    const [again] = single ? host.answer([single.question]) : [];
    const smallest = single && usable(again) ? judge(machine, single, again) : undefined;
    return smallest ? withoutIdle(machine, host, single!, smallest) : finding;
  }
  return found;
}

/** Leaves out initial registers that the difference does not need, if the processor says that it stays without all of them. */
function withoutIdle(machine: VectorMachine, host: NativeHost, stream: Stream, found: Finding): Finding {
  const without = (names: readonly string[]): Stream => ({
    ...stream,
    question: {
      ...stream.question,
      i: Object.fromEntries(Object.entries(stream.question.i).filter(([name]) => !names.includes(name))),
    },
  });
  const findings = (candidates: readonly Stream[]): (Finding | undefined)[] =>
    host.answer(candidates.map(({ question }) => question)).map((answer, k) => {
      const finding = typeof answer === "object" ? judge(machine, candidates[k]!, answer) : undefined;
      return finding?.differences.length === found.differences.length ? finding : undefined;
    });
  const names = Object.keys(stream.question.i).filter((name) => !/^(fl|mxcsr|f[cst]w)$/.test(name));
  const single = findings(names.map((name) => without([name])));
  const idle = names.filter((_name, k) => single[k] !== undefined);
  return findings([without(idle)])[0] ?? found;
}
