import { describe, expect, test } from "vitest";
import { RunExit } from "../../../emulator/cpu/core.ts";
import { A, at, D, DONE, G, noCore, NX, P, place, PS, Rig, RW, US } from "./system-rig.ts";

const PF = 14;
const load = "488b03",
  store = "488903",
  done = "cd81",
  jump = "ffe3";
const page = at.data;

/** Runs an access through RBX and tells what happened: error code and CR2 of a page fault, or "done". */
function access(rig: Rig, code: string, cpl: 0 | 3, linear: bigint | number = page): string {
  rig.set("rbx", BigInt(linear));
  rig.set("rcx", 0n);
  const { vector } = rig.run(code + (cpl ? done : "f4"), { cpl, rflags: rig.flags });
  if (vector === PF) return `#PF ${rig.frame(true).code.toString(16)} ${rig.state(place.cr2).toString(16)}`;
  return vector === undefined || vector === DONE ? "done" : `vector ${vector}`;
}

describe.skipIf(noCore)("page faults", () => {
  test.each([
    ["supervisor read of an absent page", load, 0, 0n, "#PF 0 24000"],
    ["supervisor write of an absent page", store, 0, 0n, "#PF 2 24000"],
    ["user read of an absent page", load, 3, 0n, "#PF 4 24000"],
    ["user write of an absent page", store, 3, 0n, "#PF 6 24000"],
    ["user read of a supervisor page", load, 3, P | RW, "#PF 5 24000"],
    ["user write of a supervisor page", store, 3, P | RW, "#PF 7 24000"],
    ["user write of a read-only page", store, 3, P | US, "#PF 7 24000"],
    ["user read of a read-only page", load, 3, P | US, "done"],
    ["supervisor write of a read-only page under WP", store, 0, P, "#PF 3 24000"],
    ["user write of a writable page", store, 3, P | RW | US, "done"],
    ["reserved address bit", load, 0, P | RW | (1n << 40n), "#PF 9 24000"],
    ["user fetch of an NX page", jump, 3, P | RW | US | NX, "#PF 15 24000"],
    ["supervisor fetch of an absent page", jump, 0, 0n, "#PF 10 24000"],
  ] as const)("%s", (_, code, cpl, flags, expected) => {
    const rig = new Rig();
    rig.setPte(page, flags);
    expect(access(rig, code, cpl)).toBe(expected);
  });

  test("rights of the upper levels count", () => {
    const rig = new Rig();
    rig.write64(0x41000, BigInt(page) | P | RW | US);
    for (const [flags, expected] of [
      [RW | US, "done"],
      [US, "#PF 7 200000"],
      [RW, "#PF 7 200000"],
    ] as const) {
      rig.write64(at.pd + 8, 0x41000n | P | flags);
      expect(access(rig, store, 3, 0x200000)).toBe(expected);
    }
    rig.write64(at.pd + 8, 0x41000n | P | RW | US | NX);
    expect(access(rig, jump, 0, 0x200000)).toBe("#PF 11 200000");
  });

  test("without WP the supervisor writes read-only pages", () => {
    const rig = new Rig();
    rig.setPte(page, P);
    rig.setState(place.cr0, rig.state(place.cr0) & ~0x10000n);
    expect(access(rig, store, 0)).toBe("done");
    expect(rig.pte(page) & (A | D)).toBe(A | D);
  });

  test("NX is reserved while EFER.NXE is clear, and the I/D bit is not reported", () => {
    const rig = new Rig();
    rig.setState(place.efer, 0x501n);
    rig.setPte(page, P | RW | NX);
    expect(access(rig, load, 0)).toBe("#PF 9 24000");
    rig.setPte(page, 0n);
    expect(access(rig, jump, 0)).toBe("#PF 0 24000");
  });

  test("a non-canonical address is #GP(0), not a page fault", () => {
    const rig = new Rig();
    expect(access(rig, load, 0, 0x8000_0000_0000n)).toBe("vector 13");
    expect(rig.frame(true).code).toBe(0);
  });

  test("an access across pages names the first byte of the page that is missing", () => {
    const rig = new Rig();
    rig.setPte(page + 0x1000, 0n);
    expect(access(rig, store, 0, page + 0xffd)).toBe("#PF 2 25000");
    rig.setPte(page, 0n);
    expect(access(rig, store, 0, page + 0xffd)).toBe("#PF 2 24ffd");
  });
});

