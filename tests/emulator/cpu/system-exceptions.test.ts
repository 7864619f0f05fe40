import { describe, expect, test } from "vitest";
import { RunExit } from "../../../emulator/cpu/core.ts";
import { at, DONE, noCore, P, place, Rig, RW, selector, US } from "./system-rig.ts";

const RF = 0x10000n;

describe.skipIf(noCore)("delivery in long mode", () => {
  test("from user code: stack of the TSS, aligned, SS null, flags cleared", () => {
    const rig = new Rig();
    rig.write64(at.tss + 4, BigInt(at.kernelStack - 7));
    const { vector } = rig.run("90 0f0b", { cpl: 3, rflags: 0x302n | 0x4000n | 0x8d5n });
    // TF is set: the first trap comes after NOP.
    expect(vector).toBe(1);
    expect(rig.frame(false)).toEqual({
      code: -1,
      rip: BigInt(at.user + 1),
      cs: selector.user,
      rflags: 0x4bd7n,
      rsp: BigInt(at.userStack),
      ss: selector.userData,
    });
    expect(rig.get("rsp")).toBe(BigInt(((at.kernelStack - 7) & ~15) - 40));
    expect(rig.cpl).toBe(0);
    expect(rig.segment(2).selector).toBe(0);
    expect(rig.cpu.rflags & 0x4300n).toBe(0n);
    expect(rig.state(place.dr + 48) & 0x4000n).toBe(0x4000n);
  });

  test("at CPL 0 the stack stays, and SS:RSP are pushed all the same", () => {
    const rig = new Rig();
    rig.set("rsp", 0x2fff1n);
    rig.run("0f0b", { keep: true });
    expect(rig.frame(false)).toEqual({
      code: -1,
      rip: BigInt(at.code),
      cs: selector.code,
      rflags: RF | 2n,
      rsp: 0x2fff1n,
      ss: selector.data,
    });
    expect(rig.get("rsp")).toBe(0x2fff0n - 40n);
  });

  test("an interrupt gate clears IF, a trap gate does not", () => {
    const rig = new Rig();
    rig.run("cd50", { rflags: 0x202n });
    expect(rig.cpu.rflags & 0x200n).toBe(0n);
    rig.gate(0x50, { type: 0x8f });
    rig.run("cd50", { rflags: 0x202n });
    expect(rig.cpu.rflags & 0x200n).toBe(0x200n);
  });

  test("faults set RF in the frame; INT n and traps do not", () => {
    const rig = new Rig();
    rig.run("0f0b");
    expect(rig.frame(false).rflags & RF).toBe(RF);
    rig.run("cd50");
    expect(rig.frame(false).rflags & RF).toBe(0n);
    rig.run("cc");
    expect(rig.frame(false)).toMatchObject({ rip: BigInt(at.code + 1), rflags: 2n });
  });

  test("IST replaces the stack at any level", () => {
    const rig = new Rig();
    rig.gate(6, { ist: 1 });
    rig.run("0f0b");
    expect(rig.get("rsp")).toBe(BigInt(at.ist - 40));
    expect(rig.frame(false).rsp).toBe(BigInt(at.kernelStack));
  });

  test("error codes name what was wrong", () => {
    const rig = new Rig();
    const general = (code: string, cpl: 0 | 3 = 0): number => {
      expect(rig.run(code, { cpl }).vector).toBe(13);
      return rig.frame(true).code;
    };
    // INT 50h from user code through a gate of DPL 0; the same by INT3.
    expect(general("cd50", 3)).toBe(0x50 * 8 + 2);
    expect(general("cc", 3)).toBe(3 * 8 + 2);
    rig.gate(0x50, { type: 0xe9 });
    expect(general("cd50")).toBe(0x50 * 8 + 2);
    rig.gate(0x50, { sel: 0x58 });
    expect(general("cd50")).toBe(0x58);
    rig.gate(0x50, { sel: selector.code32 });
    expect(general("cd50")).toBe(selector.code32);
    rig.gate(0x50, { sel: 0 });
    expect(general("cd50")).toBe(0);
    rig.gate(0x50, { type: 0x0e });
    expect(rig.run("cd50").vector).toBe(11);
    expect(rig.frame(true).code).toBe(0x50 * 8 + 2);
  });

  test("an external event sets EXT", () => {
    const rig = new Rig();
    rig.gate(0x40, { type: 0x0e });
    rig.cpu.setInterruptPin(true);
    expect(rig.run("ebfe", { rflags: 0x202n }).vector).toBe(11);
    expect(rig.frame(true).code).toBe(0x40 * 8 + 3);
  });

  test("a page fault while #UD is delivered is delivered in its place", () => {
    const rig = new Rig();
    rig.write64(at.tss + 4, 0x1f000n);
    rig.setPte(0x1e000, 0n);
    rig.gate(14, { ist: 1 });
    expect(rig.run("0f0b", { cpl: 3 }).vector).toBe(14);
    expect(rig.frame(true)).toMatchObject({ code: 2, rip: BigInt(at.user), cs: selector.user });
    expect(rig.state(place.cr2)).toBe(0x1eff8n);
  });

  test("contributory after page fault: double fault; and a fault in that: shutdown", () => {
    const rig = new Rig();
    rig.gate(14, { type: 0x0e });
    rig.setPte(at.data, 0n);
    rig.set("rbx", BigInt(at.data));
    rig.gate(8, { ist: 1 });
    expect(rig.run("488b03").vector).toBe(8);
    expect(rig.frame(true).code).toBe(0);
    rig.gate(8, { type: 0x0e });
    expect(rig.run("488b03").exit).toBe(RunExit.tripleFault);
  });

  test("an IDT that is too short", () => {
    const rig = new Rig();
    rig.cpu.view.setUint16(place.idtr + 8, 14 * 16 - 1, true);
    rig.bytes(at.code, "cd50");
    expect(rig.run("cd50").vector).toBe(13);
    expect(rig.frame(true).code).toBe(0x50 * 8 + 2);
  });
});

