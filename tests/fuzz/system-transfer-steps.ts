/** Steps of 32-bit code about segments and ways between levels and modes: descriptors, gates, interrupts, SYSENTER, virtual-8086 mode. */
import { long, word, writeMsr } from "./machine-code.ts";
import { fixed, flagsUpToAc, type Maker, moveToSegment, popFlagsStep, popToSegment } from "./steps.ts";
import { type Step } from "./system-plan.ts";
import { FIRST_TEST_SELECTOR, RAM, testDescriptors } from "./system-tables.ts";

export function pickSelector(maker: Maker): number {
  const chance = maker.chance,
    luck = chance.below(100);
  if (luck < 60) return FIRST_TEST_SELECTOR + 8 * chance.below(testDescriptors.length) + chance.below(4);
  if (luck < 80) return chance.pick([0x08, 0x10, 0x1b, 0x23, 0x28, 0x30, 0, 3, 0x0b, 0x13, 0x18, 0x20]);
  return luck < 92 ? (chance.below(33) << 3) | 4 | chance.below(4) : chance.below(0x10000);
}

/** For SS at CPL 0 only the flat segment works: with another the handler would have no stack. */
function stackSelector(maker: Maker): number {
  for (;;) {
    const selector = pickSelector(maker);
    const descriptor = testDescriptors[((selector >> 3) - (selector & 4 ? 0 : FIRST_TEST_SELECTOR >> 3)) | 0];
    if (maker.cpl !== 0 || descriptor === undefined || (descriptor[5]! & 0x9a) !== 0x92) return selector;
  }
}

export function loadSegment(maker: Maker): Step {
  const segment = maker.chance.pick([0, 0, 2, 3, 3, 4, 5, 5, 1]);
  const selector = segment === 2 ? stackSelector(maker) : pickSelector(maker);
  if (maker.chance.percent(30) && segment > 3) return popToSegment(segment, selector);
  return moveToSegment(segment, selector);
}

/** LAR, LSL, VERR, VERW, ARPL. */
export function segmentQuery(maker: Maker): Step {
  const chance = maker.chance,
    prefix = chance.percent(30) ? [0x66] : [];
  const load = [0xb9, ...long(pickSelector(maker) | (chance.percent(20) ? chance.word() << 16 : 0))];
  switch (chance.below(5)) {
    case 0:
      return () => [...load, ...prefix, 0x0f, 0x02, 0xc1];
    case 1:
      return () => [...load, ...prefix, 0x0f, 0x03, 0xc1];
    case 2:
      return () => [...load, 0x0f, 0x00, 0xe1];
    case 3:
      return () => [...load, 0x0f, 0x00, 0xe9];
    default:
      return () => [...load, 0x63, 0xc8];
  }
}

/** LES, LDS, LSS, LFS, LGS of a pointer put into memory. */
export function farPointer(maker: Maker): Step {
  const place = RAM.data + maker.chance.below(0x100),
    kind = maker.chance.below(5);
  const selector = kind === 2 ? stackSelector(maker) : pickSelector(maker);
  const opcode = [[0xc4], [0xc5], [0x0f, 0xb2], [0x0f, 0xb4], [0x0f, 0xb5]][kind]!;
  return () => [
    0xc7,
    0x05,
    ...long(place),
    ...long(maker.cpl),
    0x66,
    0xc7,
    0x05,
    ...long(place + 4),
    ...word(selector),
    ...opcode,
    0x1d,
    ...long(place),
  ];
}

function flagBits({ chance }: Maker): number {
  const withAc = flagsUpToAc(chance);
  return (
    (withAc | (chance.percent(10) ? 0x200000 : 0) | (chance.percent(8) ? 0x180000 & chance.word() : 0)) >>> 0
  );
}

export const popFlags = (maker: Maker): Step => popFlagsStep(maker.chance, flagBits(maker));

/** IRET to what follows it. */
export function interruptReturn(maker: Maker): Step {
  const chance = maker.chance,
    flags = flagBits(maker) & ~0x20000,
    selector = chance.percent(50) ? (maker.cpl === 0 ? 0x08 : 0x1b) : pickSelector(maker);
  const outer = chance.percent(60)
    ? [0x68, ...long(chance.percent(70) ? 0x23 : pickSelector(maker)), 0x68, ...long(RAM.stack - 0x100)]
    : [];
  return (at) => {
    const frame = [...outer, 0x68, ...long(flags), 0x68, ...long(selector)];
    return [...frame, 0x68, ...long(at + frame.length + 6), 0xcf];
  };
}

