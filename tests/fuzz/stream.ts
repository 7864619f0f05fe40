/**
 * Makes one stream of instructions from the table: valid encodings with operands that mostly lie in the vectors' windows, with
 * branches, loops, patched code, page-crossing code and data, and now and then a fault. All choices come from one seed.
 * What is undefined at each instruction is kept beside the code, so that the outcome can be masked wherever the stream ends.
 * It is one long class because every choice asks what the ones before it left: known registers and memory, undefined flags.
 */
import type { Question } from "./native-host.ts";
import {
  approximate,
  ARITHMETIC,
  flagsRead,
  flagsUndefined,
  type Form,
  forms,
  impliedWrites,
} from "./instruction-forms.ts";
import { bytes, type Chance, extended, integer } from "./values.ts";

export type Bits = 16 | 32 | 64;

/** A question, and what its answer's masks are where it ends at an offset of its code. */
export interface Stream {
  readonly question: Question;
  readonly masks: readonly Mask[];
  /** Linear addresses of the bytes of code that the stream patches on purpose. */
  readonly patches: readonly number[];
}
export interface Mask {
  /** Offset in the code of the instruction, or of the end. */
  readonly at: number;
  readonly flags: number;
  /** Flags that are undefined where this instruction faults. */
  readonly flagsAtFault: number;
  readonly status: number;
  /** It reads its destination before it writes it. */
  readonly modifies: boolean;
  /** What its faults leave behind, or their address, differs from one processor to the next: MMX state entered, masked lanes, wrap at 4 GiB. */
  readonly isLoose?: boolean;
  /** Its destination, where a processor may have written a part before the fault: address and bytes. */
  readonly partial?: readonly [string, number];
}

const RSP = 4;
/** Status-word bits: C0, C2 and C3; and C1. */
const C023 = 0x4500,
  C1 = 0x200;
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
const dataStart = { 16: 0x30000, 32: 0x200000, 64: 0x200000 };
const FS64 = 0xffffa00000010000n,
  GS64 = 0x123456780000n;
const WORD = (1n << 64n) - 1n;

interface Address {
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

const little = (value: bigint, size: number): number[] =>
  Array.from({ length: size }, (_, k) => Number((value >> BigInt(8 * k)) & 255n));
const fits = (value: bigint, bits: number): boolean =>
  BigInt.asIntN(bits, value) === BigInt.asIntN(64, value);

/** The HLT that ends a stream lies in its memory, whatever ends it: code may read it. */
export function closed(question: Question): Question {
  const base = question.id.startsWith("m16") ? 0x20000 : 0;
  const end = base + Number.parseInt(question.a, 16) + question.c.length / 2;
  return { ...question, m: [...(question.m ?? []), [end.toString(16), "f4"]] };
}

export class StreamMaker {
  readonly #chance: Chance;
  readonly #bits: Bits;
  readonly #base: number;
  #code: number[] = [];
  #masks: Mask[] = [];
  #flags = 0;
  #status = 0;
  #known = new Map<number, bigint>();
  #memory = new Map<number, Buffer>();
  #patches: number[] = [];
  #ignored: [string, number][] = [];
  /** Registers that this part of the stream must leave alone. */
  #kept = new Set<number>([RSP]);
  #approximate = false;
  #partial: readonly [string, number] | undefined;
  /** Flags undefined on a path that passes by the code being written. */
  #passing = 0;
  readonly #initial: Record<string, string> = {};

  constructor(chance: Chance, bits: Bits) {
    this.#chance = chance;
    this.#bits = bits;
    const crossing = chance.percent(35),
      room = bits === 16 ? 0x800 : 0xc00;
    const first = bits === 16 ? 0x100 : 0x100000,
      page = bits === 16 ? 0x1000 : 0x101000;
    this.#base = crossing ? page - 1 - chance.below(80) : first + chance.below(room);
    this.#setRegisters();
  }

