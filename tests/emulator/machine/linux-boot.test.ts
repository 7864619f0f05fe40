import { expect, test } from "vitest";
import { GuestMemory } from "../../../emulator/bus/guest-memory.ts";
import { loadLinux } from "../../../emulator/machine/linux-boot.ts";
import { GuestProgram } from "../../support/guest-program.ts";

const MIB = 2 ** 20;
const acpi = { address: 0xe_0000, bytes: Uint8Array.of(1, 2, 3), rsdp: 0xe_0000 };

function load(
  kernel: Uint8Array,
  { initrd, commandLine = "quiet" }: { initrd?: Uint8Array; commandLine?: string } = {},
) {
  const ram = new Uint8Array(32 * MIB);
  const memory = new GuestMemory({ ram, onWrite: () => {} });
  const outcome = loadLinux(memory, { kernel, commandLine, acpi, ...(initrd && { initrd }) });
  return {
    ram,
    memory,
    outcome,
    view: new DataView(ram.buffer),
    problem: outcome.ok
      ? ""
      : outcome.failure.code === "bad-image"
        ? outcome.failure.problem
        : outcome.failure.code,
  };
}

/** One PT_LOAD of 16 bytes at 16 MiB with 4 KiB of memory. */
function elf(change: (view: DataView) => void = () => {}): Uint8Array {
  const file = new Uint8Array(0x1010);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, 62, true);
  view.setBigUint64(24, 0x100_0000n, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true);
  view.setBigUint64(72, 0x1000n, true);
  view.setBigUint64(88, 0x100_0000n, true);
  view.setBigUint64(96, 16n, true);
  view.setBigUint64(104, 4096n, true);
  file.fill(0x90, 0x1000);
  change(view);
  return file;
}

function bzImage(change: (view: DataView) => void = () => {}): Uint8Array {
  const file = new Uint8Array(0x3000);
  const view = new DataView(file.buffer);
  file[0x1f1] = 3;
  view.setUint16(0x1fe, 0xaa55, true);
  file[0x201] = 0x6a;
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x020f, true);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  file[0x234] = 1;
  view.setUint16(0x236, 1, true);
  view.setBigUint64(0x258, 0x100_0000n, true);
  view.setUint32(0x260, 0x10_0000, true);
  file.fill(0xf4, 0x800);
  change(view);
  return file;
}

test("an ELF kernel lies at its physical addresses, zeroed beyond the file", () => {
  const { outcome, ram } = load(elf());
  expect(outcome.ok && outcome.value).toMatchObject({ entry: 0x100_0000, bootParameters: 0x1_0000 });
  expect([ram[0x100_0000], ram[0x100_000f], ram[0x100_0010]]).toEqual([0x90, 0x90, 0]);
});

test("a bzImage enters 200h after its preferred address, with its own setup header", () => {
  const { outcome, ram, view } = load(bzImage());
  expect(outcome.ok && outcome.value.entry).toBe(0x100_0200);
  expect([ram[0x100_0000], view.getUint16(0x1_0206, true), ram[0x1_0210]]).toEqual([0xf4, 0x020f, 0xff]);
});

test("a frame buffer is described as EFI leaves one: place, size, pitch and where the colours are", () => {
  const ram = new Uint8Array(32 * MIB);
  const memory = new GuestMemory({ ram, onWrite: () => {} });
  const frameBuffer = { address: 0xfd00_0000, width: 1024, height: 768 };
  const outcome = loadLinux(memory, { kernel: elf(), commandLine: "", acpi, frameBuffer });
  const at = outcome.ok ? outcome.value.bootParameters : 0;
  const view = new DataView(ram.buffer, at);
  expect(view.getUint8(0x0f)).toBe(0x70);
  expect([0x12, 0x14, 0x16, 0x24].map((field) => view.getUint16(field, true))).toEqual([1024, 768, 32, 4096]);
  expect([view.getUint32(0x18, true), view.getUint32(0x1c, true)]).toEqual([0xfd00_0000, 4096 * 768]);
  expect([...ram.subarray(at + 0x26, at + 0x2e)]).toEqual([8, 16, 8, 8, 8, 0, 8, 24]);
});

test("boot parameters: memory map, command line, initrd, screen and ACPI", () => {
  const { ram, view } = load(elf(), { initrd: new Uint8Array(5000).fill(9), commandLine: "console=ttyS0" });
  const zero = 0x1_0000;
  expect(ram[zero + 0x1e8]).toBe(3);
  const map = [0, 1, 2].map((i) =>
    [0, 8, 16].map((field) => view.getUint32(zero + 0x2d0 + 20 * i + field, true)),
  );
  expect(map).toEqual([
    [0, 0x9fc00, 1],
    [0x9fc00, 0x60400, 2],
    [0x100000, 31 * MIB, 1],
  ]);
  const line = view.getUint32(zero + 0x228, true);
  expect(new TextDecoder().decode(ram.slice(line, line + 14))).toBe("console=ttyS0\0");
  const [at, length] = [view.getUint32(zero + 0x218, true), view.getUint32(zero + 0x21c, true)];
  expect([at % 4096, length, ram[at], ram[at + 4999], at + length <= 32 * MIB]).toEqual([
    0,
    5000,
    9,
    9,
    true,
  ]);
  expect([ram[zero + 6], ram[zero + 7], ram[zero + 0x0e], ram[zero + 0x0f]]).toEqual([3, 80, 25, 1]);
  expect([view.getUint32(zero + 0x70, true), ram[0xe_0001]]).toEqual([0xe_0000, 2]);
});

