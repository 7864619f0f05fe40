/** Where a ROM of system streams runs: on the core, in Bochs and in QEMU's TCG. All give the bytes that it writes to port E9h. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RunExit } from "../../emulator/cpu/core.ts";
import { at, makeCpu } from "../support/cpu-bench.ts";
import { END_MARK, long } from "./machine-code.ts";

/** A stream's fields in hex, in the order of its ROM's `fields`. */
export type Dump = readonly string[];
/** By stream number; a stream that shut the processor down has none. */
export type Dumps = ReadonlyMap<number, Dump>;

/** How streams of one kind become a ROM, and its output dumps. */
export interface SystemRom<S> {
  makeRom(streams: readonly S[]): Uint8Array;
  readonly fields: readonly string[];
  readDumps(output: Buffer): Dumps;
}

/** What another machine, or the core, made of a ROM; not ended where it hung in a stream. */
export interface Output {
  readonly bytes: Buffer;
  readonly ended: boolean;
}

/** Dumps are a stream's number, a mark, and so many fields of 4 or 8 bytes. */
export function readMarked(
  output: Buffer,
  mark: number,
  count: number,
  fieldBytes: 4 | 8,
): Map<number, Dump> {
  const dumps = new Map<number, Dump>(),
    pattern = Buffer.from(long(mark)),
    size = 8 + fieldBytes * count;
  for (let place = output.indexOf(pattern); place >= 4; place = output.indexOf(pattern, place + size - 4)) {
    const start = place - 4,
      field = (k: number): string =>
        fieldBytes === 4
          ? output.readUInt32LE(start + 8 + 4 * k).toString(16)
          : output.readBigUInt64LE(start + 8 + 8 * k).toString(16);
    if (start + size > output.length) break;
    dumps.set(
      output.readUInt32LE(start),
      Array.from({ length: count }, (_, k) => field(k)),
    );
  }
  return dumps;
}

const asOutput = (bytes: Buffer): Output => ({ bytes, ended: bytes.includes(Buffer.from(END_MARK)) });

const TOP = 2 ** 32;
/** A stream and what prepares it take less than 200,000 instructions. */
const SLICE = 1_000_000;
/** Where the last 128 KiB of the ROM are seen below 1 MiB. */
const LOW_ROM = { at: 0xe_0000, bytes: 0x2_0000 } as const;
/** Every dump is longer. */
const LOOK_BYTES = 64;

/**
 * Runs the ROM on the core, without devices: port E9h is heard, all others read as ones. A triple fault resets. Below 1 MiB the
 * core has the ROM as RAM; what a stream has written to it is taken back while its dump goes out.
 */
export function runHere(rom: Uint8Array): Output {
  const output: number[] = [];
  const low = TOP - rom.length;
  let taskPriority = 0;
  const cpu = makeCpu(4, {
    ioWrite: (port, _size, value) => {
      if (port !== 0xe9) return;
      output.push(value & 255);
      if (output.length % LOOK_BYTES === 0) restore();
    },
    readCr8: () => taskPriority,
    writeCr8: (value) => {
      taskPriority = value;
    },
    mmioRead: (address, size) => {
      let value = 0;
      for (let k = size - 1; k >= 0; k--)
        value = value * 256 + (address < low ? 255 : rom[address + k - low]!);
      return value;
    },
  });
  const content = rom.subarray(-LOW_ROM.bytes),
    seen = cpu.ram.subarray(LOW_ROM.at, LOW_ROM.at + LOW_ROM.bytes);
  const restore = (): void => {
    if (Buffer.compare(seen, content) === 0) return;
    seen.set(content);
    cpu.invalidate(LOW_ROM.at, LOW_ROM.bytes);
  };
  restore();
  let exit: RunExit = RunExit.tripleFault;
  for (let slices = 0; slices < 20 + rom.length / 1400; slices++) {
    if (exit === RunExit.tripleFault) {
      cpu.reset();
      // Where a display would answer, nothing does.
      cpu.placeVideo({ at: 0, size: 0, window: 0x2_0000, bank: -1 });
      cpu.view.setBigUint64(at("SEGMENTS") + 0x28, 0xf_0000n, true);
      cpu.reload();
    } else if (exit !== RunExit.budget) break;
    exit = cpu.run(SLICE);
  }
  return asOutput(Buffer.from(output));
}

