import { describe, expect, test } from "vitest";
import { GuestMemory } from "../../../emulator/bus/guest-memory.ts";
import { type Paging, readLinear, translate, writeLinear } from "../../../emulator/machine/linear-memory.ts";

const PG = 1n << 31n;
const LONG: Paging = { cr0: PG, cr3: 0x1000n, cr4: 0x20n, efer: 0x400n };

function memoryWith(entries: Readonly<Record<number, bigint>>): GuestMemory {
  const ram = new Uint8Array(1 << 20);
  const view = new DataView(ram.buffer);
  for (const [place, entry] of Object.entries(entries)) view.setBigUint64(Number(place), entry, true);
  return new GuestMemory({ ram, onWrite: () => {} });
}

describe("translation without side effects (SDM 3A chapter 4)", () => {
  test("is none without paging", () => {
    expect(translate(memoryWith({}), { ...LONG, cr0: 0n }, 0x1_2345_6789n)).toBe(0x2345_6789);
  });

  test("walks four levels, and stops at pages of 2 MiB and 1 GiB", () => {
    // PML4[511] → PDPT[510] → PD[3] → PT[5] → 7000h; PD[4] is 2 MiB at 40_0000h; PDPT[0] 1 GiB at 8000_0000h.
    const memory = memoryWith({
      [0x1000 + 8 * 511]: 0x2003n,
      [0x2000 + 8 * 510]: 0x3003n,
      [0x3000 + 8 * 3]: 0x4003n,
      [0x4000 + 8 * 5]: 0x8000_0000_0000_7003n,
      [0x3000 + 8 * 4]: 0x40_0083n,
      [0x2000]: 0x8000_0083n,
    });
    const base = 0xffff_ffff_8000_0000n;
    expect(translate(memory, LONG, base + 0x60_5123n)).toBe(0x7123);
    expect(translate(memory, LONG, base + 0x81_2345n)).toBe(0x41_2345);
    expect(translate(memory, LONG, 0xffff_ff80_1234_5678n)).toBe(0x9234_5678);
    expect(translate(memory, LONG, base)).toBeUndefined();
    expect(translate(memory, LONG, 0x1000_0000_0000_0000n)).toBeUndefined();
  });

  test("walks five levels", () => {
    const memory = memoryWith({ 0x1008: 0x2003n, 0x2000: 0x3003n, 0x3000: 0x4003n, 0x4000: 0x83n });
    expect(translate(memory, { ...LONG, cr4: 0x1020n }, 0x1_0000_0000_1234n)).toBe(0x1234);
    expect(translate(memory, LONG, 0x1_0000_0000_1234n)).toBeUndefined();
  });

  test("walks PAE and 32-bit tables", () => {
    const pae = memoryWith({ 0x1018: 0x2001n, [0x2000 + 8 * 1]: 0x3003n, 0x3010: 0x9003n });
    const legacy = { ...LONG, efer: 0n };
    expect(translate(pae, legacy, 0xc020_2abcn)).toBe(0x9abc);
    const narrow = memoryWith({
      [0x1000 + 4 * 0x300]: 0x2003n,
      [0x2000 + 4 * 2]: 0xa003n,
      [0x1000 + 4 * 2]: 0xc0_0083n,
    });
    expect(translate(narrow, { ...legacy, cr4: 0n }, 0xc000_2abcn)).toBe(0xaabc);
    expect(translate(narrow, { ...legacy, cr4: 0x10n }, 0x80_1234n)).toBe(0xc0_1234);
  });

  test("reads as far as there are pages, and writes all or nothing", () => {
    // Pages 0 and 1 lie the other way round; there is no third.
    const memory = memoryWith({
      0x1000: 0x2003n,
      0x2000: 0x3003n,
      0x3000: 0x4003n,
      0x4000: 0x6003n,
      0x4008: 0x5003n,
    });
    expect(writeLinear(memory, LONG, 0xffen, Uint8Array.of(1, 2, 3, 4))).toBe(true);
    expect([...memory.view(0x6ffe, 2), ...memory.view(0x5000, 2)]).toEqual([1, 2, 3, 4]);
    expect([...readLinear(memory, LONG, 0xffen, 4)]).toEqual([1, 2, 3, 4]);
    expect(readLinear(memory, LONG, 0x1ffen, 4)).toHaveLength(2);
    expect(writeLinear(memory, LONG, 0x1ffen, Uint8Array.of(9, 9, 9, 9))).toBe(false);
    expect([...memory.view(0x5ffe, 2)]).toEqual([0, 0]);
  });
});
