import { describe, expect, test } from "vitest";
import { RunExit } from "../../../emulator/cpu/core.ts";
import { at as place, makeCpu, setRegister } from "../../support/cpu-bench.ts";
import { at, noCore, place as rigPlace, Rig } from "./system-rig.ts";

/** System-management mode (SDM 3C, "System Management Mode"). */
const SMBASE = 0x30000,
  MARK = 0x9000;
/** 16-bit code: mov word [9000h], ABCDh; then RSM. */
const MARKING = "c7060090cdab",
  RSM = "0faa";
const IF = 0x202n;
/** A rig whose handler at SMBASE + 8000h is this code, with an SMI that waits. */
function managed(handler: string, base = SMBASE): Rig {
  const rig = new Rig();
  rig.bytes(base + 0x8000, handler);
  rig.cpu.raiseSmi();
  return rig;
}

describe.skipIf(noCore)("an SMI in 64-bit mode", () => {
  test("runs the handler between two instructions, and RSM brings everything back", () => {
    const rig = managed(`66b811111111 6689c3 ${MARKING} ${RSM}`);
    rig.set("rax", 0x1234_5678_9abc_def0n);
    rig.set("rbx", 7n);
    rig.set("r15", 0xffff_ffffn);
    const system = [rigPlace.cr0, rigPlace.cr3, rigPlace.cr4, rigPlace.efer, rigPlace.gdtr, rigPlace.idtr];
    const before = system.map((where) => rig.state(where));
    // inc r15; hlt
    const { rip } = rig.run("49ffc7 f4", { rflags: IF });
    expect(rig.read16(MARK)).toBe(0xabcd);
    expect([rip, rig.get("rax"), rig.get("rbx"), rig.get("r15")]).toEqual([
      BigInt(at.code + 4),
      0x1234_5678_9abc_def0n,
      7n,
      0x1_0000_0000n,
    ]);
    expect(system.map((where) => rig.state(where))).toEqual(before);
    expect([0, 1, 2, 7].map((n) => rig.segment(n).attributes)).toEqual([0xcf3, 0xa9b, 0xc93, 0x8b]);
    expect(rig.cpu.rflags & IF).toBe(IF);
  });

  test("enters something like real mode: no paging, flat data, CS at SMBASE", () => {
    const rig = managed("f4");
    rig.run("90f4");
    expect([rig.cpu.rip, rig.state(rigPlace.cr0) & 0x8000_0001n, rig.state(rigPlace.efer)]).toEqual([
      0x8001n,
      0n,
      0n,
    ]);
    expect(rig.segment(1)).toMatchObject({ selector: 0x3000, base: BigInt(SMBASE), limit: 0xffff_ffff });
    expect(rig.segment(3)).toMatchObject({ selector: 0, base: 0n, limit: 0xffff_ffff });
    // AMD64's layout: revision, RIP, CR0.
    expect([rig.read32(0x3fefc), rig.read64(0x3ff78), rig.read64(0x3ff58) & 0x8000_0001n]).toEqual([
      0x20064,
      BigInt(at.code),
      0x8000_0001n,
    ]);
  });

  test("comes before an NMI, which waits until RSM", () => {
    const rig = managed(`${MARKING} ${RSM}`);
    rig.cpu.raiseNmi();
    expect(rig.run("90f4").vector).toBe(2);
    expect(rig.read16(MARK)).toBe(0xabcd);
    const held = managed("90 f4");
    held.cpu.raiseNmi();
    held.run("90f4");
    expect(held.cpu.rip).toBe(0x8002n);
  });

  test("in a halt goes back to it, unless the handler says otherwise", () => {
    for (const [handler, rip] of [
      [RSM, at.code + 1],
      // mov byte [3FEC9h], 0 with a 32-bit address: on behind the HLT.
      [`67c605c9fe030000 ${RSM}`, at.code + 3],
    ] as const) {
      const rig = new Rig();
      rig.bytes(SMBASE + 0x8000, `${MARKING} ${handler}`);
      rig.run("f4 90 f4");
      rig.cpu.raiseSmi();
      expect(rig.cpu.run(100)).toBe(RunExit.halted);
      expect([rig.read16(MARK), rig.cpu.rip]).toEqual([0xabcd, BigInt(rip)]);
    }
  });

  test("RSM to a state that is none shuts the processor down, and outside the mode there is none", () => {
    // mov dword [3FF58h], 80000000h: PG without PE.
    const rig = managed(`6667c70558ff030000000080 ${RSM}`);
    expect(rig.run("90f4").exit).toBe(RunExit.tripleFault);
    expect(new Rig().run(RSM).vector).toBe(6);
  });

  test("where SMBASE was moved, the next one goes", () => {
    // mov dword [3FF00h], 40000h.
    const rig = managed(`6667c70500ff030000000400 ${RSM}`);
    rig.run("90f4");
    rig.bytes(0x48000, `${MARKING} ${RSM}`);
    rig.cpu.raiseSmi();
    rig.run("90f4");
    expect([rig.read16(MARK), rig.read32(0x4fefc)]).toEqual([0xabcd, 0x20064]);
  });

  test("sees SMRAM behind the display's window, and only it does", () => {
    const rig = new Rig();
    rig.cpu.placeVideo({ at: 0xe000_0000, size: 0x10_0000, window: 0x20000, bank: -1 });
    rig.cpu.setSmram("always");
    rig.cpu.ram.set([0x11], 0xa1000);
    // mov al, [A1000h]
    const read = "a000100a0000000000 f4";
    rig.setPte(0xa1000, 3n);
    rig.run(read);
    expect(rig.get("rax") & 0xffn).toBe(0x11n);
    rig.cpu.setSmram("managing");
    rig.run(read);
    expect([rig.get("rax") & 0xffn, rig.log.mmio]).toEqual([0xa5n, ["read a1000 1"]]);
    // mov al, [A1000h]; mov [9000h], al
    rig.bytes(SMBASE + 0x8000, `67a000100a00 a20090 ${RSM}`);
    rig.cpu.raiseSmi();
    rig.run("90f4");
    expect([rig.read16(MARK) & 0xff, rig.log.mmio.length]).toEqual([0x11, 1]);
  });
});

