/** Makes streams for long-rom.ts: steps of 64-bit code about pages, canonical addresses, descriptors, SYSCALL and the rest of long mode. */
import { type LongStream } from "./long-rom.ts";
import { LONG, LONG_GDT_BYTES, LONG_SELECTORS } from "./long-tables.ts";
import { long, quad, word } from "./machine-code.ts";
import { assemble, CR4_BITS, type Plan, type Step } from "./system-plan.ts";
import { SystemPlanner } from "./system-stream.ts";
import { pages, RAM } from "./system-tables.ts";
import type { Chance } from "./values.ts";

export type LongPlan = Plan<LongStream>;

export const buildLong = ({ steps, head }: LongPlan): LongStream => ({
  ...head,
  code: assemble(steps, RAM.code, 136),
});

const moveEax = (value: number): number[] => [0xb8, ...long(value)];
const moveRax = (value: bigint): number[] => [0x48, 0xb8, ...quad(value)];
const absolute = (modrm: number, place: number): number[] => [modrm | 0x04, 0x25, ...long(place)];
const writeMsr = (msr: number, value: bigint): number[] => [
  0xb9,
  ...long(msr),
  ...moveEax(Number(value & 0xffffffffn)),
  0xba,
  ...long(Number((value >> 32n) & 0xffffffffn)),
  0x0f,
  0x30,
];
const hex = (value: bigint): string => (value & 0xffff_ffff_ffff_ffffn).toString(16);

/** Sixty-four-bit code three times of four, else compatibility mode's. */
export function planLong(chance: Chance): LongPlan {
  const cpl = chance.percent(55) ? 0 : 3;
  return chance.percent(75) ? new LongPlanner(chance, cpl).plan() : planCompatible(chance, cpl);
}

