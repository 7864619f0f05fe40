import { describe, expect, test } from "vitest";
import { RunExit } from "../../../emulator/cpu/core.ts";
import { at, DONE, noCore, place, registers, Rig, selector } from "./system-rig.ts";
import { legacy, LegacyRig, tss2 } from "./system-legacy-rig.ts";

describe.skipIf(noCore)("SYSCALL and SYSRET", () => {
  function rigged(): Rig {
    const rig = new Rig();
    rig.setState(place.star, (BigInt(0x18) << 48n) | (BigInt(selector.code) << 32n));
    rig.setState(place.lstar, BigInt(at.handlers + 0x700));
    rig.setState(place.fmask, 0x47700n);
    return rig;
  }

  test("there: RCX, R11, masked flags, flat segments, the user's stack", () => {
    const rig = rigged();
    expect(rig.run("0f05", { cpl: 3, rflags: 0x246n }).vector).toBe(0x70);
    expect(rig.get("rcx")).toBe(BigInt(at.user + 2));
    expect(rig.get("r11")).toBe(0x246n);
    expect(rig.cpu.rflags).toBe(0x46n);
    expect(rig.segment(1)).toEqual({
      selector: selector.code,
      attributes: 0xa9b,
      limit: 0xffffffff,
      base: 0n,
    });
    expect(rig.segment(2)).toEqual({
      selector: selector.data,
      attributes: 0xc93,
      limit: 0xffffffff,
      base: 0n,
    });
    expect([rig.cpl, rig.get("rsp")]).toEqual([0, BigInt(at.userStack)]);
  });

  test("and back, to 64-bit and to 32-bit code", () => {
    const rig = rigged();
    rig.bytes(at.user, "cd81");
    rig.set("rcx", BigInt(at.user));
    rig.set("r11", 0x40246n);
    expect(rig.run("480f07").vector).toBe(DONE);
    expect(rig.frame(false)).toMatchObject({
      rip: BigInt(at.user + 2),
      cs: selector.user,
      rflags: 0x40246n,
      ss: selector.userData,
    });
    expect(rig.run("0f07").vector).toBe(DONE);
    expect(rig.frame(false)).toMatchObject({ cs: selector.user32, ss: selector.userData });
    rig.set("rcx", 1n << 47n);
    expect(rig.run("480f07").vector).toBe(13);
    expect(rig.cpl).toBe(0);
  });

  test("#UD without EFER.SCE and in compatibility mode", () => {
    const rig = rigged();
    rig.setState(place.efer, 0xd00n);
    expect(rig.run("0f05").vector).toBe(6);
    rig.setState(place.efer, 0xd01n);
    rig.setSegment(1, selector.code32, 0xc9b);
    expect(rig.run("0f05", { keep: true }).vector).toBe(6);
  });
});

describe.skipIf(noCore)("SYSENTER and SYSEXIT", () => {
  test("both ways in 64-bit mode", () => {
    const rig = new Rig();
    rig.setState(place.sysenter, 8n);
    rig.setState(place.sysenter + 8, BigInt(at.kernelStack));
    rig.setState(place.sysenter + 16, BigInt(at.handlers + 0x700));
    expect(rig.run("0f34", { cpl: 3, rflags: 0x202n }).vector).toBe(0x70);
    expect([rig.cpl, rig.get("rsp"), rig.cpu.rflags]).toEqual([0, BigInt(at.kernelStack), 2n]);
    rig.bytes(at.user, "cd81");
    rig.set("rdx", BigInt(at.user));
    rig.set("rcx", BigInt(at.userStack));
    expect(rig.run("480f35").vector).toBe(DONE);
    expect(rig.frame(false)).toMatchObject({ cs: 0x2b, ss: 0x33, rsp: BigInt(at.userStack) });
    rig.setState(place.sysenter, 0n);
    expect(rig.run("0f34").vector).toBe(13);
  });
});

