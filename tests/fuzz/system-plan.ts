/** What the makers of system streams share: a plan is steps that can be left out one by one, and the state that they start from. */
import type { SystemStream } from "./system-rom.ts";
import { RAM } from "./system-tables.ts";
import type { Chance } from "./values.ts";

/** Code that may have to know where it stands: it gets the address of its first byte. */
export type Step = (at: number) => readonly number[];

/** Steps that can be left out one by one, and the state that they start from. */
export interface Plan<S> {
  readonly steps: readonly Step[];
  readonly head: Omit<S, "code">;
}
export type SystemPlan = Plan<SystemStream>;

const CODE_ROOM = 100;

/** The code of a plan's steps, ended by INT 20h. Steps that do not fit are left out. */
export function assemble(steps: readonly Step[], start: number, room = CODE_ROOM): number[] {
  const code: number[] = [];
  for (const step of steps) {
    const bytes = step(start + code.length);
    if (code.length + bytes.length > room) break;
    code.push(...bytes);
  }
  return [...code, 0xcd, 0x20];
}
export const build = ({ steps, head }: SystemPlan): SystemStream => ({
  ...head,
  code: assemble(steps, RAM.code),
});

/** Bits of CR4 that a stream may have: VME PVI TSD DE PSE MCE PGE, OSFXSR OSXMMEXCPT UMIP, FSGSBASE OSXSAVE SMEP SMAP. */
export const CR4_BITS = 0x350edf;

/** What every kind of stream starts with: registers, CR0 with paging, one of the two kinds of page tables. */
export function commonHead(chance: Chance): Pick<SystemStream, "registers" | "cr0" | "cr3" | "cr4"> {
  const cr0 =
    0x80000031 |
    (chance.percent(50) ? 0x10000 : 0) |
    (chance.percent(30) ? 0x40000 : 0) |
    (chance.percent(15) ? 8 : 0) |
    (chance.percent(10) ? 2 : 0);
  const pae = chance.percent(35);
  const words = [0, 1, 2, 3].map(() => chance.word());
  return {
    registers: [...words, 0, chance.word(), RAM.data + chance.below(0x2000), RAM.data + chance.below(0x2000)],
    cr0: cr0 >>> 0,
    cr3: pae ? RAM.paePointers : RAM.directory,
    cr4: 0x10 | (chance.percent(30) ? chance.word() & CR4_BITS & ~0x300000 : 0) | (pae ? 0x20 : 0),
  };
}
