/** Operand values that are likely to matter: the ends of ranges, single bits, special floating-point numbers. All from one seeded source. */

/** A stream of numbers from one seed (xorshift128+ over two 32-bit halves would do; this is sfc32). */
export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;
  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = (seed ^ 0x9e3779b9) | 0;
    this.#c = Math.imul(seed, 0x85ebca6b) | 0;
    for (let k = 0; k < 15; k++) this.word();
  }
  /** 32 bits, unsigned. */
  word(): number {
    const t = (this.#a + this.#b + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }
  /** 0 .. count-1. */
  below(count: number): number {
    return Math.floor((this.word() / 2 ** 32) * count);
  }
  /** True so many times of a hundred. */
  percent(share: number): boolean {
    return this.word() / 2 ** 32 < share / 100;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  bits64(): bigint {
    return (BigInt(this.word()) << 32n) | BigInt(this.word());
  }
}

/** An integer of so many bits. */
export function integer(chance: Chance, bits: number): bigint {
  const mask = (1n << BigInt(bits)) - 1n;
  switch (chance.below(8)) {
    case 0:
      return BigInt(chance.below(4));
    case 1:
      return mask - BigInt(chance.below(3));
    case 2:
      return ((1n << BigInt(bits - 1)) + BigInt(chance.below(3)) - 1n) & mask;
    case 3:
      return (1n << BigInt(chance.below(bits))) & mask;
    case 4:
      return BigInt(chance.below(256));
    case 5:
      return BigInt.asUintN(bits, BigInt.asIntN(8 << chance.below(3), chance.bits64()));
    default:
      return chance.bits64() & mask;
  }
}

const singles = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc12345, 1,
  0x807fffff, 0x00800000, 0x7f7fffff, 0x4b000001, 0x4f000000, 0xcf000000, 0x5f000000, 0x3f000000, 0x33800000,
  0x7fbfffff,
];
const doubles = [
  "0000000000000000",
  "8000000000000000",
  "3ff0000000000000",
  "bff0000000000000",
  "7ff0000000000000",
  "fff0000000000000",
  "7ff8000000000000",
  "7ff0000000000001",
  "0000000000000001",
  "800fffffffffffff",
  "0010000000000000",
  "7fefffffffffffff",
  "4330000000000001",
  "41e0000000000000",
  "c1e0000000200000",
  "43e0000000000000",
  "3fe0000000000000",
  "36a0000000000000",
  "47efffffe0000000",
  "380fffffffffffff",
].map((hex) => BigInt(`0x${hex}`));

export const single = (chance: Chance): number =>
  chance.percent(50)
    ? chance.pick(singles)
    : ((chance.word() & 0x807fffff) | ((117 + chance.below(20)) << 23)) >>> 0;
export const double = (chance: Chance): bigint =>
  chance.percent(50)
    ? chance.pick(doubles)
    : (chance.bits64() & 0x800fffffffffffffn) | (BigInt(1013 + chance.below(20)) << 52n);

/** Bytes that hold integers, single or double numbers, or anything. */
export function bytes(chance: Chance, length: number): Buffer {
  const buffer = Buffer.alloc(length + 8);
  const style = chance.below(4);
  for (let k = 0; k < length; k += 8) {
    if (style === 0) {
      buffer.writeUInt32LE(single(chance), k);
      buffer.writeUInt32LE(single(chance), k + 4);
    } else if (style === 1) buffer.writeBigUInt64LE(double(chance), k);
    else if (style === 2) buffer.writeBigUInt64LE(chance.bits64(), k);
    else {
      const width = 8 << chance.below(4);
      let value = 0n;
      for (let part = 0; part < 64; part += width) value |= integer(chance, width) << BigInt(part);
      buffer.writeBigUInt64LE(value, k);
    }
  }
  return buffer.subarray(0, length);
}

/** An 80-bit number of any class, in memory order. */
export function extended(chance: Chance): Buffer {
  const buffer = Buffer.alloc(16),
    sign = chance.below(2) << 15;
  const top = 1n << 63n;
  const put = (exponent: number, significand: bigint): Buffer => {
    buffer.writeBigUInt64LE(significand);
    buffer.writeUInt16LE(sign | exponent, 8);
    return buffer.subarray(0, 10);
  };
  switch (chance.below(12)) {
    case 0:
      return put(0, 0n);
    case 1:
      return put(0x7fff, top);
    case 2:
      return put(0x7fff, chance.bits64() | top | (1n << 62n));
    case 3:
      return put(0x7fff, top | (chance.bits64() & ((1n << 62n) - 1n)) | 1n);
    case 4:
      return put(0, chance.bits64() >> BigInt(1 + chance.below(63)));
    case 5:
      return put(chance.below(0x8000), chance.bits64());
    case 6:
      return put(0x3fff, top);
    case 7:
      return put(0x3fff + chance.below(64), top | (BigInt(chance.word()) << 31n));
    case 8:
      return put(chance.pick([1, 0x7ffe, 0x3c01, 0x43fe, 0x3f81, 0x407e]), chance.bits64() | top);
    default:
      return put(0x3fff - 20 + chance.below(60), chance.bits64() | top);
  }
}