describe.skipIf(noCore)("accessed and dirty bits", () => {
  test("a read sets A on the path, a write D too", () => {
    const rig = new Rig();
    access(rig, load, 0);
    expect(rig.pte(page) & (A | D)).toBe(A);
    expect(rig.read64(at.pml4) & A).toBe(A);
    expect(rig.read64(at.pd) & (A | D)).toBe(A);
    access(rig, load + store, 0);
    expect(rig.pte(page) & (A | D)).toBe(A | D);
  });

  test("a faulting access sets nothing on the leaf", () => {
    const rig = new Rig();
    rig.setPte(page, P);
    access(rig, store, 3);
    expect(rig.pte(page)).toBe(BigInt(page) | P);
  });
});

describe.skipIf(noCore)("translations", () => {
  test("a page-crossing store reaches two frames and reads back", () => {
    const rig = new Rig();
    rig.setPte(page + 0x1000, P | RW | US, 0x28000);
    rig.set("rax", 0x1122334455667788n);
    expect(access(rig, store + "488b0b", 0, page + 0xffb)).toBe("done");
    expect(rig.read32(page + 0xffb)).toBe(0x55667788);
    expect(rig.cpu.ram[page + 0xfff]).toBe(0x44);
    expect(rig.read64(0x28000) & 0xffffffn).toBe(0x112233n);
    expect(rig.get("rcx")).toBe(0x1122334455667788n);
  });

  test("a stale translation lives until INVLPG", () => {
    const rig = new Rig();
    rig.write64(page, 1n);
    rig.write64(0x28000, 2n);
    // Reads through RBX, remaps the page by hand, reads again, INVLPG, reads again.
    rig.set("rsi", BigInt(at.pt + (page >> 12) * 8));
    rig.set("rdi", 0x28003n);
    access(rig, load + "48893e 488b0b 0f013b 488b13", 0);
    expect([rig.get("rax"), rig.get("rcx"), rig.get("rdx")]).toEqual([1n, 1n, 2n]);
  });

  test("MOV CR3 drops all but global pages", () => {
    const rig = new Rig();
    for (const [flags, second] of [
      [0n, 2n],
      [G, 1n],
    ] as const) {
      rig.setPte(page, P | RW | flags);
      rig.write64(page, 1n);
      rig.write64(0x28000, 2n);
      rig.set("rsi", BigInt(at.pt + (page >> 12) * 8));
      rig.set("rdi", 0x28003n | flags);
      rig.set("rdx", BigInt(at.pml4));
      access(rig, load + "48893e 0f22da 488b0b", 0);
      expect(rig.get("rcx")).toBe(second);
    }
  });

  test("2 MiB and 1 GiB pages", () => {
    const rig = new Rig();
    rig.write64(at.pd + 8, 0n | P | RW | PS);
    rig.write64(at.pdpt + 8, 0n | P | RW | PS);
    rig.write64(page, 0x77n);
    expect(access(rig, load, 0, 0x200000 + page)).toBe("done");
    expect(rig.get("rax")).toBe(0x77n);
    expect(access(rig, load, 0, 0x40000000 + page)).toBe("done");
    expect(rig.get("rax")).toBe(0x77n);
    rig.write64(at.pd + 8, 0x2000n | P | RW | PS);
    expect(access(rig, load, 0, 0x200000 + page)).toBe("#PF 9 224000");
  });

  test("INVLPG anywhere in a large page drops all of it", () => {
    const rig = new Rig(8);
    rig.write64(at.pd + 8, 0n | P | RW | PS);
    rig.write64(page, 1n);
    rig.write64(0x400000 + page, 2n);
    rig.set("rsi", BigInt(at.pd + 8));
    rig.set("rdi", 0x400000n | P | RW | PS);
    rig.set("r8", 0x3ff000n);
    access(rig, load + "48893e 410f0138 488b0b", 0, 0x200000 + page);
    expect([rig.get("rax"), rig.get("rcx")]).toEqual([1n, 2n]);
  });

  test("beyond RAM lies MMIO, in pieces of at most 4 bytes; above 4 GiB nothing", () => {
    const rig = new Rig();
    rig.write64(at.pt + 0x30 * 8, 0xfee00003n);
    rig.write64(at.pt + 0x31 * 8, 0x100000003n);
    rig.set("rax", 0x1122334455667788n);
    expect(access(rig, load, 0, 0x30010)).toBe("done");
    expect(rig.get("rax")).toBe(0xa5a5a5a5a5a5a5a5n);
    expect(rig.log.mmio).toEqual(["read fee00010 4", "read fee00014 4"]);
    rig.log.mmio.length = 0;
    access(rig, "c603 5a", 0, 0x30021);
    expect(rig.log.mmio).toEqual(["write fee00021 1 5a"]);
    rig.log.mmio.length = 0;
    access(rig, "8003 01", 0, 0x30021);
    expect(rig.log.mmio).toEqual(["read fee00021 1", "write fee00021 1 a6"]);
    rig.log.mmio.length = 0;
    access(rig, "66c7035a5a", 0, 0x30fff);
    expect(rig.log.mmio).toEqual(["write fee00fff 1 5a"]);
    expect(access(rig, load, 0, 0x31000)).toBe("done");
    expect(rig.get("rax")).toBe(0xffffffffffffffffn);
  });
});