test("page tables map the first 4 GiB one to one; the GDT has the protocol's segments", () => {
  const { outcome, view } = load(elf());
  if (!outcome.ok) throw new Error("not loaded");
  const entry = (table: bigint, index: number): bigint =>
    view.getBigUint64(Number(table & ~0xfffn) + 8 * index, true);
  const walk = (address: number): bigint =>
    entry(
      entry(entry(BigInt(outcome.value.pageTables), 0), Math.floor(address / 2 ** 30)),
      Math.floor(address / 2 ** 21) % 512,
    );
  expect([walk(0), walk(0xfee0_0000), walk(0x100_0000)]).toEqual([0x83n, 0xfee0_0083n, 0x100_0083n]);
  expect([
    view.getBigUint64(outcome.value.gdt.address + 0x10, true),
    view.getBigUint64(outcome.value.gdt.address + 0x18, true),
  ]).toEqual([0x00af_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn]);
});

const elf32 = (change: (view: DataView) => void = () => {}): Uint8Array => {
  const file = new GuestProgram().halt().kernel32;
  change(new DataView(file.buffer));
  return file;
};

test("a kernel without a 64-bit entry gets the 32-bit one: where it was loaded, with a 32-bit code segment and no page tables", () => {
  const image = bzImage((view) => view.setUint16(0x236, 0, true));
  for (const kernel of [image, elf32()]) {
    const { outcome, view } = load(kernel);
    if (!outcome.ok) throw new Error("not loaded");
    expect(outcome.value).toMatchObject({ bits: 32, entry: 0x100_0000 });
    expect(view.getBigUint64(outcome.value.gdt.address + 0x10, true)).toBe(0x00cf_9b00_0000_ffffn);
    expect(view.getBigUint64(outcome.value.pageTables, true)).toBe(0n);
  }
});

const hostile: Record<string, Uint8Array> = {
  nothing: new Uint8Array(0),
  "a text": new TextEncoder().encode("hello".repeat(1000)),
  "an ELF header cut short": elf().subarray(0, 40),
  "a 32-bit ELF": elf((view) => view.setUint8(4, 1)),
  "program headers beyond the file": elf((view) => view.setBigUint64(32, 2n ** 63n, true)),
  "65535 program headers": elf((view) => view.setUint16(56, 0xffff, true)),
  "program headers of no size": elf((view) => view.setUint16(54, 0, true)),
  "a segment beyond the file": elf((view) => view.setBigUint64(72, 0x1008n, true)),
  "a segment at the end of the address space": elf((view) => view.setBigUint64(88, 2n ** 64n - 4096n, true)),
  "a segment over low memory": elf((view) => view.setBigUint64(88, 0x1000n, true)),
  "a segment larger than RAM": elf((view) => view.setBigUint64(104, 2n ** 40n, true)),
  "more file than memory": elf((view) => view.setBigUint64(104, 8n, true)),
  "an entry elsewhere": elf((view) => view.setBigUint64(24, 0x200_0000n, true)),
  "an old bzImage": bzImage((view) => view.setUint16(0x206, 0x0209, true)),
  "a bzImage of protocol 2.09": bzImage((view) => view.setUint16(0x206, 0x0209, true)),
  "an ELF32 file of a 64-bit machine": elf((view) => view.setUint8(4, 1)),
  "an ELF32 file whose program headers lie outside": elf32((view) => view.setUint32(28, 0x1000_0000, true)),
  "an ELF32 segment beyond RAM": elf32((view) => view.setUint32(52 + 12, 0xffff_f000, true)),
  "setup sectors beyond the file": bzImage((view) => view.setUint8(0x1f1, 255)),
  "a bzImage larger than RAM": bzImage((view) => view.setUint32(0x260, 0xffff_ffff, true)),
  "a bzImage at the end of the address space": bzImage((view) =>
    view.setBigUint64(0x258, 2n ** 64n - 1n, true),
  ),
};
for (const [what, kernel] of Object.entries(hostile)) {
  test(`${what} is refused in words and touches no RAM`, () => {
    const { problem, ram } = load(kernel);
    expect(problem).not.toBe("");
    expect(new BigUint64Array(ram.buffer).every((word) => word === 0n)).toBe(true);
  });
}

test("a RAM disk that does not fit and a command line that is too long are refused", () => {
  expect(load(elf(), { initrd: new Uint8Array(31 * MIB) }).problem).toContain("31 MiB does not fit");
  expect(load(elf(), { commandLine: "x".repeat(2048) }).problem).toContain("2047");
});
