import { describe, expect, test } from "vitest";
import { instructions } from "../../../emulator/cpu/instructions.ts";
import { at, noCore, place, Rig, selector } from "./system-rig.ts";

/** Runs one instruction with EAX, ECX, EDX set; "ok" or the vector. */
function outcome(rig: Rig, code: string, { rax = 0n, rcx = 0n, rdx = 0n } = {}): string {
  rig.set("rax", rax);
  rig.set("rcx", rcx);
  rig.set("rdx", rdx);
  const { vector } = rig.run(`${code} f4`);
  return vector === undefined ? "ok" : `vector ${vector}`;
}
const pair = (rig: Rig): bigint => (rig.get("rdx") << 32n) | rig.get("rax");

describe.skipIf(noCore)("control registers", () => {
  const cr0 = (value: bigint): string => outcome(new Rig(), "0f22c0", { rax: value });
  const cr4 = (value: bigint): string => outcome(new Rig(), "0f22e0", { rax: value });

  test("MOV CR0 refuses what cannot be", () => {
    expect(cr0(0x80010033n)).toBe("ok");
    expect(cr0(0x80010032n)).toBe("vector 13");
    expect(cr0(0xa0010033n)).toBe("vector 13");
    expect(cr0(0x180010033n)).toBe("vector 13");
    // Paging cannot be switched off in 64-bit mode.
    expect(cr0(0x00010033n)).toBe("vector 13");
  });
  test("MOV CR4: reserved bits, and PAE in long mode", () => {
    expect(cr4(0x3006b0n)).toBe("ok");
    expect(cr4(0x690n & ~0x20n)).toBe("vector 13");
    expect(cr4(0x6b0n | (1n << 25n))).toBe("vector 13");
    expect(cr4(0x6b0n | (1n << 17n))).toBe("ok");
  });
  test("CR3, CR8 and the registers that do not exist", () => {
    expect(outcome(new Rig(), "0f22d8", { rax: 1n << 40n })).toBe("vector 13");
    expect(outcome(new Rig(), "440f22c0", { rax: 16n })).toBe("vector 13");
    expect(outcome(new Rig(), "440f22c0", { rax: 15n })).toBe("ok");
    expect(outcome(new Rig(), "0f22c8")).toBe("vector 6");
  });
  test("LMSW sets PE but does not clear it; SMSW tells all of CR0", () => {
    const rig = new Rig();
    expect(outcome(rig, "0f01f0", { rax: 0x8n })).toBe("ok");
    expect(rig.state(place.cr0) & 0xfn).toBe(0x9n);
    outcome(rig, "480f01e0");
    expect(rig.get("rax")).toBe(rig.state(place.cr0));
  });
  test("EFER: LME is fixed under paging, unknown bits are refused", () => {
    expect(outcome(new Rig(), "0f30", { rax: 0xd01n, rcx: 0xc0000080n })).toBe("ok");
    expect(outcome(new Rig(), "0f30", { rax: 0xc01n, rcx: 0xc0000080n })).toBe("vector 13");
    expect(outcome(new Rig(), "0f30", { rax: 0x1d01n, rcx: 0xc0000080n })).toBe("vector 13");
    const rig = new Rig();
    outcome(rig, "0f32", { rcx: 0xc0000080n });
    expect(pair(rig)).toBe(0xd01n);
  });
});