describe.skipIf(noCore)("SMEP and SMAP", () => {
  const protect = (rig: Rig): void => rig.setState(place.cr4, rig.state(place.cr4) | 0x300000n);

  test("the supervisor may not execute user pages", () => {
    const rig = new Rig();
    rig.setPte(page, P | RW | US);
    rig.bytes(page, "f4");
    expect(access(rig, jump, 0)).toBe("done");
    protect(rig);
    expect(access(rig, jump, 0)).toBe("#PF 11 24000");
  });

  test("nor read them, unless AC says so", () => {
    const rig = new Rig();
    protect(rig);
    rig.setPte(page, P | RW | US);
    rig.write64(page, 9n);
    expect(access(rig, load, 0)).toBe("#PF 1 24000");
    // STAC, read, CLAC, read: the second faults although the first filled the TLB.
    rig.set("rax", 0n);
    expect(access(rig, "0f01cb 488b03 0f01ca 488b0b", 0)).toBe("#PF 1 24000");
    expect([rig.get("rax"), rig.get("rcx")]).toEqual([9n, 0n]);
    rig.flags = 0x40002n;
    expect(access(rig, load, 0)).toBe("done");
    expect(access(rig, load, 3)).toBe("done");
  });
});

describe.skipIf(noCore)("legacy paging", () => {
  /** A 32-bit kernel at CPL 0 over a directory that the test fills. */
  function legacy(cr4: bigint): Rig {
    const rig = new Rig();
    rig.setState(place.efer, 0n);
    rig.setState(place.cr4, cr4);
    rig.setState(place.cr3, 0x40000n);
    rig.setSegment(1, 0x40, 0xc9b);
    rig.setSegment(2, 0x10, 0xc93);
    for (const number of [0, 3]) rig.setSegment(number, 0x10, 0xc93);
    return rig;
  }
  const run = (rig: Rig): RunExit => {
    rig.bytes(at.code, "8b03 f4");
    rig.setState(place.rip, BigInt(at.code));
    rig.set("rbx", 0x400000n + BigInt(page));
    return rig.resume().exit;
  };

  test("32-bit paging: 4 KiB pages and a 4 MiB one", () => {
    const rig = legacy(0x10n);
    rig.write32(page, 0x1234);
    rig.write32(0x40000, 0x41003);
    rig.write32(0x41000 + (at.code >> 12) * 4, at.code | 3);
    rig.write32(0x40004, 0x83);
    expect(run(rig)).toBe(RunExit.halted);
    expect(rig.get("rax")).toBe(0x1234n);
    expect(rig.read32(0x40004)).toBe(0xa3);
    expect(rig.read32(0x41000 + (at.code >> 12) * 4) & 0x60).toBe(0x20);
  });

  test("PAE paging", () => {
    const rig = legacy(0x20n);
    rig.write32(page, 0x4321);
    rig.write64(0x40000, 0x41001n);
    rig.write64(0x41000, 0x83n);
    rig.write64(0x41010, 0x83n);
    expect(run(rig)).toBe(RunExit.halted);
    expect(rig.get("rax")).toBe(0x4321n);
  });
});
