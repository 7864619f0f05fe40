import { describe, expect, test } from "vitest";
import { RunExit } from "../../../emulator/cpu/core.ts";
import { legacy, LegacyRig } from "./system-legacy-rig.ts";
import { at, noCore, place, Rig, selector } from "./system-rig.ts";

/** What came to system mode late: PCIDs, MONITOR and MWAIT, x2APIC; and single steps through a repeated string instruction. */
const GP = 13,
  UD = 6;
const PCIDE = 1n << 17n;

/** Runs one instruction with EAX, ECX, EDX set: the vector, or undefined. */
function outcome(rig: Rig, code: string, { rax = 0n, rcx = 0n, rdx = 0n } = {}): number | undefined {
  rig.set("rax", rax);
  rig.set("rcx", rcx);
  rig.set("rdx", rdx);
  return rig.run(`${code} f4`).vector;
}
const pair = (rig: Rig): bigint => (rig.get("rdx") << 32n) | rig.get("rax");

describe.skipIf(noCore)("PCIDs (SDM 3A §4.10.1)", () => {
  const MOV_CR3 = "0f22d8",
    MOV_CR4 = "0f22e0";
  test("begin with the PCID of 0, and end paging does not before they do", () => {
    const rig = new Rig();
    rig.setState(place.cr3, BigInt(at.pml4) | 0x18n);
    expect(outcome(rig, MOV_CR4, { rax: 0x6b0n | PCIDE })).toBe(GP);
    rig.setState(place.cr3, BigInt(at.pml4));
    expect(outcome(rig, MOV_CR4, { rax: 0x6b0n | PCIDE })).toBeUndefined();
    expect(rig.state(place.cr4)).toBe(0x6b0n | PCIDE);
  });
  test("stand in CR3, whose bit 63 is a wish and never kept", () => {
    const rig = new Rig();
    const cr3 = BigInt(at.pml4) | 0x123n;
    expect(outcome(rig, MOV_CR3, { rax: cr3 | (1n << 63n) })).toBe(GP);
    outcome(rig, MOV_CR4, { rax: 0x6b0n | PCIDE });
    expect(outcome(rig, MOV_CR3, { rax: cr3 | (1n << 63n) })).toBeUndefined();
    expect(rig.state(place.cr3)).toBe(cr3);
  });
  test("INVPCID takes 12 bits of them where they are on, and 0 where not", () => {
    const DESCRIPTOR = 0x9000;
    // INVPCID RAX, [RCX].
    const invalidate = (pcid: bigint, on: boolean): number | undefined => {
      const rig = new Rig();
      if (on) outcome(rig, MOV_CR4, { rax: 0x6b0n | PCIDE });
      rig.write64(DESCRIPTOR, pcid);
      rig.write64(DESCRIPTOR + 8, 0n);
      return outcome(rig, "660f388201", { rax: 1n, rcx: BigInt(DESCRIPTOR) });
    };
    expect(invalidate(5n, false)).toBe(GP);
    expect(invalidate(5n, true)).toBeUndefined();
    expect(invalidate(0x1000n, true)).toBe(GP);
  });
});

describe.skipIf(noCore)("MONITOR and MWAIT (SDM 2B)", () => {
  const IF = 0x202n;
  /** MONITOR with RAX on data, then the code, MWAIT and CLI; HLT. */
  const wait = (rig: Rig, between: string, rflags: bigint, ecx = 0) => {
    rig.set("rax", BigInt(at.user));
    rig.set("rcx", 0n);
    rig.set("rdx", 0n);
    return rig.run(`0f01c8 ${between} b90${ecx}000000 0f01c9 fa 90 f4`, { rflags });
  };
  test("halt until an interrupt", () => {
    const rig = new Rig();
    const { exit, rip } = wait(rig, "", IF);
    expect(exit).toBe(RunExit.halted);
    expect(rip).toBe(BigInt(at.code + 11));
    rig.cpu.setInterruptPin(true);
    rig.cpu.run(100);
    expect(rig.cpu.rip).toBe(BigInt(at.handlers + 0x40 * 16 + 1));
  });
  test("with ECX bit 0, until one that is masked too", () => {
    const rig = new Rig();
    expect(wait(rig, "", 2n, 1).rip).toBe(BigInt(at.code + 11));
    rig.cpu.setInterruptPin(true);
    rig.cpu.run(100);
    // On to the HLT at the end, with nothing delivered.
    expect(rig.cpu.rip).toBe(BigInt(at.code + 14));
  });
  test("do not wait where nothing would end it, nor after an interrupt between the two", () => {
    expect(wait(new Rig(), "", 2n).rip).toBe(BigInt(at.code + 14));
    const rig = new Rig();
    rig.gate(0x40, { to: at.code + 0x100 });
    rig.bytes(at.code + 0x100, "48cf");
    // STI; NOP; NOP let the interrupt in.
    rig.cpu.setInterruptPin(true);
    expect(wait(rig, "fb 90 90", 2n).rip).toBe(BigInt(at.code + 17));
  });
  test("are for CPL 0 and known extensions only, and the address must be there", () => {
    expect(new Rig().run("31c9 0f01c8 f4", { cpl: 3 }).vector).toBe(UD);
    expect(outcome(new Rig(), "0f01c8", { rax: BigInt(at.user), rcx: 1n })).toBe(GP);
    expect(outcome(new Rig(), "0f01c9", { rcx: 2n })).toBe(GP);
    expect(outcome(new Rig(), "0f01c8", { rax: 0x7000_0000n })).toBe(14);
  });
});