describe.skipIf(noCore).each(["486", "pentium", "pentium3"] as const)("an SMI on a %s", (name) => {
  test("saves the 32-bit layout, whose SMBASE can be moved", () => {
    const cpu = makeCpu(1, {}, name);
    const code = (where: number, hex: string): void => {
      cpu.ram.set(Buffer.from(hex.replaceAll(" ", ""), "hex"), where);
      cpu.invalidate(where, 64);
    };
    const word = (where: number): number =>
      new DataView(cpu.ram.buffer, cpu.ram.byteOffset).getUint32(where, true);
    const go = (): void => {
      cpu.view.setBigUint64(place("RIP"), 0x7c00n, true);
      cpu.view.setUint32(place("HALTED"), 0, true);
      cpu.raiseSmi();
      cpu.run(50);
    };
    cpu.view.setUint16(place("CS"), 0, true);
    cpu.view.setBigUint64(place("CS") + 8, 0n, true);
    cpu.view.setBigUint64(place("CR0"), 0x10n, true);
    setRegister(cpu, "rdi", 0x1234_5678n);
    cpu.reload();
    code(0x7c00, "6647 f4");
    // xor edi, edi; mov dword [3FEF8h], 40000h.
    code(0x38000, `6631ff 6667c705f8fe030000000400 ${RSM}`);
    code(0x48000, `${MARKING} ${RSM}`);
    go();
    // Revision, EDI and EIP as they were; EDI is back and counted up.
    expect([word(0x3fefc), word(0x3ffec), word(0x3fff0)]).toEqual([0x20000, 0x1234_5678, 0x7c00]);
    expect([cpu.rip, cpu.view.getBigUint64(place("RDI"), true)]).toEqual([0x7c03n, 0x1234_5679n]);
    go();
    expect([word(MARK) & 0xffff, cpu.view.getBigUint64(place("RDI"), true)]).toEqual([0xabcd, 0x1234_567an]);
  });
});

test.skipIf(noCore)("a 386 has no RSM", () => {
  const cpu = makeCpu(1, {}, "386");
  cpu.raiseSmi();
  cpu.ram.set([0x0f, 0xaa], 0x38000);
  cpu.run(1);
  expect(cpu.view.getUint32(place("IN_SMM"), true)).toBe(1);
  cpu.run(1);
  expect(cpu.rip).not.toBe(0x8002n);
});
