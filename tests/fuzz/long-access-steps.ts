/** Steps of 64-bit code about memory: pages, canonical addresses, stacks, jumps, strings, and code that patches itself. */
import { LONG } from "./long-tables.ts";
import { long, moveRax, quad } from "./machine-code.ts";
import { absolute, type Maker } from "./steps.ts";
import { type Step } from "./system-plan.ts";
import { pages, RAM } from "./system-tables.ts";

/** A linear address: plain, on a page with other rights, by another way to the same memory, or not canonical. */
export function linear(maker: Maker): bigint {
  const chance = maker.chance;
  const page = chance.pick([
    ...[RAM.data, RAM.data + 0x1000, pages.readOnly, pages.readOnly, pages.absent, pages.kernel].map(BigInt),
    LONG.alias2M + BigInt(RAM.data),
    LONG.alias1G + BigInt(RAM.data),
    LONG.aliasHigh + BigInt(RAM.data),
    LONG.reserved2M,
    LONG.reserved1G,
    LONG.canonicalEnd,
    0xffff_7fff_ffff_f000n,
    0xffff_ffff_ffff_f000n,
    0x80_0000_0000n,
  ]);
  return (
    page +
    chance.pick([0n, 0n, 8n, -1n, -3n, -8n, -15n, 0xff8n, 0xffdn, 0xfffn, BigInt(chance.below(0x1000))])
  );
}

export function memoryAccess(maker: Maker): Step {
  const chance = maker.chance,
    address = linear(maker);
  const size = chance.pick([[], [], [0x48], [0x66]]);
  if (chance.percent(25)) {
    const opcode = chance.pick([0xa0, 0xa1, 0xa1, 0xa2, 0xa3, 0xa3]);
    const prefix = chance.pick([[], [], [0x64], [0x65], [0x67]]);
    const bytes = prefix[0] === 0x67 ? long(Number(address & 0xffffffffn)) : quad(address);
    return () => [...prefix, ...size, opcode, ...bytes];
  }
  // [RDI] or [RBP], the latter in the stack segment.
  const [register, modrm] = chance.pick([
    [0xbf, 0x07],
    [0xbf, 0x07],
    [0xbd, 0x45],
  ] as const);
  const load = [0x48, register, ...quad(address)];
  const tail = modrm === 0x45 ? [0x45, 0] : [0x07];
  const digit = (n: number): number[] => [tail[0]! | (n << 3), ...tail.slice(1)];
  const code = chance.pick([
    [...size, 0x8b, ...digit(3)],
    [...size, 0x89, ...digit(3)],
    [...size, 0x87, ...digit(3)],
    [...size, 0xff, ...digit(0)],
    [0xff, ...digit(6)],
    [0xf0, ...size, 0x01, ...digit(3)],
    [0x0f, 0x10, ...digit(1)],
    [0x0f, 0x28, ...digit(1)],
    [0x0f, 0x29, ...digit(1)],
    [0x48, 0x0f, 0xc7, ...digit(1)],
    [0x0f, 0xb0, ...digit(3)],
    [0x0f, 0xae, ...digit(7)],
    [0x0f, 0x18, ...digit(1)],
  ]);
  return () => [...load, ...code];
}

/** Pushes, pops and frames where RSP is strange: the stack comes back before a handler of CPL 0 needs it. */
export function stackAccess(maker: Maker): Step {
  const chance = maker.chance,
    address = maker.cpl === 3 ? linear(maker) & ~7n : BigInt(RAM.stack - 8 * chance.below(8));
  const code = chance.pick([
    [0x50],
    [0x58],
    [0x66, 0x50],
    [0x9c],
    [0x6a, 0x85],
    [0xc8, 8, 0, 0],
    [0xc8, 8, 0, 2],
    [0xc9],
    [0x0f, 0xa0],
    [0xe8, 0, 0, 0, 0],
    [0xff, 0x34, 0x24],
    [0x54],
    [0x5c],
  ]);
  const isSafe = maker.cpl === 3 || (code[0] !== 0x5c && code[0] !== 0xc9);
  return () => [0x48, 0xbc, ...quad(address), ...(isSafe ? code : [0x50])];
}

/** A jump, call or return to a page without code, of the kernel, or not canonical; or by the upper half to what follows. */
export function jump(maker: Maker): Step {
  const chance = maker.chance;
  // Nothing executes where no memory is: a page without code, of the kernel, absent, reserved, or not canonical.
  const pagesAway = [RAM.data + 0x1000, pages.absent, pages.kernel].map(BigInt);
  const away =
    chance.pick([...pagesAway, LONG.aliasHigh, LONG.reserved2M, LONG.reserved1G, LONG.canonicalEnd]) +
    BigInt(chance.pick([0, 0, 1, 0xff0, 0xfff]));
  const kind = chance.pick([
    [0xff, 0xe0],
    [0xff, 0xd0],
    [0x50, 0xc3],
    [0x50, 0xc2, 8, 0],
    [0x66, 0xff, 0xe0],
  ]);
  const near = chance.pick([0n, LONG.alias2M, LONG.alias1G, LONG.aliasHigh]);
  const comesBack = chance.percent(40);
  return (at) => {
    const target = comesBack ? near + BigInt(at + 10 + kind.length) : away;
    return [...moveRax(target), ...kind];
  };
}

export function stringCopy(maker: Maker): Step {
  const chance = maker.chance;
  const opcode = chance.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xaf]),
    prefix = chance.pick([[0xf3], [0xf3, 0x48], [0x48], [0x64, 0xf3], [0xf2]]);
  const isCompare = opcode === 0xa6 || opcode === 0xaf;
  const pointers = [linear(maker), linear(maker)].map((value) => quad(value));
  const count = chance.below(9);
  const load = [0x48, 0xbe, ...pointers[0]!, 0x48, 0xbf, ...pointers[1]!, 0xb9, ...long(count)];
  return () => [...load, ...(prefix[0] === 0xf2 && !isCompare ? [0xf3] : prefix), opcode];
}

/** A store into the immediate of the next instruction, by one of the ways to its page. */
export function selfPatch(maker: Maker): Step {
  const chance = maker.chance,
    way = chance.pick([0n, LONG.alias2M, LONG.alias1G]),
    value = chance.below(256);
  return (at) => {
    const place = Number(way) + at + 8 + 1;
    return [0xc6, ...absolute(0, place), value, 0xbb, ...long(0x11111111)];
  };
}
