import { describe, expect, test } from "vitest";
import { LegacyRig, legacy, tss2 } from "./system-legacy-rig.ts";
import { at, noCore, place, Rig } from "./system-rig.ts";

/** Debug exceptions of ports, branches and task switches (SDM 3B §17.2.4, §17.3.1.5, §17.4.3). */
const DB = 1,
  GP = 13,
  TF = 0x102n;
const DR6 = place.dr + 48,
  DR7 = place.dr + 56,
  DEBUGCTL = place.dr - 0x250 + 0x3e8;
/** DR0 enabled for ports (R/W 10b) of one byte. */
const ON_PORT = 0x2_0401n;

function portRig(de = true): Rig {
  const rig = new Rig();
  rig.setState(place.cr4, de ? 0x6b8n : 0x6b0n);
  rig.setState(place.dr, 0x3f9n);
  rig.setState(DR7, ON_PORT);
  rig.set("rdx", 0x3f8n);
  return rig;
}

describe.skipIf(noCore)("a breakpoint on a port", () => {
  test("traps behind the access that touches it", () => {
    const rig = portRig();
    // in al, dx (3F8h, not it); in ax, dx (3F8h and 3F9h); nop; hlt
    expect(rig.run("ec 66ed 90 f4").vector).toBe(DB);
    expect(rig.log.io).toEqual(["in 3f8 1", "in 3f8 2"]);
    expect([rig.frame(false).rip, rig.state(DR6) & 15n]).toEqual([BigInt(at.code + 3), 1n]);
    const out = portRig();
    expect(out.run("66ef 90 f4").vector).toBe(DB);
    expect(out.frame(false).rip).toBe(BigInt(at.code + 2));
  });
  test("stops a repeated string instruction behind each element", () => {
    const rig = portRig();
    rig.set("rdx", 0x3f9n);
    rig.set("rcx", 3n);
    rig.set("rsi", BigInt(at.data));
    expect(rig.run("f36e f4").vector).toBe(DB);
    expect([rig.get("rcx"), rig.frame(false).rip, rig.log.io.length]).toEqual([2n, BigInt(at.code), 1]);
  });
  test("is none without CR4.DE", () => {
    expect(portRig(false).run("66ed 90 f4").vector).toBeUndefined();
  });
});

describe.skipIf(noCore)("IA32_DEBUGCTL.BTF", () => {
  /** nop; test eax, eax; jnz (not taken); jmp over a byte; nop; hlt. */
  const CODE = "90 85c0 7501 eb01 f4 90 f4";
  test("makes TF trap behind a branch alone, once", () => {
    const rig = new Rig();
    rig.setState(DEBUGCTL, 2n);
    expect(rig.run(CODE, { rflags: TF }).vector).toBe(DB);
    expect([rig.frame(false).rip, rig.state(DR6) & 0x4000n, rig.state(DEBUGCTL)]).toEqual([
      BigInt(at.code + 8),
      0x4000n,
      0n,
    ]);
    const plain = new Rig();
    expect(plain.run(CODE, { rflags: TF }).vector).toBe(DB);
    expect(plain.frame(false).rip).toBe(BigInt(at.code + 1));
  });
  test("is a bit of a register that has few", () => {
    const write = (value: bigint): Rig => {
      const rig = new Rig();
      rig.set("rcx", 0x1d9n);
      rig.set("rax", value);
      rig.set("rdx", 0n);
      return rig;
    };
    const good = write(2n);
    expect([good.run("0f30 f4").vector, good.state(DEBUGCTL)]).toEqual([undefined, 2n]);
    expect(write(0x1_0000n).run("0f30 f4").vector).toBe(GP);
  });
});

test.skipIf(noCore)("the T bit of a task's TSS traps before its first instruction", () => {
  for (const bit of [0, 1]) {
    const rig = new LegacyRig();
    for (const [offset, value] of [
      [32, 0x18000],
      [36, 2],
      [56, 0x2f000],
      [72, legacy.data],
      [76, legacy.code],
      [80, legacy.data],
      [84, legacy.data],
      [100, bit],
    ] as const)
      rig.write32(tss2 + offset, value);
    rig.bytes(0x18000, "40 f4");
    const { vector } = rig.run("ea00000000 3000");
    // RunExit.budget ends the slice in between where the trap waits.
    const last = bit && vector === undefined ? rig.resume(rig.cpu.rflags) : { vector };
    expect([last.vector, rig.get("rax"), rig.state(DR6) & 0x8000n]).toEqual(
      bit ? [DB, 0n, 0x8000n] : [undefined, 1n, 0n],
    );
    if (bit) expect(rig.stack(1)).toEqual([0x18000]);
  }
});

describe.skipIf(noCore)("DR6", () => {
  test("forgets at a #DB what was hit before, and keeps the rest (SDM 3B §17.2.3)", () => {
    const rig = new Rig();
    rig.setState(DR6, 0xffff_2ff9n);
    expect(rig.run("90 f4", { rflags: TF }).vector).toBe(DB);
    expect(rig.state(DR6)).toBe(0xffff_6ff0n);
  });
  test("tells of the data breakpoint that an exception's frame hit, before its handler's first instruction", () => {
    const rig = new Rig();
    // DR1 is enabled for stores of eight bytes, where SS goes.
    rig.setState(place.dr + 8, BigInt(at.kernelStack - 8));
    rig.setState(DR7, 0x90_0404n);
    expect(rig.run("0f0b").vector).toBe(DB);
    expect([rig.frame(false).rip, rig.state(DR6) & 15n]).toEqual([BigInt(at.handlers + 6 * 16), 2n]);
  });
});
