/**
 * The board with a BIOS in front: a ROM of a distribution's package below 1 MiB and at the top of the address space, what firmware
 * asks a virtual machine for, and disks. Guest time follows the instructions, so that a run is the same each time.
 */
import { PortMap } from "../../emulator/bus/address-map.ts";
import { GuestMemory } from "../../emulator/bus/guest-memory.ts";
import { Timers } from "../../emulator/bus/timers.ts";
import { Cpu, type CpuHost, RunExit } from "../../emulator/cpu/core.ts";
import { models } from "../../emulator/cpu/models.ts";
import { FwCfg } from "../../emulator/devices/fw-cfg.ts";
import type { Disk } from "../../emulator/devices/virtio/blk.ts";
import { Board } from "../../emulator/machine/board.ts";
import type { ProcessorName } from "../../emulator/protocol/processor.ts";
import { at, loadCore, segmentNames, segmentPlace, setRegister, setSegment } from "./cpu-bench.ts";

const NS_PER_INSTRUCTION = 20;
const SLICE = 200_000;
/** The debug console of QEMU and Bochs, which answers its own number. */
const DEBUG_PORT = 0x402;
const DEBUG_THERE = 0xe9;
const FW_CFG_FIRST = 0x510,
  FW_CFG_LAST = 0x51b;

/** Where setup code is loaded, its stack and the end of its heap, and where the rest of a bzImage goes. */
const SETUP = 0x9_0000,
  SETUP_STACK = 0xe000,
  HIGH = 0x10_0000;
const DISPLAY_ROM = 0xc_0000;
/** Where firmware leaves off. */
export const BOOT_SECTOR = 0x7c00n;
/** A disk whose boot sector waits: JMP $, and the signature. */
export const waitingDisk = Uint8Array.from(
  { length: 0x10_0000 },
  (_, k) => ({ 0: 0xeb, 1: 0xfe, 510: 0x55, 511: 0xaa })[k] ?? 0,
);

export interface FirmwareOptions {
  readonly processor: ProcessorName;
  /** At most 256 KiB; its last 128 KiB are below 1 MiB too. */
  readonly rom: Uint8Array;
  /** Files of the firmware configuration device besides the map of memory: a display's ROM as "vgaroms/…". */
  readonly files?: ReadonlyMap<string, Uint8Array>;
  /** A display's ROM, for firmware that looks for it at C0000h. */
  readonly displayRom?: Uint8Array;
  readonly memoryMiB: number;
  /** Images of disks; what is written is kept for the run. */
  readonly disks?: readonly Uint8Array[];
}

export class FirmwareMachine {
  readonly cpu: Cpu;
  readonly #board: Board;
  readonly #timers = new Timers();
  readonly #rom: Uint8Array;
  readonly #romAt: number;
  readonly #configuration = new PortMap();
  #skipped = 0;
  #last = 0;
  #ended: string | undefined;
  /** What went to the debug console, and to the serial port. */
  debug = "";
  serial = "";

  constructor(options: FirmwareOptions) {
    const { processor, rom, files = new Map(), memoryMiB, disks = [] } = options;
    this.#rom = rom;
    this.#romAt = 2 ** 32 - rom.length;
    this.cpu = new Cpu({ module: loadCore(), processor, memoryMiB, shared: false, host: this.#host() });
    const { cpu } = this,
      memory = new GuestMemory({
        ram: cpu.ram,
        onWrite: (address, length) => cpu.invalidate(address, length),
      });
    const low = rom.subarray(-0x2_0000);
    cpu.ram.set(low, 0x10_0000 - low.length);
    cpu.ram.set(options.displayRom ?? [], DISPLAY_ROM);
    new FwCfg({
      ports: this.#configuration,
      memory,
      files: new Map([["etc/e820", memoryMap(memoryMiB)], ...files]),
    });
    this.#board = new Board({
      memory,
      video: {
        bytes: cpu.video,
        dirty: cpu.videoDirty,
        place: (where) => cpu.placeVideo(where),
        watch: () => cpu.watchVideo(),
      },
      timers: this.#timers,
      now: () => this.#now(),
      random32: () => 4,
      wallClockMs: 0,
      disks: disks.map((image) => diskOf(image, () => cpu.stop())),
      terminal: { columns: 80, rows: 25 },
      setInterruptPin: (asserted) => {
        cpu.setInterruptPin(asserted);
        if (asserted) cpu.stop();
      },
      raiseNmi: () => cpu.raiseNmi(),
      raiseSmi: () => {
        cpu.raiseSmi();
        cpu.stop();
      },
      setA20: (open) => cpu.setA20(open),
      setSmram: (open) => cpu.setSmram(open),
      onSerial: (byte) => (this.serial += String.fromCharCode(byte)),
      onConsole: () => {},
      onPowerOff: () => this.#end("power-off"),
      onReset: () => this.#end("reset"),
    });
    // A processor without a local APIC has the 8259 pair at its INTR pin.
    if (!models[processor].features.includes("apic")) this.#board.writeApicBase(0);
    // The reset vector is that of the copy below 1 MiB: nothing is fetched from above RAM.
    cpu.view.setBigUint64(segmentPlace("cs") + 8, 0xf_0000n, true);
    cpu.reload();
  }

