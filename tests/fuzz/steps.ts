/** What steps of system streams of every kind share. The order in which they ask for chance is what a seed means: it stays. */
import { long, word } from "./machine-code.ts";
import type { Step } from "./system-plan.ts";
import type { Chance } from "./values.ts";

/** Who makes a step: its seed's choices, and the level that the code runs at. */
export interface Maker {
  readonly chance: Chance;
  readonly cpl: 0 | 3;
  /** PAE paging is on, which CR4 must keep; 32-bit streams only. */
  readonly pae: boolean;
}

/** A step that is the same wherever it stands, and each time it is asked. */
export const fixed =
  (code: readonly number[]): Step =>
  () =>
    code;

/** ModRM, SIB and displacement of an absolute address in 64-bit code. */
export const absolute = (modrm: number, place: number): number[] => [modrm | 0x04, 0x25, ...long(place)];

/** MOV AX, selector; MOV segment, AX. */
export const moveToSegment = (segment: number, selector: number): Step =>
  fixed([0x66, 0xb8, ...word(selector), 0x8e, 0xc0 | (segment << 3)]);
/** PUSH selector; POP FS or GS, which are segments 4 and 5. */
export const popToSegment = (segment: number, selector: number): Step =>
  fixed([0x68, ...long(selector), 0x0f, segment === 4 ? 0xa1 : 0xa9]);

/** Flags to start with: status flags and DF, IF, IOPL, AC. */
export const headFlags = (chance: Chance): number =>
  2 |
  (chance.percent(50) ? 0x200 : 0) |
  (chance.percent(30) ? chance.below(4) << 12 : 0) |
  (chance.percent(10) ? 0x40000 : 0) |
  (chance.word() & 0xcd5);
/** Flags for POPF and returns, up to AC; seldom TF, NT, RF. */
export const flagsUpToAc = (chance: Chance): number =>
  2 |
  (chance.word() & 0x3ed5 & ~0x100) |
  (chance.percent(12) ? 0x100 : 0) |
  (chance.percent(20) ? 0x4000 : 0) |
  (chance.percent(15) ? 0x10000 : 0) |
  (chance.percent(15) ? 0x40000 : 0);
/** PUSH flags; POPF; PUSHF; POP EBX. */
export function popFlagsStep(chance: Chance, flags: number): Step {
  const prefix = chance.percent(20) ? [0x66] : [];
  return fixed([0x68, ...long(flags), ...prefix, 0x9d, 0x9c, 0x5b]);
}

/** One of these instructions, or, three times as often as each, INT with one of the vectors. */
export function interruptStep(
  chance: Chance,
  vectors: readonly number[],
  others: readonly (readonly number[])[],
): Step {
  const vector = chance.pick(vectors),
    software = [0xcd, vector];
  return fixed(chance.pick([...others, software, software, software]));
}

/** Ports that no machine has, CLI and STI: 34h is shut by the I/O permission bitmap, 35h and 36h are open. */
export function portStep(chance: Chance, others: readonly (readonly number[])[] = []): Step {
  const port = chance.pick([0x34, 0x35, 0x36]);
  return fixed(
    chance.pick([
      [0xe4, port],
      [0xe5, port],
      [0x66, 0xe5, port],
      [0xe6, port],
      [0xfa],
      [0xfb, 0x90],
      ...others,
    ]),
  );
}
