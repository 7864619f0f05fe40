import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CodeBits, disassemble } from "../../../emulator/cpu/disassembler.ts";
import type { Encoding } from "../../../emulator/cpu/encoding.ts";
import type { Instruction } from "../../../emulator/cpu/instructions/row.ts";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import { candidatesOf } from "../../../emulator/cpu/slots.ts";
import { ofObjdump, ofOurs } from "../../support/intel-syntax.ts";
import { hasObjdump, objdump, readListing } from "../../support/objdump.ts";
import { seededRandom } from "../../support/seeded-random.ts";

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex"));

describe("the disassembler", () => {
  test.each([
    ["48 83 ec 10", 64, "sub rsp, 0x10"],
    ["48 83 c8 ff", 64, "or rax, 0xffffffffffffffff"],
    ["ff 25 10 00 00 00", 64, "jmp qword ptr [rip+0x10]"],
    ["e8 fb ff ff ff", 64, "call 0x1000"],
    ["f3 48 a5", 64, "rep movs qword ptr es:[rdi], qword ptr ds:[rsi]"],
    ["64 48 8b 04 25 28 00 00 00", 64, "mov rax, qword ptr fs:0x28"],
    ["f0 48 0f b1 4c d3 f8", 64, "lock cmpxchg qword ptr [rbx+rdx*8-0x8], rcx"],
    ["f3 0f 1e fa", 64, "endbr64"],
    ["f3 90", 64, "pause"],
    ["c4 e2 f8 f3 c9", 64, "blsr rax, rcx"],
    ["8b 40 08", 16, "mov ax, word ptr [bx+si+0x8]"],
    ["ea 34 12 00 00 10 00", 32, "jmp 0x10:0x1234"],
    ["66 0f 6f c1", 32, "movdqa xmm0, xmm1"],
    ["dc e9", 32, "fsub st(1), st"],
  ] as const)("%s in %i bits is %s", (hex, bits, text) => {
    expect(disassemble(bytesOf(hex), bits, 0x1000n)).toEqual({ length: bytesOf(hex).length, text });
  });

  test.each([
    ["nothing", "", 64],
    ["an instruction cut short", "48 81 c0 01", 64],
    ["a slot without a row", "0f 24 c0", 64],
    ["LOCK where it is undefined", "f0 01 c8", 64],
    ["more than fifteen bytes", "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 64],
    ["an instruction of another mode", "27", 64],
    ["a sixth segment register", "8e f8", 64],
  ] as const)("says (bad) for %s", (_, hex, bits) => {
    expect(disassemble(bytesOf(hex), bits)).toEqual({ length: 1, text: "(bad)" });
  });

  test("reads any bytes", () => {
    const modes = fc.constantFrom<CodeBits>(16, 32, 64);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), modes, (bytes, bits) => {
        const { length, text } = disassemble(bytes, bits);
        expect(length).toBeGreaterThanOrEqual(1);
        expect(length).toBeLessThanOrEqual(15);
        expect(text).not.toMatch(/undefined|NaN/);
      }),
      { numRuns: 5000 },
    );
  });
});

/**
 * Rows that objdump reads otherwise, whatever the operands are.
 *
 * Undocumented twins of x87 instructions, SALC: real, and unknown to objdump. SFENCE, MFENCE: ModRM.rm is ignored (SDM 2B).
 * LSS, LFS, LGS and far branches through memory with REX.W: Intel's are 16:64 bits, AMD's 16:32. CRC32 and PMOVMSKB write a
 * register whose upper half is zero: the row names it once. PCLMULQDQ: the
 * names of some halves stand for two immediates. The hints of 0F 18-1F are NOPs of this machine, and names of several
 * extensions to objdump.
 */
const otherwise =
  /^(FSTP[189]|FXCH[47]|FCOM2|FCOMP[35]|SALC|FWAIT|[MS]FENCE|L[SFG]S|(JMP|CALL) Mp|CRC32 Gd|V?PMOVMSKB|V?PCLMULQDQ|NOP Ev)\b/;
/** 66 before these is no operand size: objdump calls it undefined, or follows AMD where a branch gets shorter. */
const not66 = /^(MOVNTI|WBINVD|INVD|J\w* J|LOOP|CALL|JMP|RET|PREFETCHW|[MSL]FENCE)/;