  /** Runs until `wanted` is true, the machine ends, or so many seconds of guest time have passed; why it ended, if it did. */
  async until(wanted: () => boolean, seconds: number): Promise<string | undefined> {
    const end = this.#now() + seconds * 1e9;
    while (this.#ended === undefined && !wanted()) {
      if (this.#now() > end) return "too long";
      this.#timers.runDue(this.#now());
      const exit = this.cpu.run(SLICE);
      if (exit === RunExit.tripleFault) this.#end("triple fault");
      else if (exit === RunExit.halted) {
        if (this.#timers.nextNs === Infinity) this.#end("halted");
        else this.#skipped += Math.max(0, this.#timers.nextNs - this.#now());
      }
      // Disks answer between slices.
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
    return this.#ended;
  }

  /**
   * Loads a bzImage and enters its setup code in real mode, as a boot loader does (Linux Documentation/arch/x86/boot.rst, "The
   * 16-bit boot protocol"). The processor has to be in the firmware's hands-off state: at a boot sector.
   */
  enterSetup(kernel: Uint8Array, commandLine: string): void {
    const { cpu } = this,
      { ram, view } = cpu,
      bytes = new Uint8Array(kernel),
      header = new DataView(bytes.buffer);
    const setupBytes = ((bytes[0x1f1]! || 4) + 1) * 512;
    // An unregistered loader; the heap behind the setup code may be used.
    header.setUint8(0x210, 0xff);
    header.setUint8(0x211, header.getUint8(0x211) | 0x80);
    header.setUint16(0x224, SETUP_STACK - 0x200, true);
    header.setUint32(0x228, SETUP + SETUP_STACK, true);
    const put = (place: number, data: Uint8Array): void => {
      ram.set(data, place);
      cpu.invalidate(place, data.length);
    };
    put(SETUP, bytes.subarray(0, setupBytes));
    put(SETUP + SETUP_STACK, new TextEncoder().encode(`${commandLine}\0`));
    put(HIGH, bytes.subarray(setupBytes));
    for (const name of segmentNames.slice(0, 6)) {
      const selector = (SETUP >> 4) + (name === "cs" ? 0x20 : 0);
      setSegment(cpu, name, {
        selector,
        attributes: name === "cs" ? 0x9b : 0x93,
        limit: 0xffff,
        base: BigInt(selector << 4),
      });
    }
    setRegister(cpu, "rsp", BigInt(SETUP_STACK));
    view.setBigUint64(at("RIP"), 0n, true);
    view.setUint32(at("HALTED"), 0, true);
    cpu.rflags = 2n;
    cpu.reload();
  }

  press(scanCodes: readonly number[]): void {
    this.#board.keyboard.press(Uint8Array.from(scanCodes));
  }

  /** The text screen, a line each. */
  get screen(): string {
    const { cells, columns } = this.#board.vga.screen();
    return Array.from({ length: cells.length / 2 }, (_, k) => {
      const letter = cells[2 * k]!;
      return (
        (letter >= 32 && letter < 127 ? String.fromCharCode(letter) : " ") +
        ((k + 1) % columns === 0 ? "\n" : "")
      );
    }).join("");
  }

  #end(why: string): void {
    this.#ended ??= why;
    this.cpu.stop();
  }
  #now(): number {
    this.#last = Math.max(this.#last + 1, this.cpu.retired * NS_PER_INSTRUCTION + this.#skipped);
    return this.#last;
  }

  #host(): CpuHost {
    const isConfiguration = (port: number): boolean => port >= FW_CFG_FIRST && port <= FW_CFG_LAST;
    return {
      ioRead: (port, size) =>
        port === DEBUG_PORT
          ? DEBUG_THERE
          : (isConfiguration(port) ? this.#configuration : this.#board.ports).read(port, size),
      ioWrite: (port, size, value) => {
        if (port === DEBUG_PORT) this.debug += String.fromCharCode(value & 0xff);
        else (isConfiguration(port) ? this.#configuration : this.#board.ports).write(port, size, value);
      },
      mmioRead: (address, size) => {
        if (address < this.#romAt) return this.#board.mmio.read(address, size);
        let value = 0;
        for (let k = 0; k < size; k++) value += (this.#rom[address - this.#romAt + k] ?? 0xff) * 2 ** (8 * k);
        return value;
      },
      mmioWrite: (address, size, value) => this.#board.mmioWrite(address, size, value),
      tsc: () => this.#now(),
      acknowledgeInterrupt: () => this.#board.acknowledgeInterrupt(),
      random32: () => 4,
      readCr8: () => this.#board.readCr8(),
      writeCr8: (value) => this.#board.writeCr8(value),
      writeTscDeadline: (ticks) => this.#board.writeTscDeadline(ticks),
      writeApicBase: (value) => this.#board.writeApicBase(value),
    };
  }
}

/** Whole sectors of an image, the last one filled up with zeros. A request ends the slice: firmware polls for the answer. */
function diskOf(image: Uint8Array, onRequest: () => void): Disk {
  const bytes = new Uint8Array(Math.ceil(image.length / 512) * 512);
  bytes.set(image);
  return {
    sizeBytes: bytes.length,
    readOnly: false,
    read: (offset, length) => {
      onRequest();
      return Promise.resolve(bytes.slice(offset, offset + length));
    },
    write: (offset, written) => {
      onRequest();
      bytes.set(written, offset);
      return Promise.resolve();
    },
    flush: () => Promise.resolve(),
    discard: (offset, length) => {
      bytes.fill(0, offset, offset + length);
      return Promise.resolve();
    },
  };
}

/** "etc/e820" of QEMU's firmware configuration: u64 address, u64 length, u32 type (1: RAM) for each range. */
function memoryMap(memoryMiB: number): Uint8Array {
  const entry = new DataView(new ArrayBuffer(20));
  entry.setBigUint64(8, BigInt(memoryMiB) << 20n, true);
  entry.setUint32(16, 1, true);
  return new Uint8Array(entry.buffer);
}