describe.skipIf(noCore)("interrupts", () => {
  test("the pin is taken when IF is set, with RIP after the instruction", () => {
    const rig = new Rig();
    rig.cpu.setInterruptPin(true);
    expect(rig.run("f4").vector).toBeUndefined();
    rig.cpu.setInterruptPin(true);
    // STI; HLT: the interrupt waits one instruction and then wakes the HLT.
    expect(rig.run("fb f4 f4").vector).toBe(0x40);
    expect(rig.frame(false).rip).toBe(BigInt(at.code + 2));
  });

  test("MOV SS holds off an interrupt and a trap for one instruction", () => {
    const rig = new Rig();
    rig.set("rax", BigInt(selector.data));
    rig.cpu.setInterruptPin(true);
    // STI; MOV SS, EAX; NOP; NOP
    expect(rig.run("fb 8ed0 90 90 f4").vector).toBe(0x40);
    expect(rig.frame(false).rip).toBe(BigInt(at.code + 4));
  });

  test("HLT stops the run and NMI wakes it", () => {
    const rig = new Rig();
    expect(rig.run("f4 90 f4").exit).toBe(RunExit.halted);
    expect(rig.cpu.run(100)).toBe(RunExit.halted);
    rig.cpu.raiseNmi();
    rig.cpu.run(100);
    expect(rig.cpu.rip).toBe(BigInt(at.handlers + 2 * 16 + 1));
  });
});

describe.skipIf(noCore)("NMI", () => {
  test("a second one waits for the IRET of the first", () => {
    const rig = new Rig();
    // JMP to the next instruction, twice; IRETQ. Each is a block of its own.
    rig.bytes(at.handlers + 0x20, "eb00 eb00 48cf");
    rig.bytes(at.code, "ebfe");
    rig.ring(0);
    rig.setState(place.rip, BigInt(at.code));
    const frame = { rip: BigInt(at.code), rsp: BigInt(at.kernelStack) };
    rig.cpu.raiseNmi();
    rig.resume(2n, 1);
    expect([rig.cpu.rip, rig.frame(false)]).toMatchObject([BigInt(at.handlers + 0x22), frame]);
    rig.cpu.raiseNmi();
    rig.cpu.run(1);
    expect([rig.cpu.rip, rig.frame(false)]).toMatchObject([BigInt(at.handlers + 0x24), frame]);
    // IRETQ; then the second one is taken before another instruction of the program.
    rig.cpu.run(1);
    rig.cpu.run(1);
    expect([rig.cpu.rip, rig.frame(false)]).toMatchObject([BigInt(at.handlers + 0x22), frame]);
    rig.cpu.run(5);
    expect(rig.cpu.rip).toBe(BigInt(at.code));
  });
});

