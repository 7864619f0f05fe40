/** Steps of 64-bit code about the processor's own registers: control, debug, tables, model-specific ones, bases; and small things. */
import { linear } from "./long-access-steps.ts";
import { LONG } from "./long-tables.ts";
import { pickSelector } from "./long-transfer-steps.ts";
import { long, moveEax, moveRax, word, writeWideMsr } from "./machine-code.ts";
import { absolute, type Maker, portStep } from "./steps.ts";
import { CR4_BITS, type Step } from "./system-plan.ts";
import { RAM } from "./system-tables.ts";

export function controlRegister(maker: Maker): Step {
  const chance = maker.chance;
  const cr4 = (chance.word() & CR4_BITS & ~0x300000) | 0x20 | (chance.percent(20) ? 0x20000 : 0);
  const strange = chance.pick([0x80000000, 0x8000, 0x1000]);
  const code = chance.pick([
    [...moveEax((0x80000011 | (chance.word() & 0x5002e)) >>> 0), 0x0f, 0x22, 0xc0],
    [...moveEax(chance.pick([0x11, 0x80000010, 0xa0000011])), 0x0f, 0x22, 0xc0],
    [...moveRax(0x1_8000_0031n), 0x0f, 0x22, 0xc0],
    [...moveEax(cr4), 0x0f, 0x22, 0xe0],
    [...moveEax(chance.percent(50) ? cr4 & ~0x20 : (cr4 | strange) >>> 0), 0x0f, 0x22, 0xe0],
    [...moveEax(LONG.pml4 | (chance.word() & 0x18)), 0x0f, 0x22, 0xd8],
    [...moveRax(BigInt(LONG.pml4) | (1n << 63n) | BigInt(chance.below(16))), 0x0f, 0x22, 0xd8],
    [...moveEax(chance.below(20)), 0x44, 0x0f, 0x22, 0xc0],
    [0x0f, 0x20, chance.pick([0xc3, 0xd3, 0xdb, 0xe3, 0xcb, 0xeb])],
    [0x44, 0x0f, 0x20, 0xc3],
    [...moveRax(chance.bits64()), 0x0f, 0x22, 0xd0],
    [0x0f, 0x06],
    [0x66, 0xb8, ...word(chance.below(16)), 0x0f, 0x01, 0xf0],
    [0x0f, 0x01, 0xe3],
    [0x48, 0x0f, 0x01, 0xe3],
    [0x0f, 0x01, ...absolute(0x38, chance.pick([RAM.data, 0x400000, 0x7fffffff]))],
    [0x0f, 0x01, 0xca],
    [0x0f, 0x01, 0xcb],
  ]);
  return () => code;
}

export function debugRegister(maker: Maker): Step {
  const chance = maker.chance,
    number = chance.pick([0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
  if (chance.percent(25)) return () => [0x0f, 0x21, 0xc3 | (number << 3)];
  let value = chance.pick([
    BigInt(RAM.data + chance.below(16)),
    BigInt(RAM.code + chance.below(60)),
    LONG.canonicalEnd,
    chance.bits64(),
  ]);
  if (number > 3) value = BigInt(((chance.word() & 0xffff01ff) | 0x400) >>> 0);
  // DR6: Bochs clears bits above the lowest four at the next exception, against SDM 3B §17.2.3.
  if (number === 4 || number === 6) value = BigInt(chance.below(16));
  if (number > 3 && chance.percent(8)) value |= 1n << 32n;
  return () => [...moveRax(value), 0x0f, 0x23, 0xc0 | (number << 3)];
}

/** Whether SGDT has written the limit where the base cannot be written differs: the base lies on one page, and is aligned. */
export function tableRegister(maker: Maker): Step {
  const chance = maker.chance,
    place = chance.percent(70) ? RAM.data + 0x306 : Number(linear(maker) & 0x7ffffff0n) + 6,
    load = [0x66, 0xb8, ...word(pickSelector(maker))];
  const code = chance.pick([
    [0x0f, 0x01, ...absolute(0, place)],
    [0x0f, 0x01, ...absolute(8, place)],
    [0x0f, 0x00, 0xc3],
    [0x48, 0x0f, 0x00, 0xcb],
    [...load, 0x0f, 0x00, 0xd0],
    [...load, 0x0f, 0x00, 0xd8],
    [0x0f, 0x09],
  ]);
  return () => code;
}

export function modelRegister(maker: Maker): Step {
  const chance = maker.chance;
  const msr = chance.pick([
    0x174, 0x175, 0x176, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102,
    0x12345,
  ]);
  if (chance.percent(25)) return () => [0xb9, ...long(msr), 0x0f, 0x32];
  let value = chance.pick([BigInt(RAM.data), LONG.canonicalEnd, LONG.aliasHigh, chance.bits64()]);
  if (msr === 0xc0000080) value = BigInt(chance.pick([0x501, 0xd00, 0xd01, 0x901, 0xc01, 0xd03, 0x500]));
  // Whether the reserved half of FMASK is a fault differs.
  if (msr === 0xc0000084) value &= 0xffffffffn;
  if (msr === 0xc0000082) value = chance.percent(60) ? BigInt(LONG.entry) : value;
  return () => writeWideMsr(msr, value);
}

/** SWAPGS, and the four instructions of FSGSBASE in both sizes. */
export function segmentBase(maker: Maker): Step {
  const chance = maker.chance;
  if (chance.percent(30)) return () => [0x0f, 0x01, 0xf8];
  const wide = chance.percent(60) ? [0xf3, 0x48] : [0xf3],
    kind = chance.below(4),
    value = chance.pick([BigInt(RAM.data), LONG.canonicalEnd, LONG.aliasHigh, chance.bits64()]);
  return () => [...(kind > 1 ? moveRax(value) : []), ...wide, 0x0f, 0xae, 0xc0 | (kind << 3)];
}

export const portAccess = ({ chance }: Maker): Step => portStep(chance);

export function smallInstruction(maker: Maker): Step {
  const chance = maker.chance;
  const code = chance.pick([
    [0x9b],
    [0x0f, 0x77],
    [0x0f, 0x57, 0xc0],
    [0xd9, 0xe8],
    [0xf0, 0x89, 0xd8],
    [0x06],
    [0x27],
    [0x60],
    [0x9a],
    [0xd4, 0x0a],
    [0x82, 0xc0, 0x01],
    [0xc5, 0xfc, 0x57, 0xc0],
    [0x0f, 0x22, 0xc8],
    [0x0f, 0x24, 0xc0],
    [0xf3, 0x90],
    [0x0f, 0x01, 0xd0],
    [0x31, 0xdb, 0x48, 0xf7, 0xf3],
    [0x48, 0x63, 0xc8],
    [0xc8, 8, 0, 1, 0xc9],
    [0x0f, 0xa1],
    [0x66, 0x0f, 0x38, 0x82, ...absolute(0x08, RAM.data)],
  ]);
  return () => code;
}