describe.skipIf(noCore)("debug registers", () => {
  test("writes keep the fixed bits; DR4 and DR5 alias or are undefined", () => {
    const rig = new Rig();
    outcome(rig, "0f23f8 0f23e0", { rax: 0n });
    expect([rig.state(place.dr + 56), rig.state(place.dr + 48)]).toEqual([0x400n, 0xffff0ff0n]);
    rig.setState(place.cr4, rig.state(place.cr4) | 8n);
    expect(outcome(rig, "0f23e0")).toBe("vector 6");
    expect(outcome(rig, "0f23f8", { rax: 1n << 32n })).toBe("vector 13");
  });
  test("DR7.GD strikes at the next access and clears itself", () => {
    const rig = new Rig();
    expect(outcome(rig, "0f23f8 0f21c3", { rax: 0x2400n })).toBe("vector 1");
    expect(rig.frame(false).rip).toBe(BigInt(at.code + 3));
    expect([rig.state(place.dr + 56), rig.state(place.dr + 48)]).toEqual([0x400n, 0xffff2ff0n]);
  });
  test("a data breakpoint traps after the instruction, wherever in it the bytes lie", () => {
    const rig = new Rig();
    rig.set("rbx", BigInt(at.data));
    rig.setState(place.dr, BigInt(at.data + 4));
    rig.setState(place.dr + 56, 0x400n | 1n | (0b1101n << 16n));
    // mov [rbx+8], rax; mov [rbx], rax; nop
    expect(outcome(rig, "48894308 488903 90")).toBe("vector 1");
    expect(rig.frame(false).rip).toBe(BigInt(at.code + 7));
    expect(rig.state(place.dr + 48) & 15n).toBe(1n);
  });
  test("an instruction breakpoint is a fault, and RF passes it", () => {
    const rig = new Rig();
    rig.setState(place.dr + 8, BigInt(at.code + 1));
    rig.setState(place.dr + 56, 0x400n | 4n);
    expect(outcome(rig, "90 90")).toBe("vector 1");
    expect(rig.frame(false).rip).toBe(BigInt(at.code + 1));
    expect(rig.state(place.dr + 48) & 15n).toBe(2n);
    // The handler sets RF in the frame and returns.
    rig.bytes(at.handlers + 0x10, "8144241000000100 48cf");
    expect(outcome(rig, "90 90 43")).toBe("ok");
  });
});

describe.skipIf(noCore)("model-specific registers", () => {
  test("unknown ones are #GP(0) both ways", () => {
    expect(outcome(new Rig(), "0f32", { rcx: 0x12345n })).toBe("vector 13");
    expect(outcome(new Rig(), "0f30", { rcx: 0x12345n })).toBe("vector 13");
  });
  test("bases must be canonical", () => {
    for (const rcx of [0xc0000100n, 0xc0000101n, 0xc0000102n, 0xc0000082n, 0x176n]) {
      expect(outcome(new Rig(), "0f30", { rcx, rdx: 0x8000n })).toBe("vector 13");
      const rig = new Rig();
      expect(outcome(rig, "0f30 0f32", { rcx, rax: 5n, rdx: 0xffff8000n })).toBe("ok");
      expect(pair(rig)).toBe(0xffff8000_00000005n);
    }
  });
  test("the time-stamp counter moves, can be set, and its deadline reaches the board on the board's clock", () => {
    const rig = new Rig();
    outcome(rig, "0f31");
    const first = pair(rig);
    outcome(rig, "0f31");
    expect(pair(rig)).toBeGreaterThan(first);
    outcome(rig, "0f30", { rcx: 0x10n, rax: 0x100000n });
    outcome(rig, "0f31");
    expect(pair(rig)).toBeGreaterThanOrEqual(0x100000n);
    expect(pair(rig)).toBeLessThan(0x100100n);
    outcome(rig, "0f30", { rcx: 0x6e0n, rax: 0x200000n });
    expect(rig.log.deadline).toBeGreaterThan(0x100000);
    expect(rig.log.deadline).toBeLessThan(0x100000 + 0x1000);
    outcome(rig, "0f30", { rcx: 0x6e0n });
    expect(rig.log.deadline).toBe(0);
    // CR4.TSD reserves it for CPL 0.
    rig.setState(place.cr4, rig.state(place.cr4) | 4n);
    expect(rig.run("0f31 cd81", { cpl: 3 }).vector).toBe(13);
  });
  test("SWAPGS and the FS and GS base instructions", () => {
    const rig = new Rig();
    rig.setState(place.kernelGsBase, 0x777n);
    expect(outcome(rig, "f3480faed8")).toBe("vector 6");
    rig.setState(place.cr4, rig.state(place.cr4) | 0x10000n);
    expect(outcome(rig, "f3480faed8 0f01f8 f3480faec9", { rax: 0x1234_5678_9abcn })).toBe("ok");
    expect([rig.get("rcx"), rig.state(place.kernelGsBase)]).toEqual([0x777n, 0x1234_5678_9abcn]);
    expect(outcome(rig, "f3480faed8", { rax: 1n << 47n })).toBe("vector 13");
  });
});