/** 32-bit code in a 64-bit system: the steps are those of protected mode, whose memory lies in the same places. */
function planCompatible(chance: Chance, cpl: 0 | 3): LongPlan {
  const steps = new SystemPlanner(chance, cpl).steps(),
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
    flags:
      2 |
      (chance.percent(50) ? 0x200 : 0) |
      (chance.percent(30) ? chance.below(4) << 12 : 0) |
      (chance.percent(10) ? 0x40000 : 0) |
      (chance.word() & 0xcd5),
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

class LongPlanner {
  readonly #chance: Chance;
  readonly #cpl: 0 | 3;
  constructor(chance: Chance, cpl: 0 | 3) {
    this.#chance = chance;
    this.#cpl = cpl;
  }

  plan(): LongPlan {
    const steps = Array.from({ length: 1 + this.#chance.below(5) }, () => this.#step());
    return { steps, head: headOf(this.#chance, this.#cpl) };
  }

  #step(): Step {
    const kinds: readonly (() => Step)[] = [
      () => this.#access(),
      () => this.#access(),
      () => this.#access(),
      () => this.#stackAccess(),
      () => this.#jump(),
      () => this.#loadSegment(),
      () => this.#query(),
      () => this.#flags(),
      () => this.#interrupt(),
      () => this.#interruptReturn(),
      () => this.#farTransfer(),
      () => this.#farTransfer(),
      () => this.#systemCall(),
      () => this.#systemCall(),
      () => this.#control(),
      () => this.#control(),
      () => this.#debug(),
      () => this.#tables(),
      () => this.#modelRegister(),
      () => this.#bases(),
      () => this.#string(),
      () => this.#patch(),
      () => this.#port(),
      () => this.#small(),
    ];
    return this.#chance.pick(kinds)();
  }

  /** A linear address: plain, on a page with other rights, by another way to the same memory, or not canonical. */
  #linear(): bigint {
    const chance = this.#chance;
    const page = chance.pick([
      ...[RAM.data, RAM.data + 0x1000, pages.readOnly, pages.readOnly, pages.absent, pages.kernel].map(
        BigInt,
      ),
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

  #access(): Step {
    const chance = this.#chance,
      address = this.#linear();
    const size = chance.pick([[], [], [0x48], [0x66]]);
    if (chance.percent(25)) {
      const opcode = chance.pick([0xa0, 0xa1, 0xa1, 0xa2, 0xa3, 0xa3]);
      const prefix = chance.pick([[], [], [0x64], [0x65], [0x67]]);
      const bytes =
        prefix[0] === 0x67 ? long(Number(address & 0xffffffffn)) : quad(address & 0xffff_ffff_ffff_ffffn);
      return () => [...prefix, ...size, opcode, ...bytes];
    }
    // [RDI] or [RBP], the latter in the stack segment.
    const [register, modrm] = chance.pick([
      [0xbf, 0x07],
      [0xbf, 0x07],
      [0xbd, 0x45],
    ] as const);
    const load = [0x48, register, ...quad(address & 0xffff_ffff_ffff_ffffn)];
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
  #stackAccess(): Step {
    const chance = this.#chance,
      address = this.#cpl === 3 ? this.#linear() & ~7n : BigInt(RAM.stack - 8 * chance.below(8));
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
    const isSafe = this.#cpl === 3 || (code[0] !== 0x5c && code[0] !== 0xc9);
    return () => [0x48, 0xbc, ...quad(address & 0xffff_ffff_ffff_ffffn), ...(isSafe ? code : [0x50])];
  }

  /** A jump, call or return to a page without code, of the kernel, or not canonical; or by the upper half to what follows. */
  #jump(): Step {
    const chance = this.#chance;
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
      return [...moveRax(target & 0xffff_ffff_ffff_ffffn), ...kind];
    };
  }

  #selector(): number {
    const chance = this.#chance,
      luck = chance.below(100);
    if (luck < 65) return (chance.below(LONG_GDT_BYTES / 8) << 3) + chance.below(4);
    if (luck < 85) return chance.pick(Object.values(LONG_SELECTORS));
    return luck < 93 ? (chance.below(17) << 3) | 4 | chance.below(4) : chance.below(0x10000);
  }
  #codeSelector(): number {
    const chance = this.#chance;
    if (chance.percent(35)) return this.#selector();
    return this.#cpl === 0 ? LONG_SELECTORS.code64 : LONG_SELECTORS.userCode64;
  }

  #loadSegment(): Step {
    const chance = this.#chance,
      segment = chance.pick([0, 2, 3, 4, 5, 1]),
      selector = chance.percent(20) ? chance.below(4) : this.#selector();
    if (chance.percent(30) && segment > 3)
      return () => [0x68, ...long(selector), 0x0f, segment === 4 ? 0xa1 : 0xa9];
    if (chance.percent(20) && segment !== 1 && segment !== 0 && segment !== 3) {
      const place = RAM.data + 0x80,
        wide = chance.percent(40);
      const prefix = wide ? [0x48] : [],
        opcode = [0xb2, 0, 0xb4, 0xb5][segment - 2]!;
      const low = [0x48, 0xc7, ...absolute(0, place), ...long(0x1234)],
        high = [0x66, 0xc7, ...absolute(0, place + (wide ? 8 : 4)), ...word(selector)];
      return () => [...low, ...high, ...prefix, 0x0f, opcode, ...absolute(0x18, place)];
    }
    return () => [0x66, 0xb8, ...word(selector), 0x8e, 0xc0 | (segment << 3)];
  }

  /** LAR, LSL, VERR, VERW. */
  #query(): Step {
    const chance = this.#chance,
      prefix = chance.pick([[], [0x66], [0x48]]);
    const load = [0xb9, ...long(this.#selector())],
      code = chance.pick([
        [0x02, 0xc1],
        [0x03, 0xc1],
        [0x00, 0xe1],
        [0x00, 0xe9],
      ]);
    return () => [...load, ...(code[0] === 0 ? [] : prefix), 0x0f, ...code];
  }

  #flagBits(): number {
    const chance = this.#chance;
    return (
      (2 |
        (chance.word() & 0x3ed5 & ~0x100) |
        (chance.percent(12) ? 0x100 : 0) |
        (chance.percent(20) ? 0x4000 : 0) |
        (chance.percent(15) ? 0x10000 : 0) |
        (chance.percent(15) ? 0x40000 : 0) |
        (chance.percent(8) ? 0x380000 & chance.word() : 0)) >>>
      0
    );
  }
  #flags(): Step {
    const flags = this.#flagBits(),
      prefix = this.#chance.percent(20) ? [0x66] : [];
    return () => [0x68, ...long(flags), ...prefix, 0x9d, 0x9c, 0x5b];
  }

  #interrupt(): Step {
    const chance = this.#chance,
      vector = chance.pick([
        0, 1, 3, 4, 6, 8, 13, 14, 0x21, 0x24, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x80, 0xff,
      ]);
    const code = chance.pick([
      [0xcc],
      [0xf1],
      [0x0f, 0x0b],
      [0xce],
      [0xcd, vector],
      [0xcd, vector],
      [0xcd, vector],
    ]);
    return () => code;
  }

  /** IRETQ, IRETD or IRET to what follows, on a stack of the same segment or another. */
  #interruptReturn(): Step {
    const chance = this.#chance,
      flags = this.#flagBits(),
      strange = chance.percent(12) ? LONG.canonicalEnd : undefined;
    // Whether an address for a segment of 32 bits may have more differs.
    const own = this.#cpl === 0 ? LONG_SELECTORS.code64 : LONG_SELECTORS.userCode64,
      selector = strange === undefined ? this.#codeSelector() : own;
    const same = this.#cpl === 0 ? LONG_SELECTORS.data : LONG_SELECTORS.userData;
    const stack = chance.percent(60) ? same : chance.percent(40) ? this.#cpl : this.#selector();
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
  #farTransfer(): Step {
    const chance = this.#chance,
      selector = this.#codeSelector(),
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
  #systemCall(): Step {
    const chance = this.#chance,
      kind = chance.below(6),
      wide = chance.percent(60) ? [0x48] : [];
    if (kind < 2) return () => [0x0f, 0x05];
    if (kind < 4) {
      const flags = this.#flagBits(),
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
    return () => [...writeMsr(0x174, BigInt(selector)), 0x0f, 0x34];
  }

  #control(): Step {
    const chance = this.#chance;
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

  #debug(): Step {
    const chance = this.#chance,
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
  #tables(): Step {
    const chance = this.#chance,
      place = chance.percent(70) ? RAM.data + 0x306 : Number(this.#linear() & 0x7ffffff0n) + 6,
      load = [0x66, 0xb8, ...word(this.#selector())];
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

  #modelRegister(): Step {
    const chance = this.#chance;
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
    return () => writeMsr(msr, value);
  }

  /** SWAPGS, and the four instructions of FSGSBASE in both sizes. */
  #bases(): Step {
    const chance = this.#chance;
    if (chance.percent(30)) return () => [0x0f, 0x01, 0xf8];
    const wide = chance.percent(60) ? [0xf3, 0x48] : [0xf3],
      kind = chance.below(4),
      value = chance.pick([BigInt(RAM.data), LONG.canonicalEnd, LONG.aliasHigh, chance.bits64()]);
    return () => [...(kind > 1 ? moveRax(value) : []), ...wide, 0x0f, 0xae, 0xc0 | (kind << 3)];
  }

  #string(): Step {
    const chance = this.#chance;
    const opcode = chance.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xaf]),
      prefix = chance.pick([[0xf3], [0xf3, 0x48], [0x48], [0x64, 0xf3], [0xf2]]);
    const isCompare = opcode === 0xa6 || opcode === 0xaf;
    const pointers = [this.#linear(), this.#linear()].map((value) => quad(value & 0xffff_ffff_ffff_ffffn));
    const count = chance.below(9);
    const load = [0x48, 0xbe, ...pointers[0]!, 0x48, 0xbf, ...pointers[1]!, 0xb9, ...long(count)];
    return () => [...load, ...(prefix[0] === 0xf2 && !isCompare ? [0xf3] : prefix), opcode];
  }

  /** A store into the immediate of the next instruction, by one of the ways to its page. */
  #patch(): Step {
    const chance = this.#chance,
      way = chance.pick([0n, LONG.alias2M, LONG.alias1G]),
      value = chance.below(256);
    return (at) => {
      const place = Number(way) + at + 8 + 1;
      return [0xc6, ...absolute(0, place), value, 0xbb, ...long(0x11111111)];
    };
  }

  /** Ports that no machine has: 34h is shut by the I/O permission bitmap, 35h and 36h are open. */
  #port(): Step {
    const chance = this.#chance,
      port = chance.pick([0x34, 0x35, 0x36]);
    const code = chance.pick([
      [0xe4, port],
      [0xe5, port],
      [0x66, 0xe5, port],
      [0xe6, port],
      [0xfa],
      [0xfb, 0x90],
    ]);
    return () => code;
  }

  #small(): Step {
    const chance = this.#chance;
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
}
