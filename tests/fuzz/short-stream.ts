/** Makes streams of 16-bit code for system-rom.ts: in real mode, in virtual-8086 mode, and in 16-bit segments of CPL 0 and 3. */
import { long, word } from "./machine-code.ts";
import { interruptStep, portStep } from "./steps.ts";
import { START, type SystemStream } from "./system-rom.ts";
import { commonHead, CR4_BITS, type Step, type SystemPlan } from "./system-plan.ts";
import {
  CODE_16,
  CODE_16_USER,
  FIRST_TEST_SELECTOR,
  RAM,
  STACK_16_USER,
  testDescriptors,
} from "./system-tables.ts";
import type { Chance } from "./values.ts";

type Mode = "real" | "virtual" | "inner" | "outer";

const moveAx = (value: number): number[] => [0xb8, ...word(value)];
const moveEax = (value: number): number[] => [0x66, 0xb8, ...long(value)];
/** MOV word [place], value. */
const store = (place: number, value: number): number[] => [0xc7, 0x06, ...word(place), ...word(value)];
/** In the data segment of every mode. */
const PLACE = 0x180;

export class ShortPlanner {
  readonly #chance: Chance;
  readonly #mode: Mode;
  constructor(chance: Chance) {
    this.#chance = chance;
    this.#mode = chance.pick(["real", "real", "virtual", "inner", "outer"] as const);
  }

