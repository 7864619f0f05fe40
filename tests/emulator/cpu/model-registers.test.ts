import { describe, expect, test } from "vitest";
import type { Feature } from "../../../emulator/cpu/features.ts";
import { models } from "../../../emulator/cpu/models.ts";
import { ProcessorName } from "../../../emulator/protocol/processor.ts";
import { ModelRig } from "./model-rig.ts";

/** Which registers, and which bits of them, each processor model has. */
const UD = 6,
  GP = 13,
  PF = 14;
const RDMSR = [0x0f, 0x32],
  WRMSR = [0x0f, 0x30],
  POPFD = [0x9d],
  MOV_TO_CR0 = [0x0f, 0x22, 0xc0],
  MOV_FROM_CR0 = [0x0f, 0x20, 0xc0],
  MOV_TO_CR4 = [0x0f, 0x22, 0xe0],
  MOV_FROM_CR4 = [0x0f, 0x20, 0xe0],
  LOAD = [0x8b, 0x07];

const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, k) => first + k);

/** Model-specific registers by the feature that they came with (SDM 4, tables 2-2, 2-3 and those of the P6 and P5 families). */
const REGISTERS: readonly (readonly [Feature, readonly number[]])[] = [
  ["msr", [0x00, 0x01]],
  ["tsc", [0x10]],
  ["mtrr", [0x17, 0x1b, 0x2a, 0x8b, 0xfe, 0x119, 0x179, 0x17a, 0x1d9, 0x277, 0x2ff]],
  ["mtrr", [...range(0x200, 0x20f), 0x250, 0x258, 0x259, ...range(0x268, 0x26f)]],
  ["sep", [0x174, 0x175, 0x176]],
  ["sse2", [0x3a, 0x198, 0x199, 0x1a0]],
  ["x2apic", [0x34, 0xce, 0x1a4]],
  ["tscAdjust", [0x3b]],
  ["archCapabilities", [0x10a]],
  ["tscDeadline", [0x6e0]],
  ["syscall", [0xc000_0080, 0xc000_0081]],
  ["lm", [0xc000_0082, 0xc000_0083, 0xc000_0084, 0xc000_0100, 0xc000_0101, 0xc000_0102]],
  ["rdtscp", [0xc000_0103]],
];
/** Where processors have or had registers, and two places where none has. The x2APIC's are there in its mode only. */
const ASKED = [
  ...range(0, 0x6ff),
  ...range(0x800, 0x83f),
  ...range(0xda0, 0xda1),
  ...range(0x4000_0000, 0x4000_001f),
  ...range(0xc000_0080, 0xc000_0110),
  ...range(0xc001_0000, 0xc001_001f),
];

/** Bits of CR4 and EFER that can be set with paging off in protected mode: PCIDs are for IA-32e mode (SDM 3A §2.5, §2.2.1). */
const CR4_BITS: readonly (readonly [Feature, number])[] = [
  ["vme", 0x3],
  ["tsc", 0x4],
  ["de", 0x8],
  ["pse", 0x10],
  ["pae", 0x20],
  ["mce", 0x40],
  ["pge", 0x180],
  ["fxsr", 0x200],
  ["sse", 0x400],
  ["umip", 0x800],
  ["fsgsbase", 0x1_0000],
  ["xsave", 0x4_0000],
  ["smep", 0x10_0000],
  ["smap", 0x20_0000],
];
const EFER_BITS: readonly (readonly [Feature, number])[] = [
  ["syscall", 0x1],
  ["lm", 0x100],
  ["nx", 0x800],
];
const bitsOf = (bits: readonly (readonly [Feature, number])[], features: readonly Feature[]): number =>
  bits.reduce((all, [feature, mask]) => (features.includes(feature) ? all | mask : all), 0);