describe.skipIf(noCore)("x2APIC mode (SDM 3A §10.12)", () => {
  const BASE = 0x1bn;
  const rdmsr = (rig: Rig, rcx: bigint): number | undefined => outcome(rig, "0f32", { rcx });
  const wrmsr = (rig: Rig, rcx: bigint, value: bigint): number | undefined =>
    outcome(rig, "0f30", { rcx, rax: value & 0xffffffffn, rdx: value >> 32n });
  const entered = (): Rig => {
    const rig = new Rig();
    expect(wrmsr(rig, BASE, 0xfee00d00n)).toBeUndefined();
    rig.log.mmio.length = 0;
    return rig;
  };
  test("is entered from xAPIC mode and left by switching off", () => {
    const rig = new Rig();
    expect(rdmsr(rig, 0x802n)).toBe(GP);
    expect(wrmsr(rig, BASE, 0xfee00500n)).toBe(GP);
    expect(wrmsr(rig, BASE, 0xfee00d00n)).toBeUndefined();
    expect(wrmsr(rig, BASE, 0xfee00900n)).toBe(GP);
    expect(wrmsr(rig, BASE, 0xfee00100n)).toBeUndefined();
    expect(wrmsr(rig, BASE, 0xfee00d00n)).toBe(GP);
    expect(wrmsr(rig, BASE, 0xfee00900n)).toBeUndefined();
  });
  test("has the registers as MSRs", () => {
    const rig = entered();
    expect(rdmsr(rig, 0x80fn)).toBeUndefined();
    expect(pair(rig)).toBe(0xa5a5a5a5n);
    expect(rdmsr(rig, 0x802n)).toBeUndefined();
    expect(pair(rig)).toBe(0xa5n);
    expect(rdmsr(rig, 0x80dn)).toBeUndefined();
    expect(pair(rig)).toBe(1n);
    expect(wrmsr(rig, 0x832n, 0x10040n)).toBeUndefined();
    expect(wrmsr(rig, 0x80bn, 0n)).toBeUndefined();
    expect(rig.log.mmio).toEqual([
      "read fee000f0 4",
      "read fee00020 4",
      "write fee00320 4 10040",
      "write fee000b0 4 0",
    ]);
  });
  test("sends with destinations of 32 bits", () => {
    const rig = entered();
    wrmsr(rig, 0x830n, 0x000c4041n);
    wrmsr(rig, 0x830n, 0xffffffff_00004042n);
    wrmsr(rig, 0x830n, 0x7_00004043n);
    // Logically: processor 0 of cluster 0.
    wrmsr(rig, 0x830n, 0x1_00004844n);
    wrmsr(rig, 0x83fn, 0x45n);
    expect(rig.log.mmio.filter((line) => line.startsWith("write"))).toEqual([
      "write fee00310 4 0",
      "write fee00300 4 c4041",
      "write fee00310 4 ff000000",
      "write fee00300 4 4042",
      "write fee00310 4 fe000000",
      "write fee00300 4 4043",
      "write fee00310 4 0",
      "write fee00300 4 4044",
      "write fee00300 4 40045",
    ]);
  });
  test.each([
    ["the destination format register", 0x80en, 0n],
    ["the upper half of the command register", 0x831n, 0n],
    ["an upper half", 0x832n, 1n << 32n],
    ["an end of interrupt that is not 0", 0x80bn, 1n],
    ["the version", 0x803n, 0n],
    ["a request register", 0x820n, 0n],
  ])("refuses a write of %s", (_, index, value) => {
    const rig = entered();
    expect(wrmsr(rig, index, value)).toBe(GP);
    expect(rig.log.mmio).toEqual([]);
  });
});