/** Streams of one ROM that may shut the processor down. */
const MOST_RESETS = 5000;

/** Another machine, in a folder of its own. */
abstract class Judge {
  protected readonly folder = mkdtempSync(join(tmpdir(), "virga-judge-"));
  abstract readonly name: string;
  /** It leaves things out: see judge-rules.ts. */
  readonly isPartial: boolean = false;
  /** Processor time that one run may take: several times what a ROM of a thousand streams needs. */
  protected readonly cpuSeconds: number = 15;
  /** Processor time that its runs have taken. */
  cpuMicroseconds = 0;

  protected file(name: string): string {
    return join(this.folder, name);
  }
  /** The command that runs rom.bin and writes port E9h's bytes to its standard output. */
  protected abstract command(): readonly string[];

  run(rom: Uint8Array): Output {
    writeFileSync(this.file("rom.bin"), rom);
    // The shell limits processor time, which a busy machine does not shorten, and tells what its children took; a machine that only
    // waits ends by the clock.
    const script = `ulimit -t ${this.cpuSeconds}; timeout 600 "$@"; times >&2`;
    const ran = spawnSync("sh", ["-c", script, "sh", ...this.command()], {
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 1 << 28,
      timeout: 630_000,
    });
    const times = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(ran.stderr.toString("latin1"));
    if (times)
      this.cpuMicroseconds +=
        1e6 * (60 * (Number(times[1]) + Number(times[3])) + Number(times[2]) + Number(times[4]));
    return asOutput(ran.stdout);
  }
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
export type { Judge };

export class Bochs extends Judge {
  readonly name: string;

  /** Throws where Bochs is not installed. */
  constructor() {
    super();
    const help = execFileSync("bochs", ["--help"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      input: "",
    });
    this.name = `Bochs ${/Bochs x86 Emulator ([\d.]+)/.exec(help)?.[1] ?? "of an unknown version"}`;
    writeFileSync(this.file("vga.bin"), new Uint8Array(0x8000));
    // Debian's Bochs has its debugger: a reset ends the command that continues.
    writeFileSync(this.file("go"), "c\n".repeat(MOST_RESETS));
    const lines = [
      "config_interface: textconfig",
      'display_library: rfb, options="timeout=0"',
      "megs: 16",
      "cpu: model=corei7_icelake_u, count=1, ips=50000000, reset_on_triple_fault=1, ignore_bad_msrs=0",
      `romimage: file=${this.file("rom.bin")}`,
      `vgaromimage: file=${this.file("vga.bin")}`,
      "boot: floppy",
      "port_e9_hack: enabled=1",
      "sound: driver=dummy",
      "speaker: enabled=0",
      "plugin_ctrl: speaker=0, biosdev=0, parallel=0, serial=0, gameport=0, iodebug=0, extfpuirq=0",
      `log: ${this.file("log")}`,
      "panic: action=fatal",
    ];
    writeFileSync(this.file("machine"), `${lines.join("\n")}\n`);
  }
  protected command(): readonly string[] {
    return ["bochs", "-q", "-f", this.file("machine"), "-rc", this.file("go")];
  }
}

export class Qemu extends Judge {
  readonly name: string;
  override readonly isPartial = true;
  // It is quick, and hangs where the page tables are not in memory.
  protected override readonly cpuSeconds = 4;

  /** Throws where QEMU is not installed. */
  constructor() {
    super();
    const version = execFileSync("qemu-system-x86_64", ["--version"], { encoding: "utf8" });
    this.name = `QEMU TCG ${/version ([\d.]+)/.exec(version)?.[1] ?? "of an unknown version"}`;
  }
  protected command(): readonly string[] {
    const options =
      "-accel tcg,thread=single -cpu max,vendor=GenuineIntel -m 16 -nodefaults -no-user-config -display none -chardev stdio,id=out,signal=off " +
      "-device isa-debugcon,iobase=0xe9,chardev=out -device isa-debug-exit,iobase=0xf4,iosize=1 -bios";
    return ["qemu-system-x86_64", ...options.split(" "), this.file("rom.bin")];
  }
}