describe.skipIf(noCore)("descriptor instructions", () => {
  test("LAR, LSL, VERR and VERW tell by ZF", () => {
    const rig = new Rig();
    const ask = (code: string, sel: number): bigint | undefined => {
      expect(outcome(rig, code, { rcx: BigInt(sel) })).toBe("ok");
      return rig.cpu.rflags & 0x40n ? rig.get("rax") : undefined;
    };
    expect(ask("0f02c1", selector.code)).toBe(0xaf9b00n);
    expect(ask("0f02c1", selector.tss)).toBe(0x8900n);
    expect(ask("0f02c1", 0)).toBeUndefined();
    expect(ask("0f02c1", 0x58)).toBeUndefined();
    expect(ask("0f03c1", selector.data)).toBe(0xffffffffn);
    expect(ask("0f03c1", selector.tss)).toBe(0x67n);
    expect(ask("0f00e1", selector.code)).toBe(0n);
    expect(ask("0f00e9", selector.code)).toBeUndefined();
    expect(ask("0f00e9", selector.data)).toBe(0n);
    expect(ask("0f02c1", selector.data | 3)).toBeUndefined();
  });
  test("LTR marks the TSS busy; a busy one is refused", () => {
    const rig = new Rig();
    expect(outcome(rig, "0f00d8", { rax: BigInt(selector.tss) })).toBe("ok");
    expect(rig.segment(7)).toEqual({
      selector: selector.tss,
      attributes: 0x8b,
      limit: 0x67,
      base: BigInt(at.tss),
    });
    expect(rig.cpu.ram[at.gdt + selector.tss + 5]).toBe(0x8b);
    expect(outcome(rig, "0f00d8", { rax: BigInt(selector.tss) })).toBe("vector 13");
    expect(rig.frame(true).code).toBe(selector.tss);
  });
  test("loads set the accessed bit", () => {
    const rig = new Rig();
    rig.write64(at.gdt + selector.userData, 0n);
    rig.write64(at.gdt + (selector.userData & ~7), 0x00cff2000000ffffn);
    expect(outcome(rig, "8ed8", { rax: BigInt(selector.userData) })).toBe("ok");
    expect(rig.cpu.ram[at.gdt + (selector.userData & ~7) + 5]).toBe(0xf3);
  });
});