describe.skipIf(noCore)("RFLAGS.TF (SDM 3B §17.3.1.4)", () => {
  test("traps after each element of REP STOSB, with RF set until the last", () => {
    const rig = new Rig();
    rig.set("rdi", BigInt(at.user + 0x800));
    rig.set("rcx", 3n);
    rig.set("rax", 0x41n);
    // REP STOSB; NOP; INT DONE. The handler of #DB halts.
    expect(rig.run("f3aa 90 f4", { rflags: 0x102n }).vector).toBe(1);
    const steps: string[] = [];
    for (let i = 0; i < 4; i++) {
      const { rip, rflags } = rig.frame(false);
      steps.push(`${Number(rip) - at.code} rcx=${rig.get("rcx")} rf=${(rflags >> 16n) & 1n}`);
      // IRETQ from the frame.
      rig.bytes(at.code + 0x100, "48cf");
      rig.setState(place.rip, BigInt(at.code + 0x100));
      if (rig.resume(2n).vector !== 1) break;
    }
    expect(steps).toEqual(["0 rcx=2 rf=1", "0 rcx=1 rf=1", "2 rcx=0 rf=0", "3 rcx=0 rf=0"]);
  });
});

describe.skipIf(noCore)("virtual-8086 mode extensions (SDM 3A §20.3)", () => {
  const VME = 1n,
    VM = 0x20002,
    VIF = 0x80000n,
    VIP = 0x100000;
  const CODE = 0x12340,
    HANDLER = 0x21000,
    IO_MAP = 136;

  /** Runs 16-bit code as virtual-8086 mode at IOPL 0, with what else the flags say: the vector that came of it. */
  function runVirtual(rig: LegacyRig, code: string, flags = VM): number | undefined {
    rig.setState(place.cr4, 0x600n | VME);
    rig.setSegment(7, 0x28, 0x8b, BigInt(at.tss), 0x1ff);
    rig.write16(at.tss + 102, IO_MAP);
    rig.bytes(CODE, code);
    const frame = [0x40, 0x1230, flags, 0x800, 0x2000, 0, 0, 0, 0];
    for (const [n, value] of frame.entries()) rig.write32(at.kernelStack - 0x40 + 4 * n, value);
    rig.ring(0);
    rig.set("rsp", BigInt(at.kernelStack - 0x40));
    return rig.run("cf", { keep: true }).vector;
  }
  const words = (rig: LegacyRig, ...names: ("rax" | "rbx" | "rcx" | "rdx")[]): number[] =>
    names.map((name) => Number(rig.get(name) & 0xffffn));

  test("give the program VIF for IF, and an IOPL of 3 to look at", () => {
    const rig = new LegacyRig();
    // STI; PUSHF; POP AX; CLI; PUSHF; POP BX; push 0202; POPF; PUSHF; POP CX; HLT, which is #GP.
    expect(runVirtual(rig, "fb 9c 58 fa 9c 5b 680202 9d 9c 59 f4")).toBe(GP);
    expect(words(rig, "rax", "rbx", "rcx")).toEqual([0x3202, 0x3002, 0x3202]);
    // Error code, EIP, CS, EFLAGS: VIF, and no IF.
    expect(BigInt(rig.stack(4)[3]!)).toBe(BigInt(VM) | VIF | 0x10000n);
  });
  test("send INT n to the program's own table where the map of the TSS says so", () => {
    const rig = new LegacyRig();
    rig.write32(4 * 0x21, 0x2100_0000);
    // PUSHF; POP CX; IRET.
    rig.bytes(HANDLER, "9c 59 cf");
    // STI; INT 21H; PUSHF; POP DX; INT 22H, which the map keeps for the monitor.
    rig.write32(at.tss + IO_MAP - 32 + 4, 1 << 2);
    expect(runVirtual(rig, "fb cd21 9c 5a cd22")).toBe(GP);
    expect(words(rig, "rcx", "rdx")).toEqual([0x3002, 0x3202]);
    expect(rig.stack(3)).toEqual([0, CODE - 0x12300 + 5, 0x1230]);
  });
  test("stop the program where an interrupt waits for it", () => {
    expect(runVirtual(new LegacyRig(), "fb f4", VM | VIP)).toBe(GP);
    const rig = new LegacyRig();
    expect(runVirtual(rig, "680202 9d f4", VM | VIP)).toBe(GP);
    expect(rig.stack(2)[1]).toBe(0x43);
  });
  test("give #GP before an instruction that finds VIF and VIP both set, which IRET can set", () => {
    const rig = new LegacyRig();
    // NOP; HLT.
    expect(runVirtual(rig, "90 f4", VM | VIP | Number(VIF))).toBe(GP);
    expect(rig.stack(2)).toEqual([0, 0x40]);
    expect(BigInt(rig.stack(4)[3]!)).toBe(BigInt(VM | VIP) | VIF | 0x10000n);
    // With an IOPL of 3 the two do not count: HLT is what faults.
    expect(runVirtual(rig, "90 f4", VM | VIP | Number(VIF) | 0x3000)).toBe(GP);
    expect(rig.stack(2)).toEqual([0, 0x41]);
  });
  test.each([
    ["IRETQ", "48cf", 1n, GP],
    ["IRETQ without CR4.PVI", "48cf", 0n, UD],
    ["SYSRET", "480f07", 1n, GP],
    ["SYSRET without CR4.PVI", "480f07", 0n, UD],
  ])("%s to CPL 3 with VIF and VIP (SDM 3A §20.4)", (_name, code, pvi, vector) => {
    const rig = new Rig(),
      flags = 2n | VIF | BigInt(VIP);
    rig.setState(place.cr4, 0x6b0n | (pvi << 1n));
    rig.setState(place.star, (BigInt(selector.user32) << 48n) | (BigInt(selector.code) << 32n));
    rig.bytes(at.user, "0f0b");
    const frame = [BigInt(at.user), BigInt(selector.user), flags, BigInt(at.userStack)];
    for (const [n, value] of [...frame, BigInt(selector.userData)].entries())
      rig.write64(at.kernelStack - 0x40 + 8 * n, value);
    rig.set("rsp", BigInt(at.kernelStack - 0x40));
    rig.set("rcx", BigInt(at.user));
    rig.set("r11", flags);
    expect(rig.run(code, { keep: true }).vector).toBe(vector);
    expect(rig.frame(vector === GP)).toMatchObject({ rip: BigInt(at.user), rflags: flags | 0x10000n });
  });
  test("are not there without CR4.VME", () => {
    const rig = new LegacyRig();
    rig.bytes(CODE, "fb");
    const frame = [0x40, 0x1230, VM, 0x800, 0x2000, 0, 0, 0, 0];
    for (const [n, value] of frame.entries()) rig.write32(at.kernelStack - 0x40 + 4 * n, value);
    rig.set("rsp", BigInt(at.kernelStack - 0x40));
    expect(rig.run("cf", { keep: true }).vector).toBe(GP);
    expect(rig.stack(2)[1]).toBe(0x40);
  });
});

