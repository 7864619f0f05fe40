/** Makes streams for long-rom.ts: steps of 64-bit code about pages, canonical addresses, descriptors, SYSCALL and the rest of long mode. */
import { memoryAccess, jump, selfPatch, stackAccess, stringCopy } from "./long-access-steps.ts";
import {
  controlRegister,
  debugRegister,
  modelRegister,
  portAccess,
  segmentBase,
  smallInstruction,
  tableRegister,
} from "./long-control-steps.ts";
import { type LongStream } from "./long-rom.ts";
import { LONG, LONG_SELECTORS } from "./long-tables.ts";
import {
  farTransfer,
  interrupt,
  interruptReturn,
  loadSegment,
  popFlags,
  segmentQuery,
  systemCall,
} from "./long-transfer-steps.ts";
import { headFlags, type Maker } from "./steps.ts";
import { assemble, CR4_BITS, type Plan, type Step } from "./system-plan.ts";
import { planSteps } from "./system-stream.ts";
import { RAM } from "./system-tables.ts";
import type { Chance } from "./values.ts";

export type LongPlan = Plan<LongStream>;

export const buildLong = ({ steps, head }: LongPlan): LongStream => ({
  ...head,
  code: assemble(steps, RAM.code, 136),
});

const hex = (value: bigint): string => (value & 0xffff_ffff_ffff_ffffn).toString(16);

/** Sixty-four-bit code three times of four, else compatibility mode's. */
export function planLong(chance: Chance): LongPlan {
  const cpl: 0 | 3 = chance.percent(55) ? 0 : 3;
  if (!chance.percent(75)) return planCompatible(chance, cpl);
  const maker: Maker = { chance, cpl, pae: false };
  const steps = Array.from({ length: 1 + chance.below(5) }, () => chance.pick(kinds)(maker));
  return { steps, head: headOf(chance, cpl) };
}

/** 32-bit code in a 64-bit system: the steps are those of protected mode, whose memory lies in the same places. */
function planCompatible(chance: Chance, cpl: 0 | 3): LongPlan {
  const steps = planSteps({ chance, cpl, pae: false }),
    head = headOf(chance, cpl);
  // The upper halves of the registers are undefined in compatibility mode (SDM 1 §3.4.1.1): they start as zero.
  const registers = head.registers.map((value) => value.slice(-8));
  return {
    steps,
    head: { ...head, registers, cs: cpl === 0 ? LONG_SELECTORS.code32 : LONG_SELECTORS.userCode32 },
  };
}

function headOf(chance: Chance, cpl: 0 | 3): Omit<LongStream, "code"> {
  const data = cpl === 0 ? LONG_SELECTORS.data : LONG_SELECTORS.userData;
  const cr0 =
    0x80000031 |
    (chance.percent(50) ? 0x10000 : 0) |
    (chance.percent(30) ? 0x40000 : 0) |
    (chance.percent(10) ? 8 : 0) |
    (chance.percent(10) ? 2 : 0);
  // The handler of CPL 0 runs on the stream's stack, which SMAP would shut.
  const cr4 = chance.percent(50) ? chance.word() & (cpl === 0 ? CR4_BITS & ~0x200000 : CR4_BITS) : 0x600;
  return {
    rip: hex(BigInt(RAM.code)),
    cs: cpl === 0 ? LONG_SELECTORS.code64 : LONG_SELECTORS.userCode64,
    flags: headFlags(chance),
    rsp: hex(BigInt(RAM.stack)),
    ss: data,
    segments: [data, data, chance.percent(50) ? data : 0, chance.percent(50) ? data : 0],
    registers: Array.from({ length: 16 }, (_, n) =>
      hex(n === 6 || n === 7 ? BigInt(RAM.data + chance.below(0x2000)) : chance.bits64()),
    ),
    cr0: cr0 >>> 0,
    cr3: LONG.pml4,
    // SMEP would leave no code for CPL 0: the streams' is the user's.
    cr4: ((cr4 & (cpl === 0 ? ~0x100000 : -1)) | 0x20 | (chance.percent(15) ? 0x20000 : 0)) >>> 0,
    efer: chance.percent(90) ? 0xd01 : chance.pick([0x501, 0xd00, 0x500]),
  };
}

/** As often as a kind stands here it is made. */
const kinds: readonly ((maker: Maker) => Step)[] = [
  memoryAccess,
  memoryAccess,
  memoryAccess,
  stackAccess,
  jump,
  loadSegment,
  segmentQuery,
  popFlags,
  interrupt,
  interruptReturn,
  farTransfer,
  farTransfer,
  systemCall,
  systemCall,
  controlRegister,
  controlRegister,
  debugRegister,
  tableRegister,
  modelRegister,
  segmentBase,
  stringCopy,
  selfPatch,
  portAccess,
  smallInstruction,
];