describe.skipIf(noCore)("IRETQ", () => {
  /** Pushes a frame at CPL 0 and returns through it to INT 81h. */
  function returned(
    rig: Rig,
    frame: { rip?: bigint; cs?: number; rflags?: bigint; rsp?: bigint; ss?: number },
    code = "48cf",
  ): number | undefined {
    rig.bytes(at.user, "cd81");
    const {
      rip = BigInt(at.user),
      cs = selector.user,
      rflags = 2n,
      rsp = BigInt(at.userStack),
      ss = selector.userData,
    } = frame;
    const base = at.kernelStack - 0x40;
    for (const [n, value] of [rip, BigInt(cs), rflags, rsp, BigInt(ss)].entries())
      rig.write64(base + 8 * n, value);
    rig.ring(0);
    rig.set("rsp", BigInt(base));
    return rig.run(code, { keep: true }).vector;
  }

  test("to user code: flags, stack and data segments", () => {
    const rig = new Rig();
    rig.setSegment(3, selector.data, 0xc93);
    expect(returned(rig, { rflags: 0x3247n | 0x4000n })).toBe(DONE);
    expect(rig.frame(false)).toEqual({
      code: -1,
      rip: BigInt(at.user + 2),
      cs: selector.user,
      rflags: 0x7247n,
      rsp: BigInt(at.userStack),
      ss: selector.userData,
    });
  });

  test("data segments of the inner level become null", () => {
    const rig = new Rig();
    rig.bytes(at.user, "cd81");
    const base = at.kernelStack - 0x40;
    for (const [n, value] of [
      BigInt(at.user),
      BigInt(selector.user),
      2n,
      BigInt(at.userStack),
      BigInt(selector.userData),
    ].entries())
      rig.write64(base + 8 * n, value);
    rig.setSegment(3, selector.data, 0xc93);
    rig.set("rsp", BigInt(base));
    rig.run("48cf", { keep: true });
    expect(rig.segment(3).selector).toBe(0);
    expect(rig.segment(0).selector).toBe(selector.userData);
  });

  test("within CPL 0, with a null SS", () => {
    const rig = new Rig();
    expect(returned(rig, { rip: BigInt(at.handlers + 0x700), cs: selector.code, ss: 0, rsp: 0x2ff00n })).toBe(
      0x70,
    );
    expect([rig.get("rsp"), rig.segment(2).selector]).toEqual([0x2ff00n, 0]);
  });

  test("what it refuses", () => {
    const refused = (frame: Parameters<typeof returned>[1]): number => {
      const rig = new Rig();
      expect(returned(rig, frame)).toBe(13);
      return rig.frame(true).code;
    };
    expect(refused({ rip: 1n << 47n })).toBe(0);
    expect(refused({ cs: 0 })).toBe(0);
    expect(refused({ cs: 0x58 })).toBe(0x58);
    expect(refused({ cs: selector.user & ~3 })).toBe(selector.user & ~3);
    expect(refused({ ss: 0 })).toBe(0);
    expect(refused({ ss: selector.userData & ~3 })).toBe(selector.userData & ~3);
    expect(refused({ ss: selector.user })).toBe(selector.user & ~3);
  });

  test("user code cannot raise IOPL or change IF", () => {
    const rig = new Rig();
    rig.bytes(at.user + 0x100, "cd81");
    // push ss; push rsp; push 3246h; push cs; push rip; iretq
    expect(rig.run("6a23 6800200200 6846320000 6a2b 6800010200 48cf", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.frame(false).rflags).toBe(0x46n);
  });
});

describe.skipIf(noCore)("far transfers in long mode", () => {
  test("indirect JMP and CALL, RETF to the same and to an outer level", () => {
    const rig = new Rig();
    rig.write64(at.data, BigInt(at.handlers + 0x700));
    rig.write16(at.data + 8, selector.code);
    rig.set("rbx", BigInt(at.data));
    expect(rig.run("48ff2b").vector).toBe(0x70);
    expect(rig.run("48ff1b").vector).toBe(0x70);
    expect(rig.read64(Number(rig.get("rsp")))).toBe(BigInt(at.code + 3));
    expect(rig.read64(Number(rig.get("rsp")) + 8)).toBe(BigInt(selector.code));
    rig.bytes(at.user, "cd81");
    // push ss; push rsp; push cs; push rip; retfq
    expect(rig.run("6a23 6800200200 6a2b 6800000200 48cb").vector).toBe(DONE);
    expect(rig.frame(false)).toMatchObject({
      cs: selector.user,
      ss: selector.userData,
      rsp: BigInt(at.userStack),
    });
  });

  test("a 64-bit call gate changes the stack", () => {
    const rig = new Rig();
    const to = BigInt(at.handlers + 0x700);
    rig.write64(
      at.gdt + 0x58,
      (to & 0xffffn) | (BigInt(selector.code) << 16n) | (0xecn << 40n) | ((to >> 16n) << 48n),
    );
    rig.write64(at.gdt + 0x60, 0n);
    rig.cpu.view.setUint16(place.gdtr + 8, 0x67, true);
    rig.write32(at.data, 0);
    rig.write16(at.data + 4, 0x5b);
    rig.set("rbx", BigInt(at.data));
    expect(rig.run("ff1b", { cpl: 3 }).vector).toBe(0x70);
    expect(rig.get("rsp")).toBe(BigInt(at.kernelStack - 32));
    expect([0, 1, 2, 3].map((n) => rig.read64(at.kernelStack - 32 + 8 * n))).toEqual([
      BigInt(at.user + 2),
      BigInt(selector.user),
      BigInt(at.userStack),
      BigInt(selector.userData),
    ]);
    expect([rig.cpl, rig.segment(2).selector]).toEqual([0, 0]);
    // A TSS is no target in long mode.
    rig.write16(at.data + 4, selector.tss);
    expect(rig.run("ff1b").vector).toBe(13);
    expect(rig.frame(true).code).toBe(selector.tss);
  });

  test("compatibility mode: 32-bit code under the 64-bit IDT", () => {
    const rig = new Rig();
    rig.setSegment(1, selector.user32, 0xcfb);
    rig.setSegment(2, selector.userData, 0xcf3);
    rig.cpu.view.setUint32(place.cpl, 3, true);
    rig.set("rsp", BigInt(at.userStack));
    rig.set("rax", 0xdeadbeef_00000001n);
    rig.bytes(at.user, "40 cd81");
    rig.setState(place.rip, BigInt(at.user));
    expect(rig.resume().vector).toBe(DONE);
    expect(rig.get("rax")).toBe(2n);
    expect(rig.frame(false)).toMatchObject({
      rip: BigInt(at.user + 3),
      cs: selector.user32,
      ss: selector.userData,
    });
  });
});

describe.skipIf(noCore)("protected mode", () => {
  test("an interrupt of user code: inner stack, 32-bit frame, error code", () => {
    const rig = new LegacyRig();
    expect(rig.run("cd81", { cpl: 3, rflags: 0x202n }).vector).toBe(DONE);
    expect(rig.stack(5)).toEqual([at.user + 2, legacy.userCode, 0x202, at.userStack, legacy.userData]);
    expect(rig.run("f4", { cpl: 3 }).vector).toBe(13);
    expect(rig.stack(6)).toEqual([0, at.user, legacy.userCode, 0x10002, at.userStack, legacy.userData]);
    expect(rig.segment(2).selector).toBe(legacy.data);
  });

  test("a stack in the TSS that is no stack: #TS names it, and what cannot be delivered shuts down", () => {
    const bad = (handler: string): LegacyRig => {
      const rig = new LegacyRig();
      rig.legacyGate(10, { sel: legacy.conforming });
      rig.write32(at.tss + 8, legacy.userData);
      rig.bytes(at.handlers + 0xa0, handler);
      return rig;
    };
    const looping = bad("ebfe");
    looping.run("cd81", { cpl: 3, limit: 20 });
    expect(looping.stack(3)).toEqual([legacy.userData & ~3, at.user, legacy.userCode]);
    // A conforming handler runs at CPL 3, where HLT is #GP(0), which needs the same bad stack again.
    expect(bad("f4").run("cd81", { cpl: 3 }).exit).toBe(RunExit.tripleFault);
  });

  test("a 16-bit gate and stack", () => {
    const rig = new LegacyRig();
    rig.legacyGate(0x50, { type: 0x86, to: 0x1000 });
    rig.bytes(0x1000, "f4");
    rig.run("cd50");
    expect(rig.cpu.rip).toBe(0x1001n);
    expect(rig.words(3)).toEqual([2, legacy.code, 2]);
  });

  test("a call gate copies parameters; RETF n takes them off both stacks", () => {
    const rig = new LegacyRig();
    rig.bytes(at.handlers + 0x500, "ca0800");
    // push 11h; push 22h; call 3b:0; int 81h
    expect(rig.run("6a11 6a22 9a000000003b00 cd81", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.stack(5)[3]).toBe(at.userStack);
  });

  test("the call gate's frame", () => {
    const rig = new LegacyRig();
    rig.run("6a11 6a22 9a000000003b00", { cpl: 3 });
    expect(rig.stack(6)).toEqual([
      at.user + 11,
      legacy.userCode,
      0x22,
      0x11,
      at.userStack - 8,
      legacy.userData,
    ]);
    expect(rig.cpl).toBe(0);
  });

  test("conforming code keeps CPL", () => {
    const rig = new LegacyRig();
    rig.bytes(at.data, "cd81");
    rig.write32(at.user + 0x800, at.data);
    rig.write16(at.user + 0x804, legacy.conforming);
    rig.set("rbx", BigInt(at.user + 0x800));
    expect(rig.run("ff2b", { cpl: 3 }).vector).toBe(DONE);
    expect(rig.stack(2)).toEqual([at.data + 2, legacy.conforming | 3]);
  });

  test("segment loads: faults by what is wrong", () => {
    const load = (sel: number, cpl: 0 | 3 = 0, code = "8ed8"): string => {
      const rig = new LegacyRig();
      rig.set("rax", BigInt(sel));
      const { vector } = rig.run(code + (cpl ? "cd81" : "f4"), { cpl });
      return vector === undefined || vector === DONE ? "ok" : `${vector} ${rig.stack(1)[0]!.toString(16)}`;
    };
    expect(load(0)).toBe("ok");
    expect(load(3)).toBe("ok");
    expect(load(legacy.data)).toBe("ok");
    expect(load(legacy.code)).toBe("ok");
    expect(load(legacy.data, 3)).toBe("13 10");
    expect(load(legacy.tss)).toBe("13 28");
    expect(load(0x70)).toBe("13 70");
    expect(load(0x14)).toBe("13 14");
    expect(load(0, 0, "8ed0")).toBe("13 0");
    expect(load(legacy.userData, 0, "8ed0")).toBe("13 20");
    expect(load(legacy.data, 0, "8ec8")).toMatch(/^6 /);
  });

  test("ARPL writes only when it raises the RPL", () => {
    const rig = new LegacyRig();
    rig.set("rbx", BigInt(at.data));
    rig.set("rax", 2n);
    rig.write16(at.data, 0xfff3);
    // DS is read-only and not flat, so that the segment's checks are made.
    rig.setSegment(3, legacy.userData, 0xcf1);
    expect(rig.run("6303 f4", { keep: true }).vector).toBeUndefined();
    expect([rig.read16(at.data), rig.cpu.rflags & 0x40n]).toEqual([0xfff3, 0n]);
    rig.write16(at.data, 0xfff1);
    expect(rig.run("6303 f4", { keep: true }).vector).toBe(13);
    rig.setSegment(3, legacy.userData, 0xcf3);
    rig.run("6303 f4", { keep: true });
    expect([rig.read16(at.data), rig.cpu.rflags & 0x40n]).toEqual([0xfff2, 0x40n]);
  });

  test("virtual-8086 mode and back", () => {
    const rig = new LegacyRig();
    rig.bytes(0x12340, "b83412 8ed8 cd21");
    const frame = [0x40, 0x1230, 0x23002, 0x800, 0x2000, 0x1111, 0x2222, 0x3333, 0x4444];
    for (const [n, value] of frame.entries()) rig.write32(at.kernelStack - 0x40 + 4 * n, value);
    rig.set("rsp", BigInt(at.kernelStack - 0x40));
    rig.legacyGate(0x21, { type: 0xee });
    expect(rig.run("cf", { keep: true }).vector).toBe(0x21);
    expect(rig.stack(9)).toEqual([0x47, 0x1230, 0x23002, 0x800, 0x2000, 0x1111, 0x1234, 0x3333, 0x4444]);
    expect([rig.segment(3).selector, rig.cpl, rig.cpu.rflags]).toEqual([0, 0, 0x3002n]);
    // With IOPL below 3, INT n is #GP(0).
    rig.write32(at.kernelStack - 0x40 + 8, 0x20002);
    rig.ring(0);
    rig.set("rsp", BigInt(at.kernelStack - 0x40));
    expect(rig.run("cf", { keep: true }).vector).toBe(13);
    expect(rig.stack(4)).toEqual([0, 0x45, 0x1230, 0x30002]);
  });
});

describe.skipIf(noCore)("task switches", () => {
  function task(rig: LegacyRig, eip: number): void {
    const set = (offset: number, value: number): void => rig.write32(tss2 + offset, value);
    set(32, eip);
    set(36, 2);
    set(40, 0x1111);
    set(56, 0x2f000);
    set(72, legacy.data);
    set(76, legacy.code);
    set(80, legacy.data);
    set(84, legacy.data);
  }

  test("CALL nests, IRET returns", () => {
    const rig = new LegacyRig();
    task(rig, 0x18000);
    rig.bytes(0x18000, "43 cf 43 f4");
    rig.set("rbx", 0x55n);
    // call 30:0; hlt
    expect(rig.run("9a00000000 3000 f4").exit).toBe(RunExit.halted);
    expect(rig.cpu.rip).toBe(BigInt(at.code + 8));
    expect(rig.get("rbx")).toBe(0x55n);
    expect(rig.read32(tss2)).toBe(legacy.tss);
    expect(rig.read32(tss2 + 52)).toBe(1);
    expect(rig.read32(tss2 + 32)).toBe(0x18002);
    // Only the task that runs is busy.
    expect([rig.cpu.ram[at.gdt + legacy.tss + 5], rig.cpu.ram[at.gdt + legacy.tss2 + 5]]).toEqual([
      0x8b, 0x89,
    ]);
    expect(rig.state(place.cr0) & 8n).toBe(8n);
  });

  test("JMP does not nest; a busy task is refused", () => {
    const rig = new LegacyRig();
    task(rig, 0x18000);
    rig.bytes(0x18000, "f4");
    rig.run("ea00000000 3000");
    expect([rig.get("rax"), rig.get("rsp"), rig.cpu.rip]).toEqual([0x1111n, 0x2f000n, 0x18001n]);
    expect(rig.cpu.rflags & 0x4000n).toBe(0n);
    const busy = new LegacyRig();
    busy.write32(at.gdt + legacy.tss2 + 4, 0x00008b00);
    expect(busy.run("ea00000000 3000").vector).toBe(13);
    expect(busy.stack(1)).toEqual([legacy.tss2]);
  });

  test("a 16-bit TSS has no upper halves: the registers get ones, as on the hardware", () => {
    const rig = new LegacyRig();
    rig.write64(at.gdt + legacy.tss2, 0x000081000000002bn | (BigInt(tss2) << 16n));
    const words = [
      0x1000,
      2,
      0x1111,
      0x2222,
      0x3333,
      0x4444,
      0xf000,
      6,
      7,
      8,
      legacy.data,
      legacy.code,
      legacy.data,
      legacy.data,
      0,
    ];
    for (const [n, word] of words.entries()) rig.write16(tss2 + 14 + 2 * n, word);
    rig.bytes(0x1000, "f4");
    rig.run("ea00000000 3000");
    expect([rig.cpu.rip, rig.get("rax"), rig.get("rsp"), rig.get("rdi")]).toEqual([
      0x1001n,
      0xffff1111n,
      0xfffff000n,
      0xffff0008n,
    ]);
    expect([rig.segment(2).selector, rig.segment(4).selector]).toEqual([legacy.data, 0]);
  });

  test("an exception through a task gate pushes its error code on the new stack", () => {
    const rig = new LegacyRig();
    task(rig, 0x18000);
    rig.bytes(0x18000, "f4");
    rig.legacyGate(13, { type: 0x85, sel: legacy.tss2 });
    rig.set("rax", 0x70n);
    rig.run("8ed8");
    expect([rig.cpu.rip, rig.get("rsp"), rig.read32(0x2effc)]).toEqual([0x18001n, 0x2effcn, 0x70]);
    expect(rig.read32(at.tss + 32)).toBe(at.code);
  });
});

describe.skipIf(noCore)("real mode", () => {
  function real(hex: string, cs = 0x1000): Rig {
    const rig = new Rig();
    rig.cpu.reset();
    rig.setSegment(1, cs, 0x9b, BigInt(cs) << 4n, 0xffff);
    rig.setSegment(2, 0x2000, 0x93, 0x20000n, 0xffff);
    rig.set("rsp", 0x100n);
    rig.bytes(0x10000, hex);
    rig.setState(place.rip, 0n);
    return rig;
  }

  test("INT n through the IVT, IRET back", () => {
    const rig = real("cd10 f4");
    rig.write32(0x40, 0x30000010);
    rig.bytes(0x30010, "41 cf");
    rig.set("rcx", 7n);
    expect(rig.resume(0x202n).exit).toBe(RunExit.halted);
    expect([rig.get("rcx"), rig.cpu.rip, rig.get("rsp")]).toEqual([8n, 3n, 0x100n]);
    expect([rig.read16(0x200fa), rig.read16(0x200fc), rig.read16(0x200fe)]).toEqual([2, 0x1000, 0x202]);
  });

  test("segments are paragraphs; far transfers", () => {
    const rig = real("b83412 8ed8 a01000 9a00000030 f4");
    rig.cpu.ram[0x12350] = 0x99;
    rig.bytes(0x30000, "cb");
    rig.resume();
    expect([rig.get("rax") & 0xffn, rig.cpu.rip, rig.segment(1).selector]).toEqual([0x99n, 14n, 0x1000]);
  });

  test("reset leaves the registers of SDM 3A table 10-1", () => {
    const rig = new Rig();
    rig.cpu.reset();
    expect(rig.cpu.rip).toBe(0xfff0n);
    expect(rig.segment(1)).toEqual({ selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff0000n });
    expect(rig.state(place.cr0)).toBe(0x60000010n);
    expect(rig.cpu.rflags).toBe(2n);
    for (const name of registers) if (name !== "rdx") expect(rig.get(name)).toBe(0n);
  });

  test("to protected mode, paging and long mode, and out again", () => {
    const rig = real("0f0116 0005  0f20c0 0c01 0f22c0  ea 2000 0800");
    rig.setSegment(3, 0, 0x93, 0n, 0xffff);
    // GDT: 32-bit code, data, 64-bit code; identity paging with one 1 GiB page.
    for (const [n, entry] of [0n, 0x00cf9b010000ffffn, 0x00cf93000000ffffn, 0x00af9b000000ffffn].entries())
      rig.write64(0x600 + 8 * n, entry);
    rig.write16(0x500, 0x1f);
    rig.write32(0x502, 0x600);
    rig.write64(0x1000, 0x2003n);
    rig.write64(0x2000, 0x83n);
    // mov eax,20h; mov cr4,eax; mov eax,1000h; mov cr3,eax; mov ecx,c0000080h; mov eax,100h; xor edx,edx; wrmsr;
    // mov eax,cr0; or eax,80000000h; mov cr0,eax; jmp 18:10080h
    rig.bytes(
      0x10020,
      "b820000000 0f22e0 b800100000 0f22d8 b9800000c0 b800010000 31d2 0f30 0f20c0 0d00000080 0f22c0 ea800001001800",
    );
    // mov rax, 1122334455667788h; hlt
    rig.bytes(0x10080, "48b88877665544332211 f4");
    expect(rig.resume().exit).toBe(RunExit.halted);
    expect(rig.get("rax")).toBe(0x1122334455667788n);
    expect(rig.state(place.efer)).toBe(0x500n);
  });
});