test.skipIf(noCore)("INVLPG looks at no limit, and takes a null segment (SDM 3C §27.2.1)", () => {
  const rig = new LegacyRig();
  rig.setSegment(4, legacy.data16, 0x93, 0n, 0xff);
  rig.setSegment(5, 0, 0);
  // INVLPG FS:[1000h]; INVLPG GS:[0]; MOV EAX, FS:[1000h].
  expect(rig.run("64 0f013d 00100000 65 0f013d 00000000 64 a1 00100000 f4", { keep: true }).vector).toBe(GP);
  expect(rig.stack(2)).toEqual([0, at.code + 16]);
});

test.skipIf(noCore)("in x2APIC mode the registers' page answers nothing (SDM 3A §10.12.2)", () => {
  const rig = new Rig();
  rig.write64(at.pt + 9 * 8, 0xfee0_0003n);
  const APIC_BASE = place.efer - 0x290 + 0x2e8;
  // mov [9080h], eax; mov eax, [9030h].
  const code = "890425 80900000 8b0425 30900000 f4";
  expect(rig.run(code).vector).toBeUndefined();
  expect(rig.log.mmio.map((line) => line.split(" ").slice(0, 2))).toEqual([
    ["write", "fee00080"],
    ["read", "fee00030"],
  ]);
  rig.setState(APIC_BASE, 0xfee0_0d00n);
  rig.log.mmio.length = 0;
  rig.run(code);
  expect([rig.get("rax"), rig.log.mmio]).toEqual([0xffff_ffffn, []]);
});
