/** Memory operands of user-mode streams: where they lie, and the bytes that address them in 16, 32 and 64 bits. */
import type { Form } from "./instruction-forms.ts";
import { dataStart, little, RSP, type StreamState, WORD } from "./stream-state.ts";
import { bytes, type Chance, extended } from "./values.ts";

const FS64 = 0xffffa00000010000n,
  GS64 = 0x123456780000n;

export interface Address {
  readonly prefixes: readonly number[];
  /** REX.X and REX.B. */
  readonly rex: number;
  /** mod and rm of ModRM, SIB and displacement. */
  readonly mod: number;
  readonly rm: number;
  readonly tail: readonly number[];
  /** Linear target where the displacement counts from the end of the instruction. */
  readonly relativeTo?: bigint;
}

const fits = (value: bigint, bits: number): boolean =>
  BigInt.asIntN(bits, value) === BigInt.asIntN(64, value);

/** Makes a register of small indices for a gather: a logical shift right of whatever it holds. */
export function indexVector(state: StreamState, { mnemonic, encoding }: Form): number {
  const register = state.chance.below(state.bits === 64 ? 16 : 8),
    isQuad = /GATHERQ/.test(mnemonic);
  const shift = (isQuad ? 54 : 22) + state.chance.below(9);
  const wide = encoding.length === 256 || state.chance.percent(50) ? 4 : 0;
  state.raw(
    0xc4,
    register > 7 ? 0xc1 : 0xe1,
    ((~register & 15) << 3) | wide | 1,
    isQuad ? 0x73 : 0x72,
    0xd0 | (register & 7),
    shift,
  );
  return register;
}

export function gatherAddress(state: StreamState, index: number): Address {
  const target = BigInt(dataStart[state.bits] + state.chance.below(0x1800)),
    base = baseRegister(state, target);
  const rest = BigInt.asIntN(32, target - state.known.get(base)!);
  const sib = (state.chance.below(4) << 6) | ((index & 7) << 3) | (base & 7);
  return {
    prefixes: [],
    rex: (base >> 3) | (index > 7 ? 2 : 0),
    mod: 2,
    rm: 4,
    tail: [sib, ...little(rest, 4)],
  };
}

/** Where a memory operand lies. */
export function pickTarget(state: StreamState, size: number, align: number, writes: boolean): bigint {
  const chance = state.chance,
    start = dataStart[state.bits],
    luck = chance.below(1000);
  let linear = start + chance.below(0x3b00);
  if (state.bits === 16) {
    if (luck < 200) linear = start + 0x1000 * (1 + chance.below(2)) - chance.below(size);
    else if (luck < 205) linear = start + 0xffff - chance.below(size);
  } else if (luck < 200) linear = start + 0x1000 * (1 + chance.below(3)) - 1 - chance.below(size);
  else if (luck < 240) linear = 0x300000 + chance.below(0x1f00);
  else if (luck < 250) linear = 0x100000 + chance.below(0x1f00);
  else if (luck < (writes ? 255 : 290)) linear = 0x205000 + chance.below(0xf00);
  else if (luck < 298) linear = chance.pick([0x204000, 0x206000]) - chance.below(size);
  else if (luck < 300) return chance.percent(50) ? chance.bits64() : BigInt(chance.word());
  if (chance.percent(95)) linear -= linear % align;
  const seen =
    chance.percent(80) &&
    (linear & 0xff000) !== 0x205000 &&
    linear + 64 < 0x204000 + (state.bits === 16 ? -0x1c0000 : 0);
  if (seen && linear >= start) state.put(linear, bytes(chance, Math.min(64, Math.max(8, size))));
  return BigInt(linear);
}

function memoryBytes(state: StreamState, form: Form, width: number): number {
  const far = width === 16 ? 4 : 6;
  switch (form.memoryCode) {
    case 0xf0:
      return width / 8;
    case 0xf1:
      return Math.min(4, width / 8);
    case 0xf2:
      return width === 64 ? 8 : 4;
    case 0xf3:
      return far;
    case 0xf6:
      return width === 16 ? 14 : 28;
    case 0xf7:
      return width === 16 ? 94 : 108;
    default:
      return form.mnemonic.startsWith("FX") ? 512 : form.memoryCode > 0xf0 ? 16 : form.memoryCode;
  }
}