  plan(): SystemPlan {
    const chance = this.#chance,
      common = commonHead(chance);
    const head = { ...common, ...this.#place(common) };
    const steps = Array.from({ length: 1 + chance.below(6) }, () => this.#step());
    // IRET to CPL 3 leaves DS and ES null: PUSH 23h, POP DS and ES.
    if (this.#mode === "outer" && chance.percent(75))
      steps.unshift(() => [0x6a, 0x23, 0x1f, 0x6a, 0x23, 0x07]);
    return { head, steps };
  }

  #place(
    common: Pick<SystemStream, "cr0" | "cr4">,
  ): Omit<SystemStream, "code" | "registers" | "cr3" | "cr4"> {
    const chance = this.#chance,
      flags = 2 | (chance.word() & 0xcd5) | (chance.percent(40) ? chance.below(4) << 12 : 0);
    const iopl = this.#mode === "virtual" && chance.percent(40) ? 0x3000 : 0;
    const segments =
      this.#mode === "real" || this.#mode === "virtual" ? [0x2200, 0x2100, 0x2300, 0x2000] : [0, 0, 0, 0];
    const rest = { flags: flags | iopl, segments, eip: 0, cr0: common.cr0 };
    switch (this.#mode) {
      case "real":
        return { ...rest, start: START.real, cs: 0x2000, ss: 0x2800, esp: 0x800, cr0: common.cr0 & 0x5003e };
      case "virtual":
        return {
          ...rest,
          start: START.outer,
          cs: 0x2000,
          ss: 0x2800,
          esp: 0x800,
          flags: rest.flags | 0x20000,
        };
      case "inner":
        return { ...rest, start: START.inner, cs: CODE_16, ss: 0x10, esp: RAM.stack };
      case "outer":
        return { ...rest, start: START.outer, cs: CODE_16_USER, ss: STACK_16_USER, esp: 0x800 };
    }
    return this.#mode satisfies never;
  }

  #isProtected(): boolean {
    return this.#mode === "inner" || this.#mode === "outer";
  }

  #selector(): number {
    const chance = this.#chance;
    if (!this.#isProtected())
      return chance.pick([0x2000, 0x2100, 0x2200, 0x2300, 0x2800, 0xffff, 0, chance.below(0x10000)]);
    if (chance.percent(70))
      return FIRST_TEST_SELECTOR + 8 * chance.below(testDescriptors.length) + chance.below(4);
    return chance.pick([0x08, 0x10, 0x1b, 0x23, 0x28, 0x30, 0, 3, 0x0c, 0x17, chance.below(0x10000)]);
  }
  #codeSelector(): number {
    const own = { real: 0x2000, virtual: 0x2000, inner: CODE_16, outer: CODE_16_USER }[this.#mode];
    // Real-mode code must stay in its page: there is nothing to stop it elsewhere.
    if (this.#mode === "real" || this.#chance.percent(70)) return own;
    if (this.#mode === "virtual") return this.#selector();
    // Gates, tasks and 16-bit segments: in a flat segment a small offset would lead into the interrupt table.
    return FIRST_TEST_SELECTOR + 8 * (18 + this.#chance.below(19)) + this.#chance.below(4);
  }
  /** A stack of its own for the handler: in real mode and at CPL 0 SS stays. */
  #dataSegment(): number {
    return this.#chance.pick(
      this.#mode === "real" || this.#mode === "inner" ? [0, 3, 4, 5] : [0, 2, 3, 4, 5],
    );
  }

  #step(): Step {
    const kinds: readonly (() => Step)[] = [
      () => this.#loadSegment(),
      () => this.#farPointer(),
      () => this.#access(),
      () => this.#access(),
      () => this.#wideAccess(),
      () => this.#stack(),
      () => this.#flags(),
      () => this.#interrupt(),
      () => this.#interruptReturn(),
      () => this.#farTransfer(),
      () => this.#string(),
      () => this.#system(),
      () => this.#control(),
      () => this.#debug(),
      () => portStep(this.#chance),
      () => this.#small(),
    ];
    return this.#chance.pick(kinds)();
  }

  #loadSegment(): Step {
    const segment = this.#dataSegment(),
      selector = this.#selector();
    const pops = [[0x07], [], [0x17], [0x1f], [0x0f, 0xa1], [0x0f, 0xa9]][segment]!;
    if (this.#chance.percent(40)) return () => [0x68, ...word(selector), ...pops];
    return () => [...moveAx(selector), 0x8e, 0xc0 | (segment << 3)];
  }

  /** LES, LDS, LFS, LGS, and LSS where the stack may change. */
  #farPointer(): Step {
    const segment = this.#dataSegment(),
      selector = this.#selector(),
      wide = this.#chance.percent(25);
    const opcode = [[0xc4], [], [0x0f, 0xb2], [0xc5], [0x0f, 0xb4], [0x0f, 0xb5]][segment]!;
    return () => [
      ...store(PLACE, 0x700),
      ...store(PLACE + (wide ? 4 : 2), selector),
      ...(wide ? [0x66] : []),
      ...opcode,
      0x1e,
      ...word(PLACE),
    ];
  }

  /** An access through any segment, near 64 KiB and near the test segments' limits. */
  #access(): Step {
    const chance = this.#chance;
    const offset = chance.pick([
      0,
      0x7fd,
      0x7ff,
      0xffd,
      0xfff,
      0x1000,
      0xfffc,
      0xfffd,
      0xfffe,
      0xffff,
      chance.below(0x2000),
    ]);
    const prefix = chance.pick([[], [0x26], [0x36], [0x3e], [0x64], [0x65]]),
      size = chance.pick([[], [], [0x66]]);
    // POP into memory where paging is off only: whether it reads the stack before it fails at the segment differs.
    const pop = this.#mode === "real" ? [0x8f, 0x06] : [0x87, 0x1e];
    const opcode = chance.pick([
      [0xa0],
      [0xa1],
      [0xa2],
      [0xa3],
      [0xff, 0x06],
      pop,
      [0xff, 0x36],
      [0x87, 0x1e],
    ]);
    return () => [...prefix, ...size, ...opcode, ...word(offset)];
  }
  /** A 32-bit address: what 16 bits cannot reach is a fault in real mode. */
  #wideAccess(): Step {
    const chance = this.#chance;
    const offset = chance.pick([
      0x10000,
      0xffff,
      0xfffe,
      0xfffd,
      0x10,
      0xffffffff,
      0x7ffffffc,
      chance.below(0x10000),
    ]);
    const prefix = chance.pick([[0x67], [0x67, 0x26], [0x67, 0x64], [0x67, 0x66], [0x66, 0x67, 0x65]]);
    const opcode = chance.pick([0xa0, 0xa1, 0xa2, 0xa3]);
    return () => [...prefix, opcode, ...long(offset)];
  }

  /** Pushes and pops, in both sizes; now and then at the stack's end, where the handler has room only outside real mode. */
  #stack(): Step {
    const chance = this.#chance;
    const edge = this.#mode === "virtual" || this.#mode === "outer" || chance.percent(5);
    const top = chance.pick([0, 1, 2, 3, 5, 7, 15, 0xffd, 0xfff, 0xffff, 0xfffd]);
    const code = chance.pick([
      [0x60],
      [0x66, 0x60],
      [0x61],
      [0x66, 0x61],
      [0x50, 0x58],
      [0x66, 0x50],
      [0x66, 0x58],
      [0x9c],
      [0x66, 0x9c],
      [0x6a, 0x85],
      [0x66, 0x6a, 0x85],
      [0xc8, 4, 0, 1],
      [0xc9],
      [0x54],
      [0x5b],
      [0x0e],
      [0x16, 0x5a],
    ]);
    const moves = edge && chance.percent(30);
    return () => (moves ? [0xbc, ...word(top), ...code] : code);
  }

  #flagBits(): number {
    const chance = this.#chance;
    return (
      2 |
      (chance.word() & 0x3ed5 & ~0x100) |
      (chance.percent(10) ? 0x100 : 0) |
      (chance.percent(15) ? 0x4000 : 0)
    );
  }
  #flags(): Step {
    const chance = this.#chance,
      flags = this.#flagBits();
    if (chance.percent(30)) {
      const wide = (flags | (chance.word() & 0x3d0000)) >>> 0;
      return () => [0x66, 0x68, ...long(wide), 0x66, 0x9d, 0x66, 0x9c, 0x66, 0x5b];
    }
    return () => [0x68, ...word(flags), 0x9d, 0x9c, 0x5b];
  }

  #interrupt(): Step {
    const vectors = [0, 1, 3, 4, 5, 6, 13, 0x21, 0x27, 0x28, 0x29, 0x2a, 0x80, 0xff];
    return interruptStep(this.#chance, vectors, [[0xcc], [0xce], [0xf1], [0x0f, 0x0b]]);
  }
  #interruptReturn(): Step {
    const chance = this.#chance,
      flags = this.#flagBits(),
      selector = this.#codeSelector(),
      wide = chance.percent(30);
    const push = (value: number): number[] => (wide ? [0x66, 0x68, ...long(value)] : [0x68, ...word(value)]);
    return (at) => {
      const frame = [...push(flags), ...push(selector)],
        end = at - RAM.code + frame.length + push(0).length + (wide ? 2 : 1);
      return [...frame, ...push(end), ...(wide ? [0x66] : []), 0xcf];
    };
  }
  #farTransfer(): Step {
    const chance = this.#chance,
      selector = this.#codeSelector(),
      kind = chance.below(5);
    if (kind < 2) return (at) => [kind === 0 ? 0xea : 0x9a, ...word(at - RAM.code + 5), ...word(selector)];
    if (kind === 2) return (at) => [0x68, ...word(selector), 0x68, ...word(at - RAM.code + 7), 0xcb];
    return (at) => [
      ...store(PLACE, at - RAM.code + 16),
      ...store(PLACE + 2, selector),
      0xff,
      kind === 3 ? 0x1e : 0x2e,
      ...word(PLACE),
    ];
  }

  #string(): Step {
    const chance = this.#chance;
    const edge = (): number =>
      chance.pick([0, 0x7fe, 0xffd, 0x1000, 0xfffb, 0xfffd, 0xffff, chance.below(0x1000)]);
    const [si, di, cx] = [edge(), edge(), chance.below(6)];
    const prefix = chance.pick([[0xf3], [0xf3, 0x66], [0xf3, 0x64], [0x66], []]),
      opcode = chance.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad]);
    const direction = chance.pick([0xfc, 0xfc, 0xfd]);
    return () => [direction, 0xbe, ...word(si), 0xbf, ...word(di), 0xb9, ...word(cx), ...prefix, opcode];
  }

  /** Tables, tasks and queries: most do not exist in real and virtual-8086 mode. */
  #system(): Step {
    const chance = this.#chance,
      load = [0xb9, ...word(this.#selector())];
    const code = chance.pick([
      [0x0f, 0x01, 0x06, ...word(PLACE)],
      [0x0f, 0x01, 0x0e, ...word(PLACE)],
      [0x66, 0x0f, 0x01, 0x06, ...word(PLACE)],
      [0x0f, 0x01, 0xe0],
      [0x0f, 0x00, 0xc0],
      [0x0f, 0x00, 0xc8],
      [...load, 0x0f, 0x00, 0xd1],
      [...load, 0x0f, 0x00, 0xd9],
      [...load, 0x0f, 0x02, 0xc1],
      [...load, 0x0f, 0x03, 0xc1],
      [...load, 0x0f, 0x00, 0xe1],
      [...load, 0x0f, 0x00, 0xe9],
      [...load, 0x63, 0xc8],
      [0x0f, 0x06],
      [0x0f, 0x09],
      [0x0f, 0x34],
      [0x0f, 0x35],
      [0x0f, 0x05],
      [0x66, 0xb9, ...long(0x176), 0x0f, 0x32],
    ]);
    return () => code;
  }

  #control(): Step {
    const chance = this.#chance,
      real = this.#mode === "real";
    const cr0 = real ? 0x10 | (chance.word() & 0x5002e) : (0x80000011 | (chance.word() & 0x5002e)) >>> 0;
    const code = chance.pick([
      [...moveEax(cr0), 0x0f, 0x22, 0xc0],
      [...moveEax(real ? 0xa0000010 : 0x80000010), 0x0f, 0x22, 0xc0],
      [...moveEax((chance.word() & CR4_BITS & ~0x300000) | (real ? 0 : 0x10)), 0x0f, 0x22, 0xe0],
      [0x0f, 0x20, 0xc3],
      [0x0f, 0x20, 0xd3],
      [0x0f, 0x20, 0xe3],
      [...moveAx(chance.word() & 0xe), 0x0f, 0x01, 0xf0],
      [...moveEax(chance.word()), 0x0f, 0x22, 0xd0],
    ]);
    return () => code;
  }

  #debug(): Step {
    const chance = this.#chance,
      number = chance.pick([0, 1, 2, 3, 6, 7, 7]);
    let value = chance.pick([RAM.data + chance.below(16), RAM.code + chance.below(60), chance.word()]);
    if (number === 6) value = chance.below(16);
    if (number === 7) value = ((chance.word() & 0xffff01ff) | 0x400) >>> 0;
    return () => [...moveEax(value), 0x0f, 0x23, 0xc0 | (number << 3)];
  }

  #small(): Step {
    const chance = this.#chance;
    const halt = this.#mode === "virtual" || this.#mode === "outer" ? [0xf4] : [0x90];
    const code = chance.pick([
      [0x31, 0xdb, 0xf7, 0xf3],
      [0xd4, 0x00],
      [0x62, 0x1e, ...word(PLACE)],
      [0xf0, 0x89, 0xd8],
      [0xf0, 0xff, 0x06, ...word(PLACE)],
      [0x9b],
      [0xd9, 0xe8],
      [0x0f, 0x57, 0xc0],
      [0x0f, 0x77],
      [0xc8, 0x08, 0, 2],
      [0xd6],
      [0xd7],
      [0x0f, 0xff],
      [0x8e, 0xc8],
      [0x0f, 0x22, 0xc8],
      [0x0f, 0x24, 0xc0],
      [0xe3, 0x00],
      [0x66, 0xe9, 0x00, 0x00, 0x00, 0x00],
      [0x66, 0xe8, 0x00, 0x00, 0x00, 0x00],
      [0xe8, 0x00, 0x00, 0x5b],
      [0x66, 0x68, 0x00, 0x00, 0x01, 0x00, 0x66, 0xc3],
      halt,
    ]);
    return () => code;
  }
}