/** JMP and CALL far, direct or through memory, and RETF, to what follows. */
export function farTransfer(maker: Maker): Step {
  const chance = maker.chance,
    selector = pickSelector(maker),
    kind = chance.below(5);
  if (kind < 2) return (at) => [kind === 0 ? 0xea : 0x9a, ...long(at + 7), ...word(selector)];
  if (kind === 2) {
    const outer = chance.percent(40) ? [0x6a, 0x23, 0x68, ...long(RAM.stack - 0x80)] : [];
    return (at) => [...outer, 0x68, ...long(selector), 0x68, ...long(at + outer.length + 11), 0xcb];
  }
  const place = RAM.data + 0x200;
  return (at) => [
    0xc7,
    0x05,
    ...long(place),
    ...long(at + 25),
    0x66,
    0xc7,
    0x05,
    ...long(place + 4),
    ...word(selector),
    0xff,
    kind === 3 ? 0x1d : 0x2d,
    ...long(place),
  ];
}

export function interrupt(maker: Maker): Step {
  const chance = maker.chance;
  switch (chance.below(6)) {
    case 0:
      return () => [0xcc];
    case 1:
      return () => [0xce];
    case 2:
      return () => [0x0f, 0x0b];
    default: {
      const vector = chance.pick([
        0, 1, 2, 3, 4, 5, 8, 13, 14, 0x21, 0x24, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x80, 0xff,
      ]);
      return () => [0xcd, vector];
    }
  }
}

/** SYSENTER and SYSEXIT, with and without their registers. */
export function fastCall(maker: Maker): Step {
  const chance = maker.chance,
    selector = chance.percent(70) ? 0x08 : chance.pick([0, 3, 0x1b, 0x38]);
  if (chance.percent(30)) return fixed([0x0f, chance.pick([0x34, 0x35])]);
  return (at) => {
    const setUp = [...writeMsr(0x174, selector), ...writeMsr(0x175, RAM.stack - 0x40)];
    const leaves = chance.percent(50);
    if (leaves)
      return [...setUp.slice(0, 14), 0xba, ...long(at + 26), 0xb9, ...long(RAM.stack - 0x40), 0x0f, 0x35];
    return [...setUp, ...writeMsr(0x176, at + setUp.length + 16), 0x0f, 0x34];
  };
}

/** IRET into virtual-8086 mode, a few instructions there. */
export function virtualMode(maker: Maker): Step {
  const chance = maker.chance,
    flags =
      (0x20002 | (chance.below(4) << 12) | (chance.word() & 0x2d5) | (chance.percent(10) ? 0x100 : 0)) >>> 0;
  const inside = Array.from({ length: 1 + chance.below(4) }, () =>
    chance.pick([
      [0xcd, 0x21],
      [0x9c],
      [0x9d],
      [0xfa],
      [0xfb],
      [0xf4],
      [0xe4, 0x35],
      [0xe4, 0x34],
      [0x8e, 0xd8],
      [0x1e],
      [0x0f, 0xa8],
      [0x0f, 0x20, 0xc0],
      [0x0f, 0x00, 0xc0],
      [0xa1, 0x10, 0x00],
      [0xa3, 0xff, 0xff],
      [0x66, 0x9c],
      [0xcc],
      [0xce],
      [0xcb],
      [0x0f, 0x01, 0xe0],
      [0x8c, 0xc8],
      [0x0f, 0x02, 0xc1],
      [0x63, 0xc1],
    ]),
  ).flat();
  return (at) => {
    const frame = [
      0x6a,
      0,
      0x6a,
      0,
      0x68,
      ...long(0x2100),
      0x68,
      ...long(0x2100),
      0x68,
      ...long(0x2000),
      0x68,
      ...long(0x8700),
      0x68,
      ...long(flags),
      0x68,
      ...long(0x2000),
    ];
    const target = at + frame.length + 6 - RAM.code;
    return [...frame, 0x68, ...long(target), 0xcf, ...inside];
  };
}