export function makeAddress(state: StreamState, form: Form, width: number): Address {
  const size = memoryBytes(state, form, width),
    isX87State = form.memoryCode === 0xf6 || form.memoryCode === 0xf7 || form.mnemonic.startsWith("FX");
  const aligned =
    form.mnemonic.startsWith("FX") ||
    form.mnemonic === "CMPXCHG16B" ||
    (form.kind === "avx" && (/Aligned/.test(form.row.handler) || state.chance.percent(30))) ||
    (form.kind === "sse" && size === 16 && !/^(MOVU|MOVDQU|LDDQU|PCMP.STR)/.test(form.mnemonic));
  let target: bigint;
  // Images with instruction and data pointers have a place of their own, which nothing else reads.
  if (isX87State) {
    const room = state.bits === 16 ? 0x3c000 : 0x203c00;
    const start = room + (form.stores ? 0 : 0x200) + (aligned ? 0 : state.chance.below(64));
    target = BigInt(start);
    if (/^(FNSTENV|FNSAVE)$/.test(form.mnemonic))
      state.ignored.push(width === 16 ? [(start + 6).toString(16), 8] : [(start + 12).toString(16), 16]);
    else if (form.mnemonic === "FXSAVE")
      state.ignored.push([(start + 6).toString(16), 18], [(start + 28).toString(16), 4]);
    else if (form.mnemonic === "FXRSTOR") state.put(start, fxImage(state.chance));
    else state.put(start, x87Image(state.chance, size));
  } else {
    // Whether a faulting MMX instruction has already left x87 mode differs from one processor to the next; so does the order of
    // a waiting #MF and a segment's limit.
    do target = pickTarget(state, size, aligned ? Math.max(16, size) : 1, form.stores);
    while (
      (form.kind === "mmx" || (state.bits === 16 && form.kind === "x87")) &&
      !isSafe(state, target, size)
    );
    if (form.stores && size > 8) state.partial = [target.toString(16), size];
  }
  const offset = target - (state.bits === 16 ? 0x30000n : 0n);
  if (state.bits === 64) return address64(state, offset);
  const overrides =
    form.kind === "x87" || form.kind === "avx" ? [0x26, 0x36, 0x3e] : [0x26, 0x2e, 0x36, 0x3e];
  return state.bits === 32 ? address32(state, offset, overrides) : address16(state, offset);
}

function isSafe(state: StreamState, target: bigint, size: number): boolean {
  const offset = target - BigInt(dataStart[state.bits]);
  return offset >= 0n && offset + BigInt(size) <= 0x3c00n;
}

/** A register to address with; its value does not matter, only that it is known. */
function baseRegister(state: StreamState, near: bigint): number {
  const known = state.pickKnown();
  if (known >= 0 && (state.bits !== 64 || fits(near - state.known.get(known)!, 32))) return known;
  const register = state.free();
  const displacement = state.chance.pick([
    0n,
    0n,
    BigInt.asIntN(8, BigInt(state.chance.below(256))),
    BigInt(state.chance.word() | 0) >> 8n,
  ]);
  state.load(register, near - displacement);
  return register;
}

function address64(state: StreamState, target: bigint): Address {
  const chance = state.chance,
    kind = chance.below(100),
    prefixes: number[] = [];
  if (kind < 10) return { prefixes, rex: 0, mod: 0, rm: 5, tail: [0, 0, 0, 0], relativeTo: target };
  if (kind < 14 && fits(target, 32))
    return { prefixes, rex: 0, mod: 0, rm: 4, tail: [0x25, ...little(target, 4)] };
  let offset = target;
  const short = kind >= 14 && kind < 20 && target < 1n << 32n;
  if (short) prefixes.push(0x67);
  else if (kind < 30) {
    const useFs = chance.percent(50);
    prefixes.push(useFs ? 0x64 : 0x65);
    offset = (target - (useFs ? FS64 : GS64)) & WORD;
  } else if (kind < 34) prefixes.push(chance.pick([0x26, 0x2e, 0x36, 0x3e]));
  const base = baseRegister(state, offset);
  return withBase(state, offset, base, short, prefixes);
}