describe.skipIf(noCore)("CPUID", () => {
  interface Leaf {
    readonly a: number;
    readonly b: number;
    readonly c: number;
    readonly d: number;
  }
  function leaf(rax: number, rcx = 0): Leaf {
    const rig = new Rig();
    outcome(rig, "0fa2", { rax: BigInt(rax), rcx: BigInt(rcx) });
    return {
      a: Number(rig.get("rax")),
      b: Number(rig.get("rbx")),
      c: Number(rig.get("rcx")),
      d: Number(rig.get("rdx")),
    };
  }
  const text = (...words: number[]): string =>
    Buffer.from(Uint32Array.from(words).buffer).toString("latin1").replace(/\0+$/, "");
  const bit = (word: number, n: number): boolean => ((word >>> n) & 1) === 1;

  test("names", () => {
    const { b, c, d } = leaf(0);
    expect(text(b, d, c)).toBe("GenuineIntel");
    expect(
      text(
        ...[0x80000002, 0x80000003, 0x80000004].flatMap((n) => {
          const w = leaf(n);
          return [w.a, w.b, w.c, w.d];
        }),
      ),
    ).toBe("Virga virtual CPU");
    const hypervisor = leaf(0x40000000);
    expect(text(hypervisor.b, hypervisor.c, hypervisor.d)).toBe("VirgaVirga");
  });

  test("time: 1 GHz from a 25 MHz crystal, invariant, with a deadline timer", () => {
    expect(leaf(0x15)).toEqual({ a: 1, b: 40, c: 25_000_000, d: 0 });
    expect(leaf(0x16).a).toBe(1000);
    expect(leaf(0x80000007).d).toBe(0x100);
    expect(bit(leaf(1).c, 24)).toBe(true);
  });

  // Feature bit by leaf and register, and a mnemonic that exists exactly when it is claimed.
  test.each([
    ["SSE3", 1, "c", 0, "HADDPS"],
    ["PCLMULQDQ", 1, "c", 1, "PCLMULQDQ"],
    ["MONITOR", 1, "c", 3, "MONITOR"],
    ["SSSE3", 1, "c", 9, "PSHUFB"],
    ["FMA", 1, "c", 12, "VFMADD132PS"],
    ["CX16", 1, "c", 13, "CMPXCHG16B"],
    ["SSE4.1", 1, "c", 19, "PBLENDW"],
    ["SSE4.2", 1, "c", 20, "PCMPISTRI"],
    ["MOVBE", 1, "c", 22, "MOVBE"],
    ["POPCNT", 1, "c", 23, "POPCNT"],
    ["AES", 1, "c", 25, "AESENC"],
    ["XSAVE", 1, "c", 26, "XSAVE"],
    ["AVX", 1, "c", 28, "VADDPS"],
    ["F16C", 1, "c", 29, "VCVTPH2PS"],
    ["RDRAND", 1, "c", 30, "RDRAND"],
    ["FPU", 1, "d", 0, "FADD"],
    ["TSC", 1, "d", 4, "RDTSC"],
    ["MSR", 1, "d", 5, "RDMSR"],
    ["CX8", 1, "d", 8, "CMPXCHG8B"],
    ["SEP", 1, "d", 11, "SYSENTER"],
    ["CMOV", 1, "d", 15, "CMOVZ"],
    ["CLFSH", 1, "d", 19, "CLFLUSH"],
    ["MMX", 1, "d", 23, "EMMS"],
    ["FXSR", 1, "d", 24, "FXSAVE"],
    ["SSE", 1, "d", 25, "MULPS"],
    ["SSE2", 1, "d", 26, "MULPD"],
    ["FSGSBASE", 7, "b", 0, "WRFSBASE"],
    ["BMI1", 7, "b", 3, "ANDN"],
    ["AVX2", 7, "b", 5, "VPBROADCASTB"],
    ["BMI2", 7, "b", 8, "PDEP"],
    ["INVPCID", 7, "b", 10, "INVPCID"],
    ["RTM", 7, "b", 11, "XBEGIN"],
    ["RDSEED", 7, "b", 18, "RDSEED"],
    ["ADX", 7, "b", 19, "ADCX"],
    ["SMAP", 7, "b", 20, "STAC"],
    ["CLFLUSHOPT", 7, "b", 23, "CLFLUSHOPT"],
    ["CLWB", 7, "b", 24, "CLWB"],
    ["SHA", 7, "b", 29, "SHA1NEXTE"],
    ["RDPID", 7, "c", 22, "RDPID"],
    ["LZCNT", 0x80000001, "c", 5, "LZCNT"],
    ["PREFETCHW", 0x80000001, "c", 8, "PREFETCHW"],
    ["SYSCALL", 0x80000001, "d", 11, "SYSCALL"],
    ["RDTSCP", 0x80000001, "d", 27, "RDTSCP"],
  ] as const)("%s is claimed by v3 exactly when it exists", (_, number, register, n, mnemonic) => {
    const exists = instructions.some(({ syntax }) => syntax.split(" ")[0] === mnemonic);
    expect(bit(leaf(number)[register], n)).toBe(exists);
  });
});
