/**
 * Machines for other people's test programs: multiboot images of kvm-unit-tests on the board, with the test devices that
 * they report through, and ROMs that need no board. Files come from the folder that VIRGA_SUITES names.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GuestMemory } from "../../../emulator/bus/guest-memory.ts";
import { Timers } from "../../../emulator/bus/timers.ts";
import { Cpu, type CpuHost, RAM_BASE, RunExit } from "../../../emulator/cpu/core.ts";
import { Board } from "../../../emulator/machine/board.ts";
import { defaultProcessor } from "../../../emulator/protocol/processor.ts";
import { PlainVideo } from "../../support/plain-video.ts";
import { compiledCore, place } from "./system-rig.ts";

const folder = process.env["VIRGA_SUITES"];
/** A file of a suite, or undefined where it is not there. */
export function suiteFile(path: string): string | undefined {
  const file = folder === undefined ? undefined : join(folder, path);
  return file !== undefined && existsSync(file) ? file : undefined;
}

export interface SuiteResult {
  /** Written to port F4, or why the run ended without that. */
  readonly exit: number | "triple fault" | "halted" | "too long" | "reset";
  readonly lines: readonly string[];
}

const MEMORY_MIB = 128;
/** The multiboot information, its command line and the environment, in memory that no image uses. */
const INFO = 0x7_0000;
const SCRATCH = 0xff00_0000;
const SLICE = 50_000;

/** Guest time follows the instructions, and jumps to the next timer where the guest halts. */
class SuiteClock {
  skipped = 0;
  #last = 0;
  readonly #cpu: () => Cpu;
  constructor(cpu: () => Cpu) {
    this.#cpu = cpu;
  }
  now(): number {
    this.#last = Math.max(this.#last + 1, this.#cpu().retired * 5 + this.skipped);
    return this.#last;
  }
}

/** `words` is the command line after the program's name. */
export function runMultiboot(
  image: Uint8Array,
  instructions: number,
  words = "",
  processor = defaultProcessor,
): SuiteResult {
  const lines: string[] = [""];
  let exit: SuiteResult["exit"] | undefined;
  const clock = new SuiteClock(() => cpu),
    timers = new Timers();
  const say = (byte: number): void => {
    if (byte === 10) lines.push("");
    else if (byte !== 13) lines[lines.length - 1] += String.fromCharCode(byte);
  };
  const devices = new TestDevices((value) => {
    exit = value;
    cpu.stop();
  }, say);
  const cpu: Cpu = new Cpu({
    module: compiledCore(),
    processor,
    memoryMiB: MEMORY_MIB,
    shared: false,
    host: forwarding(() => board, devices, clock),
  });
  const board = new Board({
    memory: new GuestMemory({ ram: cpu.ram, onWrite: (address, length) => cpu.invalidate(address, length) }),
    video: new PlainVideo(),
    timers,
    now: () => clock.now(),
    random32: () => 1,
    wallClockMs: 0,
    disks: [],
    terminal: { columns: 80, rows: 25 },
    setInterruptPin: (asserted) => {
      cpu.setInterruptPin(asserted);
      if (asserted) cpu.stop();
    },
    raiseNmi: () => {
      cpu.raiseNmi();
      cpu.stop();
    },
    onSerial: say,
    onConsole: () => {},
    onPowerOff: () => (exit = "reset"),
    onReset: () => (exit = "reset"),
  });
  devices.connect(board);
  load(cpu, image, words);
  while (exit === undefined) {
    timers.runDue(clock.now());
    const ended = cpu.run(SLICE);
    if (ended === RunExit.tripleFault) exit ??= "triple fault";
    else if (ended === RunExit.halted) {
      if (timers.nextNs === Infinity) exit ??= "halted";
      else clock.skipped += Math.max(0, timers.nextNs - clock.now());
    } else if (cpu.retired > instructions) exit ??= "too long";
  }
  return { exit, lines };
}

function forwarding(board: () => Board, devices: TestDevices, clock: SuiteClock): CpuHost {
  return {
    ioRead: (port, size) => devices.ioRead(port, size) ?? board().ioRead(port, size),
    ioWrite: (port, size, value) => {
      if (!devices.ioWrite(port, size, value)) board().ioWrite(port, size, value);
    },
    mmioRead: (address, size) => board().mmioRead(address, size),
    mmioWrite: (address, size, value) => board().mmioWrite(address, size, value),
    tsc: () => clock.now(),
    acknowledgeInterrupt: () => board().acknowledgeInterrupt(),
    random32: () => 0x1234_5678,
    readCr8: () => board().readCr8(),
    writeCr8: (value) => board().writeCr8(value),
    writeTscDeadline: (ticks) => board().writeTscDeadline(ticks),
    writeApicBase: (value) => board().writeApicBase(value),
  };
}