/** ModRM, SIB and displacement for a base, sometimes an index, and the displacement that is left. */
function withBase(
  state: StreamState,
  offset: bigint,
  base: number,
  short: boolean,
  prefixes: number[],
): Address {
  const chance = state.chance,
    long = state.bits === 64 && !short;
  const value = (register: number): bigint => state.known.get(register)!;
  let index = -1,
    scale = 0;
  let rest = BigInt.asIntN(long ? 64 : 32, offset - value(base));
  if (chance.percent(40)) {
    const candidate = state.pickKnown();
    scale = chance.below(4);
    if (candidate >= 0 && candidate !== RSP) {
      const left = BigInt.asIntN(long ? 64 : 32, offset - value(base) - (value(candidate) << BigInt(scale)));
      if (!long || fits(left, 32)) {
        index = candidate;
        rest = left;
      }
    }
  }
  let mod = 2;
  if (rest === 0n && (base & 7) !== 5 && chance.percent(80)) mod = 0;
  else if (fits(rest, 8) && chance.percent(80)) mod = 1;
  const displacement = mod === 0 ? [] : little(rest, mod === 1 ? 1 : 4);
  const needsSib = index >= 0 || (base & 7) === 4 || chance.percent(10);
  const rex = (base >> 3) | (index >= 8 ? 2 : 0);
  if (!needsSib) return { prefixes, rex, mod, rm: base & 7, tail: displacement };
  const sib = (scale << 6) | ((index < 0 ? 4 : index & 7) << 3) | (base & 7);
  return { prefixes, rex, mod, rm: 4, tail: [sib, ...displacement] };
}

function address32(state: StreamState, target: bigint, overrides: readonly number[]): Address {
  const chance = state.chance,
    kind = chance.below(100),
    prefixes: number[] = [];
  if (kind < 8) return { prefixes, rex: 0, mod: 0, rm: 5, tail: little(target, 4) };
  let offset = target & 0xffffffffn;
  if (kind < 20) {
    const useFs = chance.percent(50);
    prefixes.push(useFs ? 0x64 : 0x65);
    offset = (target - (useFs ? 0xfff00000n : 0x200000n)) & 0xffffffffn;
    if (!useFs && offset < 0x10000n && chance.percent(60))
      return shortAddress(state, offset, [0x67, ...prefixes]);
  } else if (kind < 24) prefixes.push(chance.pick(overrides));
  return withBase(state, offset, baseRegister(state, offset), true, prefixes);
}

function address16(state: StreamState, target: bigint): Address {
  const chance = state.chance,
    prefixes: number[] = [];
  if (target < 0n || target > 0xffffn) return shortAddress(state, target & 0xffffn, prefixes);
  if (chance.percent(15)) {
    // BP and SP address the stack segment: an override says otherwise.
    return withBase(state, target, baseRegister(state, target), true, [0x67, 0x3e]);
  }
  return shortAddress(state, target, prefixes);
}

/** The eight forms of 16-bit addressing (SDM 2A table 2-1), in the data segment. */
function shortAddress(state: StreamState, offset: bigint, prefixes: number[]): Address {
  const chance = state.chance;
  if (chance.percent(25)) return { prefixes, rex: 0, mod: 0, rm: 6, tail: little(offset, 2) };
  const rm = chance.below(8);
  const registers = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]][rm]!;
  let sum = 0n;
  for (const register of registers) {
    if (!state.known.has(register)) {
      if (state.kept.has(register)) return { prefixes, rex: 0, mod: 0, rm: 6, tail: little(offset, 2) };
      state.load(register, BigInt(chance.below(0x10000)));
    }
    sum += state.known.get(register)!;
  }
  const usesStack = registers[0] === 5;
  const override = usesStack && state.bits === 16 ? [0x3e] : [];
  return { prefixes: [...override, ...prefixes], rex: 0, mod: 2, rm, tail: little(offset - sum, 2) };
}

function x87Image(chance: Chance, size: number): Buffer {
  const image = bytes(chance, size);
  const step = size === 14 || size === 94 ? 2 : 4;
  image.fill(0, 0, 7 * step);
  image.writeUInt16LE(0x37f | (chance.below(4) << 10), 0);
  image.writeUInt16LE(chance.below(8) << 11, step);
  image.writeUInt16LE(chance.word() & 0xffff, 2 * step);
  for (let at = 7 * step; at + 10 <= size; at += 10) extended(chance).copy(image, at);
  return image;
}
function fxImage(chance: Chance): Buffer {
  const image = bytes(chance, 512);
  image.fill(0, 0, 32);
  image.writeUInt16LE(0x37f | (chance.below(4) << 10), 0);
  image.writeUInt16LE(chance.below(8) << 11, 2);
  image.writeUInt8(chance.below(256), 4);
  image.writeUInt32LE(0x1f80 | (chance.below(4) << 13) | chance.below(64), 24);
  for (let n = 0; n < 8; n++) {
    image.fill(0, 32 + 16 * n, 48 + 16 * n);
    extended(chance).copy(image, 32 + 16 * n);
  }
  return image;
}