  #setRegisters(): void {
    const chance = this.#chance,
      count = this.#bits === 64 ? 16 : 8;
    const names = [
      "rax",
      "rcx",
      "rdx",
      "rbx",
      "rsp",
      "rbp",
      "rsi",
      "rdi",
      ...[8, 9, 10, 11, 12, 13, 14, 15].map((n) => `r${n}`),
    ];
    for (let n = 0; n < count; n++) {
      if (n === RSP) continue;
      const width = this.#bits === 64 ? 64 : 32;
      let value = integer(chance, width);
      if (chance.percent(35))
        value = BigInt((this.#bits === 16 ? 0 : dataStart[this.#bits]) + chance.below(0x3c00));
      else if (chance.percent(20)) value = BigInt(chance.below(64));
      this.#initial[names[n]!] = value.toString(16);
      this.#known.set(n, value);
    }
    this.#initial["fl"] = (chance.word() & (ARITHMETIC | 0x400)).toString(16);
    for (let n = 0; n < count; n++) {
      this.#initial[`x${n}`] = bytes(chance, 16).toString("hex");
      this.#initial[`y${n}`] = bytes(chance, 16).toString("hex");
    }
    const mxcsr = 0x1f80 | (chance.percent(40) ? chance.word() & 0xe07f : chance.word() & 0x6000);
    this.#initial["mxcsr"] = (chance.percent(8) ? mxcsr & ~(chance.word() & 0x1fff) : mxcsr).toString(16);
    if (chance.percent(70)) this.#setX87();
    this.#put(this.#bits === 16 ? 0x57f80 : 0x300f80, bytes(chance, 0x100));
  }

  #setX87(): void {
    const chance = this.#chance;
    let control = 0x7f | (chance.below(4) << 10) | chance.pick([0x300, 0x300, 0x300, 0x200, 0]);
    if (chance.percent(10)) control &= ~(chance.word() & 0x3f);
    const status =
      (chance.below(8) << 11) |
      (chance.percent(20) ? chance.word() & 0x3f & control : 0) |
      (chance.word() & 0x4700);
    this.#initial["fcw"] = control.toString(16);
    this.#initial["fsw"] = status.toString(16);
    this.#initial["ftw"] = (chance.percent(60) ? 0xff : chance.word() & 0xff).toString(16);
    for (let n = 0; n < 8; n++) {
      const value = extended(chance);
      if (chance.percent(15)) value.writeUInt16LE(0xffff, 8);
      this.#initial[`st${n}`] = value.toString("hex");
    }
  }

  /** Initial memory: a later write to the same place wins. */
  #put(linear: number, content: Buffer): void {
    this.#memory.set(linear, content);
  }