/** pc-testdev, isa-debugcon and isa-debug-exit of QEMU: scratch at E0h, text at E9h, ISA lines at 2000h, scratch MMIO, the verdict at F4h. */
class TestDevices {
  #scratch = Buffer.alloc(4);
  readonly #lines = new Map<number, { set(asserted: boolean): void }>();
  readonly #onExit: (value: number) => void;
  readonly #say: (byte: number) => void;
  #board: Board | undefined;
  constructor(onExit: (value: number) => void, say: (byte: number) => void) {
    this.#onExit = onExit;
    this.#say = say;
  }

  connect(board: Board): void {
    this.#board = board;
    const bytes = Buffer.alloc(0x1_0004);
    board.mmio.place(SCRATCH, 0x1_0000, {
      read: (offset, size) => bytes.readUIntLE(offset, size),
      write: (offset, size, value) => void bytes.writeUIntLE(value, offset, size),
    });
    // What a BIOS leaves of the 8259 pair: vectors 8 and 70h, everything masked but the cascade and line 11.
    const setUp = [
      [0x20, 0x11],
      [0x21, 8],
      [0x21, 4],
      [0x21, 1],
      [0xa0, 0x11],
      [0xa1, 0x70],
      [0xa1, 2],
      [0xa1, 1],
      [0x21, 0xfb],
      [0xa1, 0xf7],
    ] as const;
    for (const [port, value] of setUp) board.ioWrite(port, 1, value);
    board.localApic.enterVirtualWireMode();
  }

  ioRead(port: number, size: number): number | undefined {
    if (port >= 0xe0 && port + size <= 0xe4) return this.#scratch.readUIntLE(port - 0xe0, size);
    return port === 0x511 ? 0 : undefined;
  }
  ioWrite(port: number, size: number, value: number): boolean {
    if (port === 0xf4) this.#onExit(value);
    else if (port === 0xe9) this.#say(value);
    else if (port >= 0xe0 && port + size <= 0xe4) this.#scratch.writeUIntLE(value, port - 0xe0, size);
    else if (port >= 0x2000 && port < 0x2018) this.#line(port - 0x2000).set(value !== 0);
    else return port === 0xe4 || port === 0xe8;
    return true;
  }
  #line(gsi: number): { set(asserted: boolean): void } {
    const line = this.#lines.get(gsi) ?? this.#board!.lines.wire(gsi);
    this.#lines.set(gsi, line);
    return line;
  }
}

