/**
 * Makes one stream of instructions from the table: valid encodings with operands that mostly lie in the vectors' windows, with
 * branches, loops, patched code, page-crossing code and data, and now and then a fault. All choices come from one seed.
 * What is undefined at each instruction is kept beside the code, so that the outcome can be masked wherever the stream ends.
 */
import { approximate, type Form, forms, impliedWrites } from "./instruction-forms.ts";
import { instruction } from "./stream-instruction.ts";
import { type Bits, C023, C1, closed, little, RSP, type Stream, StreamState } from "./stream-state.ts";
import { bytes, type Chance } from "./values.ts";

const byKind = (kind: Form["kind"]): readonly Form[] =>
  forms.filter((form) => form.kind === kind && !approximate.test(form.mnemonic));
const pools = {
  integer: byKind("integer"),
  x87: byKind("x87"),
  mmx: byKind("mmx"),
  sse: byKind("sse"),
  avx: byKind("avx"),
  string: byKind("string"),
  privileged: byKind("privileged"),
};
const approximations = forms.filter((form) => approximate.test(form.mnemonic));

export class StreamMaker {
  readonly #state: StreamState;
  constructor(chance: Chance, bits: Bits) {
    this.#state = new StreamState(chance, bits);
  }

  make(id: string): Stream {
    const chance = this.#state.chance;
    const length = chance.percent(40) ? 1 + chance.below(3) : 1 + chance.below(30);
    const flavour = chance.pick([
      "integer",
      "integer",
      "mixed",
      "mixed",
      "sse",
      "avx",
      "avx",
      "x87",
      "mmx",
      "string",
    ] as const);
    for (let n = 0; n < length; n++) this.#step(flavour);
    if (chance.percent(4)) {
      this.#state.approximate = true;
      instruction(this.#state, chance.pick(approximations));
    }
    this.#state.mark(false, 0);
    return {
      masks: this.#state.masks,
      patches: this.#state.patches,
      question: closed({
        id,
        n: `${flavour}, ${length} steps`,
        a: this.#state.base.toString(16),
        c: Buffer.from(this.#state.code).toString("hex"),
        b: 0,
        i: this.#state.initial,
        m: [...this.#state.memory].map(
          ([place, content]) => [place.toString(16), content.toString("hex")] as const,
        ),
        ...(this.#state.ignored.length > 0 ? { mi: this.#state.ignored } : {}),
        ...(this.#state.approximate ? { ap: 2 } : {}),
      }),
    };
  }

  #step(flavour: "mixed" | Form["kind"]): void {
    const chance = this.#state.chance;
    const construct = chance.below(100);
    if (construct < 5) this.#forward();
    else if (construct < 7) this.#loop();
    else if (construct < 8) this.#call();
    else if (construct < 9) this.#indirect();
    else if (construct < 10 && this.#state.bits !== 16) this.#patch();
    else instruction(this.#state, this.#choose(flavour));
  }

  #choose(flavour: "mixed" | Form["kind"]): Form {
    const chance = this.#state.chance;
    if (chance.percent(0.3)) return chance.pick(pools.privileged);
    for (;;) {
      const kind = chance.percent(flavour === "mixed" ? 0 : 75)
        ? (flavour as Form["kind"])
        : chance.pick([
            "integer",
            "integer",
            "integer",
            "sse",
            "avx",
            "avx",
            "x87",
            "mmx",
            "string",
          ] as const);
      const form = chance.pick(pools[kind]);
      const long = this.#state.bits === 64;
      if (form.row.traits.includes(long ? "i64" : "o64")) continue;
      if (form.vex && this.#state.bits === 16) continue;
      // ENTER of 32 bits on a stack of 16: what becomes of the upper half where SP wraps differs.
      if (form.mnemonic === "ENTER" && this.#state.bits === 16) continue;
      // PUSH of a selector in four bytes writes two of them, or all four.
      if (form.row.handler === "pushSegment" && this.#state.bits !== 64) continue;
      // Seldom: what ends a stream at once.
      if (/^(UD[012]|INT[13O]|BOUND)$/.test(form.mnemonic) && !chance.percent(10)) continue;
      if (/^POPF|^WR[FG]S/.test(form.mnemonic) && !chance.percent(25)) continue;
      if (impliedWrites(form).some((n) => n !== RSP && this.#state.kept.has(n))) continue;
      return form;
    }
  }

  /** Branch over the next few steps, taken or not as the flags say. */
  #forward(): void {
    const chance = this.#state.chance,
      condition = chance.below(18);
    const needs = condition < 16 ? [0x800, 1, 64, 65, 128, 4, 0x880, 0x8c0][condition >> 1]! : 0;
    if ((this.#state.flags & needs) !== 0) this.#state.defineFlags();
    const near = chance.percent(25) && condition < 17,
      size = this.#state.bits === 16 ? 2 : 4;
    if (condition === 17) this.#state.raw(0xe3, 0);
    else if (condition === 16) this.#state.raw(...(near ? [0xe9, ...little(0n, size)] : [0xeb, 0]));
    else this.#state.raw(...(near ? [0x0f, 0x80 | condition, ...little(0n, size)] : [0x70 | condition, 0]));
    const from = this.#state.code.length,
      known = new Map(this.#state.known),
      [flags, status] = [this.#state.flags, this.#state.status];
    for (let n = 1 + chance.below(2); n > 0; n--) instruction(this.#state, this.#choose("mixed"));
    const distance = this.#state.code.length - from;
    if (near) this.#state.code.splice(from - size, size, ...little(BigInt(distance), size));
    else if (distance < 128) this.#state.code[from - 1] = distance;
    for (const [register, value] of this.#state.known)
      if (known.get(register) !== value) this.#state.known.delete(register);
    this.#state.flags |= flags;
    this.#state.status |= status;
  }

  #loop(): void {
    const chance = this.#state.chance;
    if (this.#state.kept.has(1)) return;
    this.#state.load(1, BigInt(1 + chance.below(6)));
    this.#state.kept.add(1);
    this.#state.known.clear();
    const head = this.#state.code.length;
    this.#state.defineFlags();
    this.#state.status = C023 | C1;
    for (let n = 1 + chance.below(3); n > 0; n--)
      instruction(this.#state, this.#choose(chance.pick(["mixed", "integer"] as const)));
    if ((this.#state.flags & 64) !== 0) this.#state.defineFlags();
    const opcode = chance.pick([0xe2, 0xe2, 0xe2, 0xe0, 0xe1]);
    const distance = head - (this.#state.code.length + 2);
    if (distance >= -128) this.#state.raw(opcode, distance & 255);
    this.#state.known.clear();
    this.#state.kept.delete(1);
  }

  /** JMP over a subroutine, then CALL it. */
  #call(): void {
    const chance = this.#state.chance;
    this.#state.raw(0xeb, 0);
    const start = this.#state.code.length,
      outer = this.#state.kept;
    this.#state.known.clear();
    const flags = this.#state.flags;
    this.#state.passing = flags;
    this.#state.defineFlags();
    for (let n = chance.below(2); n > 0; n--) instruction(this.#state, this.#choose("integer"));
    if (chance.percent(80)) this.#state.raw(0xc3);
    else this.#state.raw(0xc2, chance.below(3) * 8, 0);
    this.#state.kept = outer;
    this.#state.known.clear();
    if (this.#state.code.length - start < 128) this.#state.code[start - 1] = this.#state.code.length - start;
    const size = this.#state.bits === 16 ? 2 : 4;
    this.#state.passing = 0;
    this.#state.flags |= flags;
    this.#state.raw(0xe8, ...little(BigInt(start - (this.#state.code.length + 1 + size)), size));
  }

  /** An indirect jump, or PUSH and RET, over a few bytes that never run. */
  #indirect(): void {
    const chance = this.#state.chance,
      register = this.#state.free() & 7;
    if (this.#state.kept.has(register)) return;
    const skipped = bytes(chance, chance.below(6));
    const pushes = chance.percent(40);
    const size = this.#state.bits === 64 ? 10 : this.#state.bits === 32 ? 5 : 6;
    const target = this.#state.base + this.#state.code.length + size + 2 + skipped.length;
    this.#state.load(register, BigInt(target));
    if (pushes) {
      this.#state.raw(0x50 | register);
      this.#state.raw(0xc3);
    } else this.#state.raw(0xff, 0xe0 | register);
    this.#state.code.push(...skipped);
  }

  /** A store into the immediate, or into the opcode, of an instruction a little further on. */
  #patch(): void {
    const chance = this.#state.chance,
      long = this.#state.bits === 64;
    const size = long ? 8 : 7;
    this.#state.raw(0xc6, ...(long ? [0x04, 0x25] : [0x05]), ...little(0n, 4), 0);
    const end = this.#state.code.length;
    for (let n = chance.below(3); n > 0; n--) instruction(this.#state, this.#choose("integer"));
    if ((this.#state.flags & 1) !== 0) this.#state.defineFlags();
    const victim = this.#state.code.length,
      opcodes = [0x05, 0x0d, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d];
    const patchesOpcode = chance.percent(50);
    this.#state.raw(chance.pick(opcodes), ...little(chance.bits64(), 4));
    this.#state.known.delete(0);
    this.#state.flags |= 16;
    const place = this.#state.base + victim + (patchesOpcode ? 0 : 1 + chance.below(4));
    this.#state.patches.push(place);
    this.#state.code.splice(
      end - size + (long ? 3 : 2),
      5,
      ...little(BigInt(place), 4),
      patchesOpcode ? chance.pick(opcodes) : chance.below(256),
    );
  }
}