/** The bytes of one instance of a row, with random operands and prefixes; the instruction's own come first of fifteen. */
function instance(row: Instruction, encoding: Encoding, bits: CodeBits, random: () => number): number[] {
  const below = (n: number): number => Math.floor(random() * n);
  const bytes: number[] = [];
  const { prefix, map, opcode, digit, form, rm } = encoding;
  const long = bits === 64;
  const place = ["NP", "66", "F3", "F2"].indexOf(prefix ?? "NP");
  if (map >= 4) {
    const vvvv = /\b[BH][a-z]/.test(row.syntax) ? (long ? below(16) : 8 + below(8)) : 15;
    const w = encoding.w ?? (long ? below(2) : 0),
      wide = encoding.length === 256 ? 1 : 0;
    bytes.push(0xc4, (long ? below(8) << 5 : 0xe0) | (map - 3), (w << 7) | (vvvv << 3) | (wide << 2) | place);
  } else {
    if (prefix === undefined && below(6) === 0 && !not66.test(row.syntax)) bytes.push(0x66);
    if (below(8) === 0) bytes.push(0x67);
    if (below(8) === 0) bytes.push(0x64 + below(2));
    if (place > 0) bytes.push([0, 0x66, 0xf3, 0xf2][place]!);
    const wide = row.traits.includes("rex.w") ? 8 : 0;
    if (long && (wide || below(2))) bytes.push(0x40 | wide | below(row.traits.includes("no-rex.w") ? 8 : 16));
    bytes.push(...[[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]][map]!);
  }
  bytes.push(opcode + (encoding.plusRegister ? below(8) : 0));
  if (encoding.modrm) {
    let modrm = below(256);
    if (digit !== undefined) modrm = (modrm & 0xc7) | (digit << 3);
    if (form === "reg") modrm |= 0xc0;
    if (form === "mem") modrm = (modrm & 0x3f) | (below(3) << 6);
    bytes.push(rm === undefined ? modrm : (modrm & 0xf8) | rm);
  }
  while (bytes.length < 15) bytes.push(below(256));
  return bytes;
}

interface Sample {
  readonly at: number;
  readonly ours: ReturnType<typeof disassemble>;
}

/** Instances of rows, each at the start of 48 bytes of which the rest are NOPs, so that a listing is in step at each. */
function samples(rows: readonly Instruction[], bits: CodeBits, each: number, random: () => number) {
  // A short jump back from the first one still leads to no negative address.
  const code = Array.from({ length: 480 }, () => 0x90);
  const list: Sample[] = [];
  for (const row of rows) {
    for (let i = 0; i < each; i++) {
      const bytes = instance(row, candidatesOf(row)[0]!.encoding, bits, random);
      const ours = disassemble(new Uint8Array(bytes), bits, BigInt(code.length));
      list.push({ at: code.length, ours });
      code.push(...bytes.slice(0, ours.text === "(bad)" ? 15 : ours.length));
      while (code.length < 480 + list.length * 48) code.push(0x90);
    }
  }
  return { code: new Uint8Array(code), list };
}

const sentence = ({ length, text }: { length: number; text: string }): string => `${length} ${text}`;

const present = hasObjdump();
describe(`GNU objdump${present ? "" : ", skipped: it is not installed"}`, () => {
  const SEED = 20261121;

  test.skipIf(!present).each([64, 32, 16] as const)("agrees about every row in %i bits", (bits) => {
    const rows = instructions.filter(
      ({ syntax, traits }) => !otherwise.test(syntax) && !traits.includes(bits === 64 ? "i64" : "o64"),
    );
    const random = seededRandom(SEED + bits);
    const differences: string[] = [];
    // 16-bit branch targets stay true below 64 KiB only.
    for (let from = 0; from < rows.length; from += 100) {
      const { code, list } = samples(rows.slice(from, from + 100), bits, 10, random);
      const theirs = objdump(code, bits);
      for (const { at, ours } of list) {
        const other = theirs.get(at)!;
        const [mine, theirText] = [ofOurs(ours.text), ofObjdump(other.text)];
        // Both call it bad; how far they skip is taste.
        if (mine === "(bad)" && /\(bad\)|\?/.test(theirText)) continue;
        if (sentence({ ...ours, text: mine }) !== sentence({ ...other, text: theirText }))
          differences.push(
            `${Buffer.from(code.slice(at, at + other.length)).toString("hex")}: ${ours.length} ${mine} | ${other.length} ${theirText}`,
          );
      }
    }
    expect(differences, `seed ${SEED}`).toEqual([]);
  });

  const library = "/lib/x86_64-linux-gnu/libc.so.6";
  const ready = present && existsSync(library);
  test.skipIf(!ready)("agrees about a C library", () => {
    const options = ["-d", "-w", "-M", "intel", "-j", ".text", "--stop-address=0x100000", library];
    const listing = execFileSync("objdump", options, { encoding: "utf8", maxBuffer: 2 ** 28 });
    const known = new Set(instructions.map(({ syntax }) => syntax.split(" ")[0]!.toLowerCase()));
    const differences = new Set<string>();
    let compared = 0;
    for (const [at, { bytes, length, text }] of readListing(listing)) {
      const ours = disassemble(bytes, 64, BigInt(at));
      const [mine, theirs] = [ofOurs(ours.text), ofObjdump(text)];
      // EVEX is no part of the table.
      if (bytes[0] === 0x62) continue;
      // What has no row is bad, rightly.
      if (ours.text === "(bad)" && !known.has(theirs.split(" ")[0]!)) continue;
      compared++;
      if (ours.length !== length || mine !== theirs)
        differences.add(`${ours.length} ${mine} | ${length} ${theirs}`);
    }
    expect([...differences]).toEqual([]);
    expect(compared).toBeGreaterThan(10_000);
  });
});