  make(id: string): Stream {
    const chance = this.#chance;
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
      this.#approximate = true;
      this.#instruction(chance.pick(approximations));
    }
    this.#mark(false, 0);
    return {
      masks: this.#masks,
      patches: this.#patches,
      question: closed({
        id,
        n: `${flavour}, ${length} steps`,
        a: this.#base.toString(16),
        c: Buffer.from(this.#code).toString("hex"),
        b: 0,
        i: this.#initial,
        m: [...this.#memory].map(
          ([place, content]) => [place.toString(16), content.toString("hex")] as const,
        ),
        ...(this.#ignored.length > 0 ? { mi: this.#ignored } : {}),
        ...(this.#approximate ? { ap: 2 } : {}),
      }),
    };
  }

  #step(flavour: "mixed" | Form["kind"]): void {
    const chance = this.#chance;
    const construct = chance.below(100);
    if (construct < 5) this.#forward();
    else if (construct < 7) this.#loop();
    else if (construct < 8) this.#call();
    else if (construct < 9) this.#indirect();
    else if (construct < 10 && this.#bits !== 16) this.#patch();
    else this.#instruction(this.#choose(flavour));
  }

  #choose(flavour: "mixed" | Form["kind"]): Form {
    const chance = this.#chance;
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
      const long = this.#bits === 64;
      if (form.row.traits.includes(long ? "i64" : "o64")) continue;
      if (form.vex && this.#bits === 16) continue;
      // ENTER of 32 bits on a stack of 16: what becomes of the upper half where SP wraps differs.
      if (form.mnemonic === "ENTER" && this.#bits === 16) continue;
      // PUSH of a selector in four bytes writes two of them, or all four.
      if (form.row.handler === "pushSegment" && this.#bits !== 64) continue;
      // Seldom: what ends a stream at once.
      if (/^(UD[012]|INT[13O]|BOUND)$/.test(form.mnemonic) && !chance.percent(10)) continue;
      if (/^POPF|^WR[FG]S/.test(form.mnemonic) && !chance.percent(25)) continue;
      if (impliedWrites(form).some((n) => n !== RSP && this.#kept.has(n))) continue;
      return form;
    }
  }

  #mark(modifies: boolean, atFault: number, isLoose = false): void {
    this.#masks.push({
      at: this.#code.length,
      flags: this.#flags | this.#passing,
      flagsAtFault: this.#flags | this.#passing | atFault,
      status: this.#status,
      modifies,
      ...(this.#partial ? { partial: this.#partial } : {}),
      ...(isLoose ? { isLoose } : {}),
    });
    this.#partial = undefined;
  }

  /** Plain bytes of an instruction that this maker writes itself; they neither read nor define flags. */
  #raw(...code: number[]): void {
    const partial = this.#partial;
    this.#partial = undefined;
    this.#mark(false, 0);
    this.#partial = partial;
    this.#code.push(...code);
  }
  /** CMP AL, imm8 defines every flag. */
  #defineFlags(): void {
    this.#raw(0x3c, this.#chance.below(256));
    this.#flags = 0;
  }

  /** MOV of an immediate into a whole register, which is known from then on. */
  #load(register: number, value: bigint): void {
    if (this.#bits === 64) this.#raw(0x48 | (register >> 3), 0xb8 | (register & 7), ...little(value, 8));
    else this.#raw(...(this.#bits === 16 ? [0x66] : []), 0xb8 | register, ...little(value, 4));
    this.#known.set(register, this.#bits === 64 ? value & WORD : value & 0xffffffffn);
  }

  #free(): number {
    for (;;) {
      const register = this.#chance.below(this.#bits === 64 ? 16 : 8);
      if (!this.#kept.has(register)) return register;
    }
  }

  /** Branch over the next few steps, taken or not as the flags say. */
  #forward(): void {
    const chance = this.#chance,
      condition = chance.below(18);
    const needs = condition < 16 ? [0x800, 1, 64, 65, 128, 4, 0x880, 0x8c0][condition >> 1]! : 0;
    if ((this.#flags & needs) !== 0) this.#defineFlags();
    const near = chance.percent(25) && condition < 17,
      size = this.#bits === 16 ? 2 : 4;
    if (condition === 17) this.#raw(0xe3, 0);
    else if (condition === 16) this.#raw(...(near ? [0xe9, ...little(0n, size)] : [0xeb, 0]));
    else this.#raw(...(near ? [0x0f, 0x80 | condition, ...little(0n, size)] : [0x70 | condition, 0]));
    const from = this.#code.length,
      known = new Map(this.#known),
      [flags, status] = [this.#flags, this.#status];
    for (let n = 1 + chance.below(2); n > 0; n--) this.#instruction(this.#choose("mixed"));
    const distance = this.#code.length - from;
    if (near) this.#code.splice(from - size, size, ...little(BigInt(distance), size));
    else if (distance < 128) this.#code[from - 1] = distance;
    for (const [register, value] of this.#known)
      if (known.get(register) !== value) this.#known.delete(register);
    this.#flags |= flags;
    this.#status |= status;
  }

  #loop(): void {
    const chance = this.#chance;
    if (this.#kept.has(1)) return;
    this.#load(1, BigInt(1 + chance.below(6)));
    this.#kept.add(1);
    this.#known.clear();
    const head = this.#code.length;
    this.#defineFlags();
    this.#status = C023 | C1;
    for (let n = 1 + chance.below(3); n > 0; n--)
      this.#instruction(this.#choose(chance.pick(["mixed", "integer"] as const)));
    if ((this.#flags & 64) !== 0) this.#defineFlags();
    const opcode = chance.pick([0xe2, 0xe2, 0xe2, 0xe0, 0xe1]);
    const distance = head - (this.#code.length + 2);
    if (distance >= -128) this.#raw(opcode, distance & 255);
    this.#known.clear();
    this.#kept.delete(1);
  }

  /** JMP over a subroutine, then CALL it. */
  #call(): void {
    const chance = this.#chance;
    this.#raw(0xeb, 0);
    const start = this.#code.length,
      outer = this.#kept;
    this.#known.clear();
    const flags = this.#flags;
    this.#passing = flags;
    this.#defineFlags();
    for (let n = chance.below(2); n > 0; n--) this.#instruction(this.#choose("integer"));
    if (chance.percent(80)) this.#raw(0xc3);
    else this.#raw(0xc2, chance.below(3) * 8, 0);
    this.#kept = outer;
    this.#known.clear();
    if (this.#code.length - start < 128) this.#code[start - 1] = this.#code.length - start;
    const size = this.#bits === 16 ? 2 : 4;
    this.#passing = 0;
    this.#flags |= flags;
    this.#raw(0xe8, ...little(BigInt(start - (this.#code.length + 1 + size)), size));
  }

  /** An indirect jump, or PUSH and RET, over a few bytes that never run. */
  #indirect(): void {
    const chance = this.#chance,
      register = this.#free() & 7;
    if (this.#kept.has(register)) return;
    const skipped = bytes(chance, chance.below(6));
    const pushes = chance.percent(40);
    const size = this.#bits === 64 ? 10 : this.#bits === 32 ? 5 : 6;
    const target = this.#base + this.#code.length + size + 2 + skipped.length;
    this.#load(register, BigInt(target));
    if (pushes) {
      this.#raw(0x50 | register);
      this.#raw(0xc3);
    } else this.#raw(0xff, 0xe0 | register);
    this.#code.push(...skipped);
  }

  /** A store into the immediate, or into the opcode, of an instruction a little further on. */
  #patch(): void {
    const chance = this.#chance,
      long = this.#bits === 64;
    const size = long ? 8 : 7;
    this.#raw(0xc6, ...(long ? [0x04, 0x25] : [0x05]), ...little(0n, 4), 0);
    const end = this.#code.length;
    for (let n = chance.below(3); n > 0; n--) this.#instruction(this.#choose("integer"));
    if ((this.#flags & 1) !== 0) this.#defineFlags();
    const victim = this.#code.length,
      opcodes = [0x05, 0x0d, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d];
    const patchesOpcode = chance.percent(50);
    this.#raw(chance.pick(opcodes), ...little(chance.bits64(), 4));
    this.#known.delete(0);
    this.#flags |= 16;
    const place = this.#base + victim + (patchesOpcode ? 0 : 1 + chance.below(4));
    this.#patches.push(place);
    this.#code.splice(
      end - size + (long ? 3 : 2),
      5,
      ...little(BigInt(place), 4),
      patchesOpcode ? chance.pick(opcodes) : chance.below(256),
    );
  }

  /** Prepares what a form takes for granted, then writes it. */
  #instruction(form: Form): void {
    const chance = this.#chance,
      { mnemonic } = form;
    if ((this.#flags & flagsRead(form)) !== 0) this.#defineFlags();
    if (this.#status !== 0 && /^(FNSTSW|FNSTENV|FNSAVE|FXSAVE)$/.test(mnemonic)) {
      this.#raw(0xdb, 0xe3);
      this.#status = 0;
    }
    const low = this.#bits === 16 ? 0x1000 : dataStart[this.#bits];
    if (form.kind === "string") {
      if (!chance.percent(5) || !/^(LODS|SCAS)$/.test(mnemonic)) {
        this.#load(6, BigInt(low + chance.below(0x1800)));
        this.#load(
          7,
          BigInt(low + (chance.percent(20) ? chance.below(0x1800) : 0x1800 + chance.below(0x1800))),
        );
        this.#load(1, BigInt(chance.below(24)));
      }
    } else if (/^(XLAT|V?MASKMOV(Q|DQU))/.test(mnemonic))
      this.#load(mnemonic === "XLAT" ? 3 : 7, BigInt(low + chance.below(0x3000)));
    this.#encode(form);
  }

  #width(form: Form): number {
    const chance = this.#chance,
      long = this.#bits === 64;
    if (form.row.traits.includes("rex.w")) return 64;
    if (form.sizes === "y") return long && chance.percent(50) ? 64 : 32;
    if (form.sizes === "fixed") return 32;
    const branches = form.row.traits.includes("f64");
    if (branches) return long ? 64 : this.#bits;
    if (form.row.traits.includes("d64")) return long ? chance.pick([64, 64, 64, 16]) : chance.pick([32, 16]);
    if (form.mnemonic === "BSWAP") return long ? chance.pick([32, 64]) : 32;
    return long ? chance.pick([16, 32, 32, 64, 64]) : chance.pick([16, 32, 32]);
  }

  #encode(form: Form): void {
    const { encoding, mnemonic } = form;
    let width = this.#width(form);
    if (/^SH[LR]D$/.test(mnemonic) && width === 16 && form.row.handler.endsWith("Cl")) width = 32;
    const isMemory = this.#takesMemory(form);
    const indices = encoding.vsib ? this.#indexVector(form) : undefined;
    const address =
      indices !== undefined
        ? this.#gatherAddress(indices)
        : isMemory
          ? this.#address(form, width)
          : undefined;
    let rex = address?.rex ?? 0,
      modrm = 0;
    const registers: number[] = [];
    if (encoding.modrm) {
      const reg = encoding.digit ?? this.#register(form.regLetter, registers);
      if (reg > 7) rex |= 4;
      const rm = address ? address.rm : (encoding.rm ?? this.#register(form.rmLetter, registers));
      if (!address && rm > 7) rex |= 1;
      modrm = ((address ? address.mod : 3) << 6) | ((reg & 7) << 3) | (rm & 7);
    }
    let opcode = encoding.opcode;
    if (encoding.plusRegister) {
      const register = this.#register("G", registers);
      if (register > 7) rex |= 1;
      opcode |= register & 7;
    }
    const vvvv = form.vvvv === "" ? 0 : this.#register(form.vvvv === "B" ? "G" : "V", registers);
    const immediate = this.#immediate(form, width);
    const head = this.#prefixes(form, width, rex, vvvv, opcode, address);
    const body = [...head, ...(encoding.modrm ? [modrm, ...(address?.tail ?? [])] : [])];
    if (address?.relativeTo !== undefined) {
      const end = BigInt(this.#base + this.#code.length + body.length + immediate.length);
      body.splice(body.length - 4, 4, ...little(address.relativeTo - end, 4));
    }
    this.#finish(form, [...body, ...immediate], width, registers, isMemory);
  }

  /** Writes the bytes and notes what they leave behind. */
  #finish(
    form: Form,
    code: readonly number[],
    width: number,
    registers: readonly number[],
    isMemory: boolean,
  ): void {
    const { mnemonic } = form;
    const compares = form.kind === "string" && /^(CMPS|SCAS)$/.test(mnemonic);
    this.#mark(
      isMemory && form.stores && !/^(MOV|SET|ST|FST|FIST|FBSTP|FN|PEXTR|EXTRACT)/.test(mnemonic),
      compares ? ARITHMETIC : 0,
      form.kind === "mmx" || /MASKMOV|GATHER|^(ENTER|LEAVE|VCVTPS2PH|FX\w+)$/.test(mnemonic),
    );
    this.#code.push(...code);
    const shiftCount = form.row.handler.endsWith("Immediate")
      ? form.encoding.immediates.length > 0
        ? code.at(-1)
        : 1
      : undefined;
    const operandBits = form.operands[0]?.size === "b" ? 8 : width;
    this.#flags = flagsUndefined(form, this.#flags, operandBits, shiftCount);
    if (form.kind === "x87") this.#status = statusUndefined(form, this.#status);
    for (const register of [...registers, ...impliedWrites(form)]) this.#known.delete(register);
  }

  #takesMemory({ encoding, rmLetter, memoryCode }: Form): boolean {
    if (!encoding.modrm || encoding.form === "reg" || encoding.rm !== undefined) return false;
    if (encoding.form === "mem") return true;
    if (rmLetter === "" || memoryCode === 0) return false;
    if ("RUN".includes(rmLetter)) return false;
    return rmLetter === "M" || this.#chance.percent(45);
  }

  #register(letter: string, used: number[]): number {
    const chance = this.#chance,
      long = this.#bits === 64;
    if (letter === "S") return chance.below(6);
    if (letter === "C") return chance.pick([0, 2, 3, 4]);
    if (letter === "D") return chance.pick([0, 1, 2, 3, 6, 7]);
    if ("PQN".includes(letter) && letter !== "") return chance.below(8);
    if ("VWU".includes(letter) && letter !== "") return chance.below(long ? 16 : 8);
    if (letter === "") return chance.below(8);
    for (;;) {
      const register = chance.below(long ? 16 : 8);
      if (this.#kept.has(register) && !(register === RSP && chance.percent(2))) continue;
      // A byte register may be the second byte of one of the first four.
      if (register < 8 && register > 3 && this.#kept.has(register - 4)) continue;
      used.push(register, ...(register > 3 && register < 8 ? [register - 4] : []));
      return register;
    }
  }

  #immediate(form: Form, width: number): number[] {
    const chance = this.#chance,
      size = {
        ib: 1,
        iw: 2,
        id: 4,
        iz: width === 16 ? 2 : 4,
        iv: width / 8,
        io: 8,
        cb: 1,
        cz: width === 16 ? 2 : 4,
      };
    if (form.encoding.immediates.includes("moffs")) return this.#moffs();
    if (form.mnemonic === "ENTER")
      return [chance.below(64), 0, chance.percent(80) ? chance.below(3) : chance.below(32)];
    return form.encoding.immediates.flatMap((name) => {
      const bytesOf = size[name as "ib"];
      let value = integer(chance, 8 * bytesOf);
      if (/^SH[LR]D$/.test(form.mnemonic) && width === 16) value &= 15n;
      else if (/^(RO[LR]|RC[LR]|SH[LR]|SAR|SH[LR]D)$/.test(form.mnemonic) && chance.percent(60))
        value = BigInt(chance.below(width + 1));
      else if ((form.kind === "sse" || form.kind === "avx") && chance.percent(70)) value &= 31n;
      else if (form.mnemonic === "AAM" && value === 0n && chance.percent(80)) value = 10n;
      return little(value, bytesOf);
    });
  }
  #moffs(): number[] {
    const target = this.#target(8, 1, true);
    const size = this.#bits === 16 ? 2 : this.#bits === 32 ? 4 : 8;
    return little(target - (this.#bits === 16 ? 0x30000n : 0n), size);
  }

  #prefixes(
    form: Form,
    width: number,
    rexBits: number,
    vvvv: number,
    opcode: number,
    address: Address | undefined,
  ): number[] {
    const chance = this.#chance,
      { encoding, mnemonic } = form,
      long = this.#bits === 64;
    const escape = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][form.vex ? encoding.map - 3 : encoding.map]!;
    if (form.vex) return [...(address?.prefixes ?? []), ...this.#vex(form, width, rexBits, vvvv), opcode];
    const list: number[] = [...(address?.prefixes ?? [])];
    const isRep = form.row.traits.includes("rep");
    if (form.sizes === "v" && width === (this.#bits === 16 ? 32 : 16)) list.push(0x66);
    else if (
      form.sizes === "fixed" &&
      encoding.prefix === undefined &&
      chance.percent(1) &&
      mnemonic !== "MOVNTI"
    )
      list.push(0x66);
    if (address && form.row.traits.includes("lockable") && chance.percent(15)) list.push(0xf0);
    else if (chance.percent(0.2)) list.push(0xf0);
    if (isRep && chance.percent(65)) list.push(chance.pick([0xf2, 0xf3, 0xf3]));
    if (
      !isRep &&
      encoding.prefix === undefined &&
      encoding.map === 0 &&
      !/^(NOP|XCHG)$/.test(mnemonic) &&
      chance.percent(1)
    )
      list.push(chance.pick([0xf2, 0xf3]));
    if (!address && chance.percent(1)) list.push(chance.pick([0x26, 0x2e, 0x36, 0x3e]));
    if (
      !isRep &&
      !address &&
      encoding.immediates[0] !== "moffs" &&
      !/^(XLAT|MASKMOV\w*)$/.test(mnemonic) &&
      chance.percent(1)
    )
      list.push(0x67);
    for (let k = list.length - 1; k > 0; k--) {
      const j = chance.below(k + 1);
      [list[k], list[j]] = [list[j]!, list[k]!];
    }
    if (encoding.prefix !== undefined && encoding.prefix !== "NP")
      list.push(Number.parseInt(encoding.prefix, 16));
    let rex = rexBits;
    const default64 = form.row.traits.includes("d64") || form.row.traits.includes("f64");
    if (long && width === 64 && (form.sizes !== "fixed" || form.row.traits.includes("rex.w")) && !default64)
      rex |= 8;
    else if (
      long &&
      chance.percent(1) &&
      !form.row.traits.includes("no-rex.w") &&
      form.sizes === "fixed" &&
      !mnemonic.startsWith("FX")
    )
      rex |= 8;
    if (long && (rex !== 0 || chance.percent(12))) list.push(0x40 | rex);
    return [...list, ...escape, opcode];
  }

  #vex(form: Form, width: number, rex: number, vvvv: number): number[] {
    const { encoding } = form,
      pp = { NP: 0, "66": 1, F3: 2, F2: 3 }[encoding.prefix ?? "NP"]!;
    const chance = this.#chance,
      isVector = form.kind === "avx",
      length = encoding.length === 256 || (encoding.length === undefined && chance.percent(40)) ? 4 : 0;
    // A field that means nothing is any value; vvvv without an operand must read as ones.
    const inverted = ((~vvvv & 15) << 3) | length,
      w =
        encoding.w ?? (form.sizes === "y" ? (width === 64 ? 1 : 0) : isVector && chance.percent(30) ? 1 : 0);
    const map = encoding.map - 3;
    // Outside 64-bit mode R, X and the top bit of vvvv read as ones (SDM 2A §2.3.5).
    if (map === 1 && w === 0 && (rex & 3) === 0 && chance.percent(60))
      return [0xc5, ((rex & 4) === 0 ? 0x80 : 0) | inverted | pp];
    return [0xc4, ((~rex & 7) << 5) | map, (w << 7) | inverted | pp];
  }

  /** Makes a register of small indices for a gather: a logical shift right of whatever it holds. */
  #indexVector({ mnemonic, encoding }: Form): number {
    const register = this.#chance.below(this.#bits === 64 ? 16 : 8),
      isQuad = /GATHERQ/.test(mnemonic);
    const shift = (isQuad ? 54 : 22) + this.#chance.below(9);
    const wide = encoding.length === 256 || this.#chance.percent(50) ? 4 : 0;
    this.#raw(
      0xc4,
      register > 7 ? 0xc1 : 0xe1,
      ((~register & 15) << 3) | wide | 1,
      isQuad ? 0x73 : 0x72,
      0xd0 | (register & 7),
      shift,
    );
    return register;
  }
  #gatherAddress(index: number): Address {
    const target = BigInt(dataStart[this.#bits] + this.#chance.below(0x1800)),
      base = this.#baseRegister(target);
    const rest = BigInt.asIntN(32, target - this.#known.get(base)!);
    const sib = (this.#chance.below(4) << 6) | ((index & 7) << 3) | (base & 7);
    return {
      prefixes: [],
      rex: (base >> 3) | (index > 7 ? 2 : 0),
      mod: 2,
      rm: 4,
      tail: [sib, ...little(rest, 4)],
    };
  }

  /** Where a memory operand lies. */
  #target(size: number, align: number, writes: boolean): bigint {
    const chance = this.#chance,
      start = dataStart[this.#bits],
      luck = chance.below(1000);
    let linear = start + chance.below(0x3b00);
    if (this.#bits === 16) {
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
      linear + 64 < 0x204000 + (this.#bits === 16 ? -0x1c0000 : 0);
    if (seen && linear >= start) this.#put(linear, bytes(chance, Math.min(64, Math.max(8, size))));
    return BigInt(linear);
  }

  #memoryBytes(form: Form, width: number): number {
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
      case 0xf4:
        return width / 4;
      case 0xf6:
        return width === 16 ? 14 : 28;
      case 0xf7:
        return width === 16 ? 94 : 108;
      default:
        return form.mnemonic.startsWith("FX") ? 512 : form.memoryCode > 0xf0 ? 16 : form.memoryCode;
    }
  }

  #address(form: Form, width: number): Address {
    const size = this.#memoryBytes(form, width),
      isX87State = form.memoryCode === 0xf6 || form.memoryCode === 0xf7 || form.mnemonic.startsWith("FX");
    const aligned =
      form.mnemonic.startsWith("FX") ||
      form.mnemonic === "CMPXCHG16B" ||
      (form.kind === "avx" && (/Aligned/.test(form.row.handler) || this.#chance.percent(30))) ||
      (form.kind === "sse" && size === 16 && !/^(MOVU|MOVDQU|LDDQU|PCMP.STR)/.test(form.mnemonic));
    let target: bigint;
    // Images with instruction and data pointers have a place of their own, which nothing else reads.
    if (isX87State) {
      const room = this.#bits === 16 ? 0x3c000 : 0x203c00;
      const start = room + (form.stores ? 0 : 0x200) + (aligned ? 0 : this.#chance.below(64));
      target = BigInt(start);
      if (/^(FNSTENV|FNSAVE)$/.test(form.mnemonic))
        this.#ignored.push(width === 16 ? [(start + 6).toString(16), 8] : [(start + 12).toString(16), 16]);
      else if (form.mnemonic === "FXSAVE")
        this.#ignored.push([(start + 6).toString(16), 18], [(start + 28).toString(16), 4]);
      else if (form.mnemonic === "FXRSTOR") this.#put(start, fxImage(this.#chance));
      else this.#put(start, x87Image(this.#chance, size));
    } else {
      // Whether a faulting MMX instruction has already left x87 mode differs from one processor to the next; so does the order of
      // a waiting #MF and a segment's limit.
      do target = this.#target(size, aligned ? Math.max(16, size) : 1, form.stores);
      while (
        (form.kind === "mmx" || (this.#bits === 16 && form.kind === "x87")) &&
        !this.#isSafe(target, size)
      );
      if (form.stores && size > 8) this.#partial = [target.toString(16), size];
    }
    const offset = target - (this.#bits === 16 ? 0x30000n : 0n);
    if (this.#bits === 64) return this.#address64(offset);
    const overrides =
      form.kind === "x87" || form.kind === "avx" ? [0x26, 0x36, 0x3e] : [0x26, 0x2e, 0x36, 0x3e];
    return this.#bits === 32 ? this.#address32(offset, overrides) : this.#address16(offset);
  }

  #isSafe(target: bigint, size: number): boolean {
    const offset = target - BigInt(dataStart[this.#bits]);
    return offset >= 0n && offset + BigInt(size) <= 0x3c00n;
  }

  #pickKnown(): number {
    const list = [...this.#known.keys()];
    return list.length === 0 || this.#chance.percent(15) ? -1 : this.#chance.pick(list);
  }
  /** A register to address with; its value does not matter, only that it is known. */
  #baseRegister(near: bigint): number {
    const known = this.#pickKnown();
    if (known >= 0 && (this.#bits !== 64 || fits(near - this.#known.get(known)!, 32))) return known;
    const register = this.#free();
    const displacement = this.#chance.pick([
      0n,
      0n,
      BigInt.asIntN(8, BigInt(this.#chance.below(256))),
      BigInt(this.#chance.word() | 0) >> 8n,
    ]);
    this.#load(register, near - displacement);
    return register;
  }

  #address64(target: bigint): Address {
    const chance = this.#chance,
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
    const base = this.#baseRegister(offset);
    return this.#withBase(offset, base, short, prefixes);
  }

  /** ModRM, SIB and displacement for a base, sometimes an index, and the displacement that is left. */
  #withBase(offset: bigint, base: number, short: boolean, prefixes: number[]): Address {
    const chance = this.#chance,
      long = this.#bits === 64 && !short;
    const value = (register: number): bigint => this.#known.get(register)!;
    let index = -1,
      scale = 0;
    let rest = BigInt.asIntN(long ? 64 : 32, offset - value(base));
    if (chance.percent(40)) {
      const candidate = this.#pickKnown();
      scale = chance.below(4);
      if (candidate >= 0 && candidate !== RSP) {
        const left = BigInt.asIntN(
          long ? 64 : 32,
          offset - value(base) - (value(candidate) << BigInt(scale)),
        );
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

  #address32(target: bigint, overrides: readonly number[]): Address {
    const chance = this.#chance,
      kind = chance.below(100),
      prefixes: number[] = [];
    if (kind < 8) return { prefixes, rex: 0, mod: 0, rm: 5, tail: little(target, 4) };
    let offset = target & 0xffffffffn;
    if (kind < 20) {
      const useFs = chance.percent(50);
      prefixes.push(useFs ? 0x64 : 0x65);
      offset = (target - (useFs ? 0xfff00000n : 0x200000n)) & 0xffffffffn;
      if (!useFs && offset < 0x10000n && chance.percent(60)) return this.#short(offset, [0x67, ...prefixes]);
    } else if (kind < 24) prefixes.push(chance.pick(overrides));
    return this.#withBase(offset, this.#baseRegister(offset), true, prefixes);
  }

  #address16(target: bigint): Address {
    const chance = this.#chance,
      prefixes: number[] = [];
    if (target < 0n || target > 0xffffn) return this.#short(target & 0xffffn, prefixes);
    if (chance.percent(15)) {
      // BP and SP address the stack segment: an override says otherwise.
      return this.#withBase(target, this.#baseRegister(target), true, [0x67, 0x3e]);
    }
    return this.#short(target, prefixes);
  }

  /** The eight forms of 16-bit addressing (SDM 2A table 2-1), in the data segment. */
  #short(offset: bigint, prefixes: number[]): Address {
    const chance = this.#chance;
    if (chance.percent(25)) return { prefixes, rex: 0, mod: 0, rm: 6, tail: little(offset, 2) };
    const rm = chance.below(8);
    const registers = [[3, 6], [3, 7], [5, 6], [5, 7], [6], [7], [5], [3]][rm]!;
    let sum = 0n;
    for (const register of registers) {
      if (!this.#known.has(register)) {
        if (this.#kept.has(register)) return { prefixes, rex: 0, mod: 0, rm: 6, tail: little(offset, 2) };
        this.#load(register, BigInt(chance.below(0x10000)));
      }
      sum += this.#known.get(register)!;
    }
    const usesStack = registers[0] === 5;
    const override = usesStack && this.#bits === 16 ? [0x3e] : [];
    return { prefixes: [...override, ...prefixes], rex: 0, mod: 2, rm, tail: little(offset - sum, 2) };
  }
}

/** Condition bits of the status word that an instruction leaves undefined (SDM 2, "FPU Flags Affected"). */
function statusUndefined({ mnemonic, row }: Form, before: number): number {
  // C1 after FCOMI: cleared, or left alone.
  if (/^FU?COMIP?$/.test(mnemonic)) return before | C1;
  if (mnemonic.startsWith("FCMOV")) return before | C023;
  if (/^compare|^f?u?com(p|pp)?$|^ftst|^fxam|^fninit|^frstor|^fldenv|^fnsave/.test(row.handler)) return 0;
  if (/^(FNOP|FFREEP?|FNCLEX|FLDCW|FNSTCW|FNSTENV|FNSTSW|FNENI|FNDISI|FNSETPM|FWAIT)$/.test(mnemonic))
    return before | C023 | C1;
  return (before & ~C1) | C023;
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
