/** Makes streams for system-rom.ts: a few steps of 32-bit code each, about segments, gates, control registers, pages and privilege. */
import { long, word, writeMsr } from "./machine-code.ts";
import { ShortPlanner } from "./short-stream.ts";
import { commonHead, CR4_BITS, type Step, type SystemPlan } from "./system-plan.ts";
import { START } from "./system-rom.ts";
import { FIRST_TEST_SELECTOR, pages, RAM, testDescriptors } from "./system-tables.ts";
import type { Chance } from "./values.ts";

/** A step that is the same wherever it stands, and each time it is asked. */
const fixed =
  (code: readonly number[]): Step =>
  () =>
    code;
const loadEax = (value: number): number[] => [0xb8, ...long(value)];

/** A stream of flat 32-bit code, or, three times of ten, of 16-bit code in protected, virtual-8086 or real mode. */
export const planSystem = (chance: Chance): SystemPlan =>
  (chance.percent(30) ? new ShortPlanner(chance) : new SystemPlanner(chance)).plan();

export class SystemPlanner {
  readonly #chance: Chance;
  readonly #cpl: 0 | 3;
  #pae = false;
  constructor(chance: Chance, cpl: 0 | 3 = chance.percent(60) ? 0 : 3) {
    this.#chance = chance;
    this.#cpl = cpl;
  }

  /** A few steps; in compatibility mode too, where a four-level directory lies in the place of the other. */
  steps(): Step[] {
    return Array.from({ length: 1 + this.#chance.below(5) }, () => this.#step());
  }

  plan(): SystemPlan {
    const chance = this.#chance,
      common = commonHead(chance),
      isInner = this.#cpl === 0;
    this.#pae = common.cr3 !== RAM.directory;
    const steps = this.steps();
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
        flags:
          2 |
          (chance.percent(50) ? 0x200 : 0) |
          (chance.percent(30) ? chance.below(4) << 12 : 0) |
          (chance.percent(10) ? 0x40000 : 0) |
          (chance.word() & 0xcd5),
      },
    };
  }

  #cr4(): number {
    return (this.#chance.word() & CR4_BITS) | (this.#pae ? 0x20 : 0);
  }

