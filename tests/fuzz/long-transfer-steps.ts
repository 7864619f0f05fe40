/** Steps of 64-bit code about segments and ways between levels: descriptors, gates, interrupts, SYSCALL and SYSENTER. */
import { LONG, LONG_GDT_BYTES, LONG_SELECTORS } from "./long-tables.ts";
import { long, moveRax, quad, word, writeWideMsr } from "./machine-code.ts";
import {
  absolute,
  flagsUpToAc,
  interruptStep,
  type Maker,
  moveToSegment,
  popFlagsStep,
  popToSegment,
} from "./steps.ts";
import { type Step } from "./system-plan.ts";
import { RAM } from "./system-tables.ts";

export function pickSelector(maker: Maker): number {
  const chance = maker.chance,
    luck = chance.below(100);
  if (luck < 65) return (chance.below(LONG_GDT_BYTES / 8) << 3) + chance.below(4);
  if (luck < 85) return chance.pick(Object.values(LONG_SELECTORS));
  return luck < 93 ? (chance.below(17) << 3) | 4 | chance.below(4) : chance.below(0x10000);
}

function codeSelector(maker: Maker): number {
  const chance = maker.chance;
  if (chance.percent(35)) return pickSelector(maker);
  return maker.cpl === 0 ? LONG_SELECTORS.code64 : LONG_SELECTORS.userCode64;
}

export function loadSegment(maker: Maker): Step {
  const chance = maker.chance,
    segment = chance.pick([0, 2, 3, 4, 5, 1]),
    selector = chance.percent(20) ? chance.below(4) : pickSelector(maker);
  if (chance.percent(30) && segment > 3) return popToSegment(segment, selector);
  if (chance.percent(20) && segment !== 1 && segment !== 0 && segment !== 3) {
    const place = RAM.data + 0x80,
      wide = chance.percent(40);
    const prefix = wide ? [0x48] : [],
      opcode = [0xb2, 0, 0xb4, 0xb5][segment - 2]!;
    const low = [0x48, 0xc7, ...absolute(0, place), ...long(0x1234)],
      high = [0x66, 0xc7, ...absolute(0, place + (wide ? 8 : 4)), ...word(selector)];
    return () => [...low, ...high, ...prefix, 0x0f, opcode, ...absolute(0x18, place)];
  }
  return moveToSegment(segment, selector);
}

/** LAR, LSL, VERR, VERW. */
export function segmentQuery(maker: Maker): Step {
  const chance = maker.chance,
    prefix = chance.pick([[], [0x66], [0x48]]);
  const load = [0xb9, ...long(pickSelector(maker))],
    code = chance.pick([
      [0x02, 0xc1],
      [0x03, 0xc1],
      [0x00, 0xe1],
      [0x00, 0xe9],
    ]);
  return () => [...load, ...(code[0] === 0 ? [] : prefix), 0x0f, ...code];
}

function flagBits({ chance }: Maker): number {
  return (flagsUpToAc(chance) | (chance.percent(8) ? 0x380000 & chance.word() : 0)) >>> 0;
}

export const popFlags = (maker: Maker): Step => popFlagsStep(maker.chance, flagBits(maker));

const VECTORS = [0, 1, 3, 4, 6, 8, 13, 14, 0x21, 0x24, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x80, 0xff];
export const interrupt = ({ chance }: Maker): Step =>
  interruptStep(chance, VECTORS, [[0xcc], [0xf1], [0x0f, 0x0b], [0xce]]);