describe.each(ProcessorName.options)("a processor %s", (name) => {
  const { features } = models[name];
  const has = (feature: Feature): boolean => features.includes(feature);

  test("has the model-specific registers of its features, and no other", () => {
    const rig = new ModelRig(name);
    const there = new Set(REGISTERS.flatMap(([feature, registers]) => (has(feature) ? registers : [])));
    const wrong: string[] = [];
    for (const index of ASKED) {
      const expected = has("msr") ? (there.has(index) ? undefined : GP) : UD;
      const got = rig.run(RDMSR, { rcx: BigInt(index) });
      if (got !== expected) wrong.push(`${index.toString(16)} reads with ${got ?? "no exception"}`);
      // What is not there cannot be written either; two registers of microcode updates are written only.
      if (expected === undefined || (has("mtrr") && index === 0x79)) continue;
      if (rig.run(WRMSR, { rcx: BigInt(index), rax: 0n, rdx: 0n }) !== expected)
        wrong.push(`${index.toString(16)} can be written`);
    }
    expect(wrong).toEqual([]);
  });

  test("has the bits of EFER that its features brought", () => {
    const rig = new ModelRig(name),
      known = bitsOf(EFER_BITS, features);
    for (let bit = 0; bit < 64; bit++) {
      // Bit 10 says what the mode is, and cannot be changed by a write.
      if (bit === 10) continue;
      const value = 1n << BigInt(bit),
        ok = bit < 32 && (known & (1 << bit)) !== 0;
      const vector = rig.run(WRMSR, { rcx: 0xc000_0080n, rax: value & 0xffff_ffffn, rdx: value >> 32n });
      expect(vector, `bit ${bit}`).toBe(ok ? undefined : has("msr") ? GP : UD);
      if (ok) expect(rig.peek("EFER")).toBe(value);
    }
  });

  test("has the bits of CR4 that its features brought, or no CR4", () => {
    const rig = new ModelRig(name),
      known = bitsOf(CR4_BITS, features);
    for (let bit = 0; bit < 32; bit++) {
      const value = 1n << BigInt(bit),
        ok = (known & (1 << bit)) !== 0;
      expect(rig.run(MOV_TO_CR4, { rax: value }), `bit ${bit}`).toBe(ok ? undefined : known === 0 ? UD : GP);
      if (ok) expect(rig.peek("CR4")).toBe(value);
    }
    expect(rig.run(MOV_FROM_CR4)).toBe(known === 0 ? UD : undefined);
  });

  test("keeps the bits of CR0 that it has: NE, WP, AM, NW and CD came with the 486", () => {
    const rig = new ModelRig(name),
      all = has("i486") ? 0x6005_003fn : 0x1fn;
    expect(rig.run(MOV_TO_CR0, { rax: 0x7fff_ffffn })).toBeUndefined();
    expect(rig.peek("CR0")).toBe(all);
    rig.poke("CR0", all);
    rig.run(MOV_FROM_CR0);
    expect(rig.get("rax")).toBe(all);
    // NW without CD is refused by those that have them.
    expect(rig.run(MOV_TO_CR0, { rax: 0x2000_0011n })).toBe(has("i486") ? GP : undefined);
    rig.cpu.reset();
    expect(rig.peek("CR0")).toBe(has("i486") ? 0x6000_0010n : 0x10n);
  });

  test("toggles the flags that kernels probe processors by", () => {
    const rig = new ModelRig(name);
    const stack = Number(rig.get("rsp"));
    const ram = new DataView(rig.cpu.ram.buffer, rig.cpu.ram.byteOffset);
    ram.setUint32(stack, 0xffff_fcff, true);
    rig.run(POPFD);
    // Bit 15 is 0 since the 286, IOPL and NT can be set; then AC of the 486, VIF and VIP, which POPF clears, and ID of CPUID.
    const extra = (has("i486") ? 0x4_0000n : 0n) | (has("cpuid") ? 0x20_0000n : 0n);
    expect(rig.cpu.rflags & ~0x300n).toBe(0x7cd7n | extra);
    ram.setUint32(stack, 0, true);
    rig.run(POPFD);
    expect(rig.cpu.rflags).toBe(2n);
  });
});

/** A linear address, and the page tables' places: PD or PDPT, PD of PAE, PT. */
const LINEAR = 0x40_0000n,
  TABLE = 0x8000,
  SECOND = 0x9000,
  THIRD = 0xa000;