  #selector(): number {
    const chance = this.#chance,
      luck = chance.below(100);
    if (luck < 60) return FIRST_TEST_SELECTOR + 8 * chance.below(testDescriptors.length) + chance.below(4);
    if (luck < 80) return chance.pick([0x08, 0x10, 0x1b, 0x23, 0x28, 0x30, 0, 3, 0x0b, 0x13, 0x18, 0x20]);
    return luck < 92 ? (chance.below(33) << 3) | 4 | chance.below(4) : chance.below(0x10000);
  }
  /** For SS at CPL 0 only the flat segment works: with another the handler would have no stack. */
  #stackSelector(): number {
    for (;;) {
      const selector = this.#selector();
      const descriptor =
        testDescriptors[((selector >> 3) - (selector & 4 ? 0 : FIRST_TEST_SELECTOR >> 3)) | 0];
      if (this.#cpl !== 0 || descriptor === undefined || (descriptor[5]! & 0x9a) !== 0x92) return selector;
    }
  }

  #step(): Step {
    const kinds: readonly (() => Step)[] = [
      () => this.#loadSegment(),
      () => this.#loadSegment(),
      () => this.#query(),
      () => this.#farPointer(),
      () => this.#segmentAccess(),
      () => this.#segmentAccess(),
      () => this.#pageAccess(),
      () => this.#flags(),
      () => this.#interruptReturn(),
      () => this.#farTransfer(),
      () => this.#farTransfer(),
      () => this.#interrupt(),
      () => this.#control(),
      () => this.#debug(),
      () => this.#tables(),
      () => this.#modelRegister(),
      () => this.#fastCall(),
      () => this.#port(),
      () => this.#string(),
      () => this.#virtual(),
      () => this.#small(),
    ];
    return this.#chance.pick(kinds)();
  }

  #loadSegment(): Step {
    const segment = this.#chance.pick([0, 0, 2, 3, 3, 4, 5, 5, 1]);
    const selector = segment === 2 ? this.#stackSelector() : this.#selector();
    if (this.#chance.percent(30) && segment > 3)
      return () => [0x68, ...long(selector), 0x0f, segment === 4 ? 0xa1 : 0xa9];
    return () => [0x66, 0xb8, ...word(selector), 0x8e, 0xc0 | (segment << 3)];
  }

  /** LAR, LSL, VERR, VERW, ARPL. */
  #query(): Step {
    const chance = this.#chance,
      prefix = chance.percent(30) ? [0x66] : [];
    const load = [0xb9, ...long(this.#selector() | (chance.percent(20) ? chance.word() << 16 : 0))];
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
  #farPointer(): Step {
    const place = RAM.data + this.#chance.below(0x100),
      kind = this.#chance.below(5);
    const selector = kind === 2 ? this.#stackSelector() : this.#selector();
    const opcode = [[0xc4], [0xc5], [0x0f, 0xb2], [0x0f, 0xb4], [0x0f, 0xb5]][kind]!;
    return () => [
      0xc7,
      0x05,
      ...long(place),
      ...long(this.#cpl),
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

  /** An access through ES, FS or GS near a limit. */
  #segmentAccess(): Step {
    const chance = this.#chance,
      offset = chance.pick([
        0,
        0x7fc,
        0x7fd,
        0x7ff,
        0x800,
        0xffc,
        0xffd,
        0xffe,
        0xfff,
        0x1000,
        0x2000,
        0xffffffff,
        0xfffffffd,
        chance.below(0x1800),
      ]);
    const prefix = chance.pick([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]),
      size = chance.pick([[], [], [0x66]]);
    const opcode = chance.pick([0xa0, 0xa1, 0xa1, 0xa2, 0xa3, 0xa3]);
    // Bochs lets a store through CS pass after SYSEXIT; the native host judges those.
    const usable = prefix === 0x2e ? opcode & ~2 : opcode;
    return () => [prefix, ...size, usable, ...long(offset)];
  }

  #pageAccess(): Step {
    const chance = this.#chance,
      page = chance.pick([
        pages.readOnly,
        pages.readOnly,
        pages.absent,
        pages.kernel,
        RAM.data + 0x1000,
        0x400000 + RAM.data,
        0x800000,
        0xfffff000,
      ]);
    const address = page + chance.pick([0, 0, -1, -3, 4, 0xffd, 0xfff, chance.below(0x1000)]);
    return fixed(
      chance
        .pick([
          [0xa1],
          [0xa3],
          [0xff, 0x05],
          [0x87, 0x1d],
          this.#cpl === 0 ? [0x8f, 0x05] : [0x89, 0x1d],
          [0xff, 0x35],
          [0xa0],
          [0xc6, 0x05],
        ])
        .concat(long(address >>> 0), []),
    );
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
        (chance.percent(10) ? 0x200000 : 0) |
        (chance.percent(8) ? 0x180000 & chance.word() : 0)) >>>
      0
    );
  }
  #flags(): Step {
    const flags = this.#flagBits(),
      prefix = this.#chance.percent(20) ? [0x66] : [];
    return () => [0x68, ...long(flags), ...prefix, 0x9d, 0x9c, 0x5b];
  }

  /** IRET to what follows it. */
  #interruptReturn(): Step {
    const chance = this.#chance,
      flags = this.#flagBits() & ~0x20000,
      selector = chance.percent(50) ? (this.#cpl === 0 ? 0x08 : 0x1b) : this.#selector();
    const outer = chance.percent(60)
      ? [0x68, ...long(chance.percent(70) ? 0x23 : this.#selector()), 0x68, ...long(RAM.stack - 0x100)]
      : [];
    return (at) => {
      const frame = [...outer, 0x68, ...long(flags), 0x68, ...long(selector)];
      return [...frame, 0x68, ...long(at + frame.length + 6), 0xcf];
    };
  }

  /** JMP and CALL far, direct or through memory, and RETF, to what follows. */
  #farTransfer(): Step {
    const chance = this.#chance,
      selector = this.#selector(),
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

  #interrupt(): Step {
    const chance = this.#chance;
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

  #control(): Step {
    const chance = this.#chance;
    switch (chance.below(7)) {
      case 0: {
        const value = (0x80000011 | (chance.word() & 0x5002e)) >>> 0;
        return () => [...loadEax(value), 0x0f, 0x22, 0xc0];
      }
      case 1: {
        // What no processor takes: paging without protection, NW without CD.
        const value = chance.pick([0x80000010, 0xa0000011]);
        return () => [...loadEax(value), 0x0f, 0x22, 0xc0];
      }
      case 2: {
        const value =
          this.#cr4() | (chance.percent(10) ? chance.pick([0x80000000, 0x8000, 0x20000, 0x20]) : 0);
        return () => [...loadEax(value >>> 0), 0x0f, 0x22, 0xe0];
      }
      case 3:
        return fixed([0x0f, 0x20, chance.pick([0xc3, 0xd3, 0xdb, 0xe3, 0xcb, 0xeb])]);
      case 4: {
        const value = chance.word();
        return () => [...loadEax(value), 0x0f, 0x22, 0xd0];
      }
      case 5:
        return () => [
          ...loadEax((this.#pae ? RAM.paePointers : RAM.directory) | (chance.word() & 0x18)),
          0x0f,
          0x22,
          0xd8,
        ];
      default: {
        const value = chance.word() & 15;
        return fixed(
          chance.pick([
            [0x0f, 0x06],
            [0x66, 0xb8, ...word(value), 0x0f, 0x01, 0xf0],
            [0x0f, 0x01, 0xe3],
            [0x66, 0x0f, 0x01, 0xe3],
          ]),
        );
      }
    }
  }

  #debug(): Step {
    const chance = this.#chance,
      number = chance.pick([0, 1, 2, 3, 4, 5, 6, 7, 7, 7]);
    if (chance.percent(25)) return () => [0x0f, 0x21, 0xc3 | (number << 3)];
    let value = chance.word();
    if (number < 4)
      value = chance.pick([
        RAM.data + chance.below(16),
        RAM.code + chance.below(60),
        RAM.stack - 4 * chance.below(6),
        chance.word(),
      ]);
    // DR6: Bochs clears bits above the lowest four at the next exception, against SDM 3B §17.2.3.
    else if (number === 6 || number === 4) value = chance.below(16);
    else if (number === 7 || number === 5)
      value = (chance.word() & 0xffff01ff) | 0x400 | (chance.percent(5) ? 0x2000 : 0);
    return () => [...loadEax(value >>> 0), 0x0f, 0x23, 0xc0 | (number << 3)];
  }

  #tables(): Step {
    const chance = this.#chance,
      place = RAM.data + 0x300,
      load = [0x66, 0xb8, ...word(this.#selector())];
    return fixed(
      chance.pick([
        [0x0f, 0x01, 0x05, ...long(place)],
        [0x0f, 0x01, 0x0d, ...long(place)],
        [0x0f, 0x00, 0xc3],
        [0x0f, 0x00, 0xcb],
        [...load, 0x0f, 0x00, 0xd0],
        [...load, 0x0f, 0x00, 0xd8],
        [0x0f, 0x09],
      ]),
    );
  }

  #modelRegister(): Step {
    const chance = this.#chance,
      msr = chance.pick([0x174, 0x175, 0x176, 0x12345, 0xc0001234]);
    return fixed(
      chance.percent(50)
        ? [0xb9, ...long(msr), 0x0f, 0x32]
        : [0xb9, ...long(msr), ...loadEax(chance.word()), 0x31, 0xd2, 0x0f, 0x30],
    );
  }

  /** SYSENTER and SYSEXIT, with and without their registers. */
  #fastCall(): Step {
    const chance = this.#chance,
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

  /** Ports that no machine has: 34h is shut by the I/O permission bitmap, 35h and 36h are open. */
  #port(): Step {
    const chance = this.#chance,
      port = chance.pick([0x34, 0x35, 0x36]);
    return fixed(
      chance.pick([
        [0xe4, port],
        [0xe5, port],
        [0x66, 0xe5, port],
        [0xe6, port],
        [0xfa],
        [0xfb, 0x90],
        [0x66, 0xba, ...word(0xe8), 0xec],
      ]),
    );
  }

  #string(): Step {
    const chance = this.#chance;
    const edge = (): number =>
      chance.pick([
        0x7fa,
        0xff8,
        0x1000,
        RAM.data + 0xffa,
        RAM.data + 0x100,
        pages.readOnly - 6,
        pages.absent - 5,
      ]);
    const opcode = chance.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad]),
      prefix = chance.pick([[0xf3], [0xf3, 0x64], [0x65], []]);
    const [from, to, count] = [edge(), edge(), chance.below(9)];
    return () => [0xbe, ...long(from), 0xbf, ...long(to), 0xb9, ...long(count), ...prefix, opcode];
  }

  /** IRET into virtual-8086 mode, a few instructions there. */
  #virtual(): Step {
    const chance = this.#chance,
      flags =
        (0x20002 | (chance.below(4) << 12) | (chance.word() & 0x2d5) | (chance.percent(10) ? 0x100 : 0)) >>>
        0;
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

  #small(): Step {
    const chance = this.#chance;
    return fixed(
      chance.pick([
        [0x9b],
        [0x0f, 0x77],
        [0x0f, 0x57, 0xc0],
        [0xd9, 0xe8],
        [0xf0, 0x89, 0xd8],
        [0x0f, 0x22, 0xc8],
        [0x0f, 0x24, 0xc0],
        [0x66, 0x90],
        [0xd6, 0x31, 0xc0],
        [0xc8, 0x08, 0, 1, 0xc9],
        [0x60, 0x61],
        [0x6a, 0x05, 0x58],
      ]),
    );
  }
}