/** IRETQ, IRETD or IRET to what follows, on a stack of the same segment or another. */
export function interruptReturn(maker: Maker): Step {
  const chance = maker.chance,
    flags = flagBits(maker),
    strange = chance.percent(12) ? LONG.canonicalEnd : undefined;
  // Whether an address for a segment of 32 bits may have more differs.
  const own = maker.cpl === 0 ? LONG_SELECTORS.code64 : LONG_SELECTORS.userCode64,
    selector = strange === undefined ? codeSelector(maker) : own;
  const same = maker.cpl === 0 ? LONG_SELECTORS.data : LONG_SELECTORS.userData;
  const stack = chance.percent(60) ? same : chance.percent(40) ? maker.cpl : pickSelector(maker);
  if (chance.percent(80))
    return (at) => {
      const frame = [
        0x68,
        ...long(stack),
        0x68,
        ...long(RAM.stack - 0x80),
        0x68,
        ...long(flags),
        0x68,
        ...long(selector),
      ];
      const push =
        strange === undefined ? [0x68, ...long(at + frame.length + 7)] : [...moveRax(strange), 0x50];
      return [...frame, ...push, 0x48, 0xcf];
    };
  // Doublewords: from RSP down, by MOV.
  return (at) => {
    const put = (offset: number, value: number): number[] => [0xc7, 0x44, 0x24, offset, ...long(value)];
    const frame = [
      ...put(0x84, selector),
      ...put(0x88, flags),
      ...put(0x8c, RAM.stack - 0x80),
      ...put(0x90, stack),
    ];
    const total = frame.length + 8 + 7 + 1;
    return [...frame, ...put(0x80, at + total), 0x48, 0x81, 0xc4, ...long(0x80), 0xcf];
  };
}

/** JMP and CALL far through memory, RETF, in all operand sizes; and the forms that do not exist. */
export function farTransfer(maker: Maker): Step {
  const chance = maker.chance,
    selector = codeSelector(maker),
    place = RAM.data + 0x200,
    wide = chance.percent(40);
  const prefix = wide ? [0x48] : [];
  if (chance.percent(40)) {
    const outer = chance.percent(30)
      ? [0x68, ...long(LONG_SELECTORS.userData), 0x68, ...long(RAM.stack - 0x80)]
      : [];
    return (at) => [...outer, 0x68, ...long(selector), 0x68, ...long(at + outer.length + 12), 0x48, 0xcb];
  }
  const absent = chance.pick([0xea, 0x9a]);
  if (chance.percent(10)) return () => [absent, 0, 0, 2, 0, 8, 0];
  const kind = chance.pick([0x18, 0x28]);
  return (at) => {
    const low = [0x48, 0xc7, ...absolute(0, place), ...long(0)];
    const high = [0x66, 0xc7, ...absolute(0, place + (wide ? 8 : 4)), ...word(selector)];
    const target = at + low.length + high.length + prefix.length + 7;
    return [...low.slice(0, -4), ...long(target), ...high, ...prefix, 0xff, ...absolute(kind, place)];
  };
}

/** SYSCALL, SYSRET, SYSENTER, SYSEXIT, with and without REX.W. */
export function systemCall(maker: Maker): Step {
  const chance = maker.chance,
    kind = chance.below(6),
    wide = chance.percent(60) ? [0x48] : [];
  if (kind < 2) return () => [0x0f, 0x05];
  if (kind < 4) {
    const flags = flagBits(maker),
      strange = wide.length > 0 && chance.percent(15);
    // SYSRET: RCX to RIP, R11 to RFLAGS.
    return (at) => {
      const end = BigInt(at + 10 + 10 + wide.length + 2);
      const target = strange ? LONG.canonicalEnd : end;
      return [0x48, 0xb9, ...quad(target), 0x49, 0xbb, ...quad(BigInt(flags)), ...wide, 0x0f, 0x07];
    };
  }
  if (kind === 4)
    return (at) => {
      const load = [0xba, ...long(at + 10 + wide.length + 2), 0xb9, ...long(RAM.stack - 0x40)];
      return [...load, ...wide, 0x0f, 0x35];
    };
  const selector = chance.pick([0, 8, 3, 0x50]);
  return () => [...writeWideMsr(0x174, BigInt(selector)), 0x0f, 0x34];
}