/** Where fields of an ELF file are, by class: the table of program headers, their size and count; in one, offset, address and bytes. */
const ELF = { 1: [28, 42, 44, 4, 12, 16], 2: [32, 54, 56, 8, 24, 32] } as const;
/** Where Xen's note says that a kernel begins in 32-bit protected mode (Xen's PVH boot ABI): XEN_ELFNOTE_PHYS32_ENTRY. */
function entryOfNotes(notes: DataView): number | undefined {
  const padded = (bytes: number): number => (bytes + 3) & ~3;
  for (let at = 0; at + 12 <= notes.byteLength;) {
    const [name, description, type] = [0, 4, 8].map((field) => notes.getUint32(at + field, true)) as [
      number,
      number,
      number,
    ];
    if (type === 18) return notes.getUint32(at + 12 + padded(name), true);
    at += 12 + padded(name) + padded(description);
  }
  return undefined;
}
/** The entry in a multiboot header with bit 16, which lies in the first 8 KiB (multiboot specification 0.6.96 §3.1). */
function entryOfHeader(image: DataView): number | undefined {
  for (let at = 0; at + 32 <= Math.min(image.byteLength, 8192); at += 4)
    if (image.getUint32(at, true) === 0x1bad_b002 && image.getUint32(at + 4, true) & 0x1_0000)
      return image.getUint32(at + 28, true);
  return undefined;
}
/** An ELF image entered as the multiboot specification 0.6.96 says: 32-bit protected mode, flat, EBX at the information. */
function load(cpu: Cpu, image: Uint8Array, words: string): void {
  const elf = new DataView(image.buffer, image.byteOffset, image.byteLength),
    { view } = cpu,
    [tableAt, stepAt, countAt, offsetAt, addressAt, bytesAt] = ELF[image[4] === 2 ? 2 : 1];
  const table = elf.getUint32(tableAt, true),
    step = elf.getUint16(stepAt, true),
    count = elf.getUint16(countAt, true);
  let entry = entryOfHeader(elf) ?? elf.getUint32(24, true);
  for (let at = table; at < table + step * count; at += step) {
    const offset = elf.getUint32(at + offsetAt, true),
      bytes = elf.getUint32(at + bytesAt, true),
      type = elf.getUint32(at, true);
    if (type === 4)
      entry = entryOfNotes(new DataView(image.buffer, image.byteOffset + offset, bytes)) ?? entry;
    if (type !== 1) continue;
    cpu.ram.set(image.subarray(offset, offset + bytes), elf.getUint32(at + addressAt, true));
  }
  const text = (at: number, value: string): void => cpu.ram.set(Buffer.from(`${value}\0`, "latin1"), at);
  const word = (at: number, value: number): void => view.setUint32(RAM_BASE + at, value, true);
  const kernel =
    "KERNEL_VERSION_STRING=6.1.0\nKERNEL_VERSION=6\nKERNEL_PATCHLEVEL=1\nKERNEL_SUBLEVEL=0\nKERNEL_EXTRAVERSION=0\n";
  const environment = `${kernel}NR_CPUS=1\nMEMSIZE=${MEMORY_MIB}\nMEMLIMIT=${MEMORY_MIB}\nTEST_DEVICE=1\nBOOTLOADER=0\n`;
  text(INFO + 0x800, `test ${words}`.trimEnd());
  text(INFO + 0x1000, environment);
  // Flags: memory, command line, modules; one module, whose bytes are the environment.
  for (const [at, value] of [
    [0, 0x4d],
    [4, 640],
    [8, MEMORY_MIB * 1024 - 1024],
    [16, INFO + 0x800],
    [20, 1],
    [24, INFO + 0x700],
  ] as const)
    word(INFO + at, value);
  for (const [at, value] of [
    [0, INFO + 0x1000],
    [4, INFO + 0x1000 + environment.length],
    [8, INFO + 0x800],
  ] as const)
    word(INFO + 0x700 + at, value);
  for (let n = 0; n < 6; n++) {
    const segment = place.segments + 32 * n;
    view.setUint16(segment, n === 1 ? 8 : 16, true);
    view.setUint16(segment + 2, n === 1 ? 0xc9b : 0xc93, true);
    view.setUint32(segment + 4, 0xffff_ffff, true);
    view.setBigUint64(segment + 8, 0n, true);
  }
  view.setBigUint64(place.cr0, 0x11n, true);
  view.setBigUint64(place.gpr, 0x2bad_b002n, true);
  view.setBigUint64(place.gpr + 24, BigInt(INFO), true);
  view.setBigUint64(place.rip, BigInt(entry), true);
  cpu.rflags = 2n;
  cpu.reload();
}

export interface RomResult {
  /** Bytes written to the POST port 190h, in hex. */
  readonly posts: readonly string[];
  /** What was written to port E9h. */
  readonly text: string;
}

/** A ROM that ends at 1 MiB, entered at F000:FFF0, without devices; ends when it halts. */
export function runRom(rom: Uint8Array, instructions: number, processor = defaultProcessor): RomResult {
  const posts: string[] = [],
    bytes: number[] = [];
  const host: CpuHost = {
    ioRead: () => 0xff,
    ioWrite: (port, _size, value) => {
      if (port === 0x190) posts.push((value & 0xff).toString(16).padStart(2, "0"));
      else if (port === 0xe9) bytes.push(value & 0xff);
    },
    mmioRead: () => 0xffff_ffff,
    mmioWrite: () => {},
    tsc: () => 0,
    acknowledgeInterrupt: () => -1,
    random32: () => 0,
    readCr8: () => 0,
    writeCr8: () => {},
    writeTscDeadline: () => {},
    writeApicBase: () => {},
  };
  const cpu = new Cpu({ module: compiledCore(), processor, memoryMiB: 4, host, shared: false });
  cpu.ram.set(rom, 0x10_0000 - rom.length);
  cpu.view.setBigUint64(place.segments + 0x28, 0xf_0000n, true);
  cpu.reload();
  while (cpu.retired < instructions && cpu.run(1_000_000) === RunExit.budget);
  return { posts, text: Buffer.from(bytes).toString("latin1") };
}

export const readSuite = (file: string): Uint8Array => readFileSync(file);