/** Present and writable. */
const P = 0x3n,
  LARGE = 0x80n;

/** What a load from LINEAR raises when these words, 4 or 8 bytes each, lie in the tables; the first 4 MiB are mapped to themselves. */
function load(
  name: ProcessorName,
  pae: boolean,
  words: readonly (readonly [number, bigint])[],
): number | undefined {
  const rig = new ModelRig(name),
    ram = new DataView(rig.cpu.ram.buffer, rig.cpu.ram.byteOffset);
  const entry = (place: number, value: bigint): void =>
    pae ? ram.setBigUint64(place, value, true) : ram.setUint32(place, Number(value), true);
  if (pae) {
    entry(TABLE, BigInt(SECOND) | 1n);
    entry(SECOND, P | LARGE);
  } else {
    entry(TABLE, BigInt(SECOND) | P);
    for (const page of range(0, 255)) entry(SECOND + 4 * page, (BigInt(page) << 12n) | P);
  }
  for (const [place, value] of words) entry(place, value);
  rig.poke("CR3", BigInt(TABLE));
  rig.poke("CR4", pae ? 0x20n : models[name].features.includes("pse") ? 0x10n : 0n);
  rig.poke("CR0", 0x8000_0031n);
  return rig.run(LOAD, { rdi: LINEAR });
}

describe("reserved bits of page tables", () => {
  const large = (name: ProcessorName, bits: bigint): number | undefined =>
    load(name, false, [[TABLE + 4, P | LARGE | bits]]);
  const small = (name: ProcessorName, bits: bigint): number | undefined =>
    load(name, false, [
      [TABLE + 4, BigInt(THIRD) | P],
      [THIRD, P | bits],
    ]);
  test("of 4 MiB pages: the address without PSE-36, with 36 bits and with 39; the PAT's bit", () => {
    for (const [name, reserved] of [
      ["pentium", 0x3f_f000n],
      ["pentium3", 0x3e_0000n],
      ["core2", 0x30_0000n],
      ["v3", 0x30_0000n],
    ] as const)
      for (let bit = 12n; bit < 22n; bit++)
        expect(large(name, 1n << bit), `${name}, bit ${bit}`).toBe((reserved >> bit) & 1n ? PF : undefined);
  });
  test("of 4 KiB pages: the PAT's bit under CR4.PSE, where there is no PAT", () => {
    for (const name of ["386", "486", "pentium3", "v3"] as const) expect(small(name, LARGE)).toBeUndefined();
    expect(small("pentium", LARGE)).toBe(PF);
    expect(small("pentium", 0n)).toBeUndefined();
  });
  test("the 386 and the 486 have no large pages: their bit means nothing", () => {
    for (const name of ["386", "486"] as const)
      expect(
        load(name, false, [
          [TABLE + 4, BigInt(THIRD) | P | LARGE],
          [THIRD, P],
        ]),
      ).toBeUndefined();
  });
  test("of PAE's entries: those beyond 36 bits, or 39; and NX where it is not enabled", () => {
    const pae = (name: ProcessorName, bits: bigint): number | undefined =>
      load(name, true, [
        [SECOND + 16, BigInt(THIRD) | P],
        [THIRD, P | bits],
      ]);
    for (const name of ["pentium3", "core2", "v1"] as const) {
      expect(pae(name, 0n)).toBeUndefined();
      for (const bit of [35n, 36n, 38n, 39n, 51n, 52n, 63n])
        expect(pae(name, 1n << bit), `${name}, bit ${bit}`).toBe(
          bit < (name === "pentium3" ? 36n : 39n) ? undefined : PF,
        );
    }
  });
});

test("LAHF and SAHF in 64-bit mode are a feature of their own", () => {
  for (const name of ["core2", "v1", "v2", "v3"] as const) {
    const rig = new ModelRig(name, true);
    const expected = models[name].features.includes("lahf") ? undefined : UD;
    expect([rig.run([0x9f]), rig.run([0x9e])], name).toEqual([expected, expected]);
    expect([new ModelRig(name).run([0x9f]), new ModelRig(name).run([0x9e])]).toEqual([undefined, undefined]);
  }
});