describe.skipIf(noCore)("privilege", () => {
  test.each([
    ["HLT", "f4"],
    ["CLI", "fa"],
    ["STI", "fb"],
    ["LGDT", "0f0113"],
    ["MOV CR0", "0f20c0"],
    ["MOV CR3", "0f22d8"],
    ["MOV DR7", "0f23f8"],
    ["WRMSR", "0f30"],
    ["RDMSR", "0f32"],
    ["INVLPG", "0f013b"],
    ["CLTS", "0f06"],
    ["WBINVD", "0f09"],
    ["SWAPGS", "0f01f8"],
    ["LTR", "0f00d8"],
    ["LLDT", "0f00d0"],
    ["LMSW", "0f01f0"],
    ["IN", "e460"],
    ["OUT", "ef"],
    ["RDPMC", "0f33"],
    ["SYSRET", "480f07"],
    ["INVD", "0f08"],
  ])("%s is #GP(0) at CPL 3", (_, code) => {
    const rig = new Rig();
    rig.set("rbx", BigInt(at.data));
    expect(rig.run(code + "cd81", { cpl: 3 }).vector).toBe(13);
    expect(rig.frame(true).code).toBe(0);
  });

  test("the I/O permission bitmap opens ports one by one", () => {
    const rig = new Rig();
    const tss = 0x26000;
    rig.setSegment(7, selector.tss, 0x8b, BigInt(tss), 104 + 0x20);
    rig.write64(tss + 4, BigInt(at.kernelStack));
    rig.write16(tss + 102, 104);
    for (let i = 0; i <= 0x20; i++) rig.cpu.ram[tss + 104 + i] = 0xff;
    rig.cpu.ram[tss + 104 + 0x0c] = 0xf0;
    rig.log.input = 0x5a;
    expect(rig.run("e463 cd81", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.get("rax") & 0xffn).toBe(0x5an);
    expect(rig.run("e560 cd81", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.run("e561 cd81", { cpl: 3 }).vector).toBe(13);
    expect(rig.run("e464 cd81", { cpl: 3 }).vector).toBe(13);
    rig.set("rdx", 0x100n);
    expect(rig.run("ec cd81", { cpl: 3 }).vector).toBe(13);
    // IOPL 3 needs no bitmap.
    expect(rig.run("ec fa fb cd81", { cpl: 3, rflags: 0x3002n }).vector).toBe(DONE);
    expect(rig.log.io).toEqual(["in 63 1", "in 60 4", "in 100 1"]);
  });

  test("UMIP hides the tables", () => {
    const rig = new Rig();
    rig.set("rbx", BigInt(at.data));
    expect(rig.run("0f0103 cd81", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.read16(at.data)).toBe(0x5f);
    expect(rig.read64(at.data + 2)).toBe(BigInt(at.gdt));
    rig.setState(place.cr4, rig.state(place.cr4) | 0x800n);
    for (const code of ["0f0103", "0f010b", "0f00c0", "0f00c8", "0f01e0"])
      expect(rig.run(code + "cd81", { cpl: 3 }).vector).toBe(13);
    expect(rig.run("0f0103 f4").vector).toBeUndefined();
  });
});

describe.skipIf(noCore)("INS and OUTS", () => {
  test("REP INSB fills memory; a fault in the middle leaves the rest to do", () => {
    const rig = new Rig();
    rig.setPte(at.data + 0x1000, 0n);
    rig.log.input = 0x77;
    rig.set("rdi", BigInt(at.data + 0xffe));
    rig.set("rcx", 4n);
    rig.set("rdx", 0x1f0n);
    expect(rig.run("f36c f4").vector).toBe(14);
    expect([rig.get("rcx"), rig.get("rdi"), rig.log.io.length]).toEqual([2n, BigInt(at.data + 0x1000), 2]);
    rig.setPte(at.data + 0x1000, P | RW | US);
    expect(rig.run("f36c f4").vector).toBeUndefined();
    expect([rig.get("rcx"), rig.log.io.length]).toEqual([0n, 4]);
    expect(rig.read32(at.data + 0xffe)).toBe(0x77777777);
  });

  test("OUTSD goes down when DF is set", () => {
    const rig = new Rig();
    rig.write32(at.data, 0x11);
    rig.write32(at.data + 4, 0x22);
    rig.set("rsi", BigInt(at.data + 4));
    rig.set("rcx", 2n);
    rig.set("rdx", 0xcf8n);
    rig.run("f36f f4", { rflags: 0x402n });
    expect(rig.log.io).toEqual(["out cf8 4 22", "out cf8 4 11"]);
    expect(rig.get("rsi")).toBe(BigInt(at.data - 4));
  });
});
