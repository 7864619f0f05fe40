/** Makes streams for system-rom.ts: a few steps of 32-bit code each, about segments, gates, control registers, pages and privilege. */
import { ShortPlanner } from "./short-stream.ts";
import { headFlags, type Maker } from "./steps.ts";
import { pageAccess, segmentAccess, stringCopy } from "./system-access-steps.ts";
import {
  controlRegister,
  debugRegister,
  modelRegister,
  portAccess,
  smallInstruction,
  tableRegister,
} from "./system-control-steps.ts";
import { commonHead, type Step, type SystemPlan } from "./system-plan.ts";
import { START } from "./system-rom.ts";
import { RAM } from "./system-tables.ts";
import {
  farPointer,
  farTransfer,
  fastCall,
  interrupt,
  interruptReturn,
  loadSegment,
  popFlags,
  segmentQuery,
  virtualMode,
} from "./system-transfer-steps.ts";
import type { Chance } from "./values.ts";

/** A stream of flat 32-bit code, or, three times of ten, of 16-bit code in protected, virtual-8086 or real mode. */
export const planSystem = (chance: Chance): SystemPlan =>
  chance.percent(30) ? new ShortPlanner(chance).plan() : planFlat(chance);

/** As often as a kind stands here it is made. */
const kinds: readonly ((maker: Maker) => Step)[] = [
  loadSegment,
  loadSegment,
  segmentQuery,
  farPointer,
  segmentAccess,
  segmentAccess,
  pageAccess,
  popFlags,
  interruptReturn,
  farTransfer,
  farTransfer,
  interrupt,
  controlRegister,
  debugRegister,
  tableRegister,
  modelRegister,
  fastCall,
  portAccess,
  stringCopy,
  virtualMode,
  smallInstruction,
];

/** A few steps; in compatibility mode too, where a four-level directory lies in the place of the other. */
export const planSteps = (maker: Maker): Step[] =>
  Array.from({ length: 1 + maker.chance.below(5) }, () => maker.chance.pick(kinds)(maker));

function planFlat(chance: Chance): SystemPlan {
  const isInner = chance.percent(60),
    common = commonHead(chance);
  const steps = planSteps({ chance, cpl: isInner ? 0 : 3, pae: common.cr3 !== RAM.directory });
  // IRET to CPL 3 leaves DS and ES null: PUSH 23h, POP DS and ES.
  if (!isInner && chance.percent(75)) steps.unshift(() => [0x6a, 0x23, 0x1f, 0x6a, 0x23, 0x07]);
  return {
    steps,
    head: {
      ...common,
      // The handler of CPL 0 runs on the stream's stack, which SMAP would shut.
      cr4: common.cr4 | (isInner ? 0 : chance.word() & (chance.percent(20) ? 0x300000 : 0)),
      start: isInner ? START.inner : START.outer,
      eip: RAM.code,
      cs: isInner ? 0x08 : 0x1b,
      esp: RAM.stack,
      ss: isInner ? 0x10 : 0x23,
      segments: [0, 0, 0, 0],
      flags: headFlags(chance),
    },
  };
}
