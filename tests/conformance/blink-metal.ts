/**
 * blink's test/metal: programs in a boot sector and the sectors behind it. This board has no firmware, so that the few BIOS
 * services that they ask for are answered here, from outside the guest: a program's interrupt leads to a stub that writes to a port.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { RunExit } from "../../emulator/cpu/core.ts";
import { at, getRegister, makeCpu, setRegister, setSegment } from "../support/cpu-bench.ts";
import { type Suite, Tally } from "./suite.ts";

const BOOT = 0x7c00,
  SECTOR = 512,
  STUBS = 0xf_e000,
  DISKETTE_TABLE = 0xf_efc7;
/** The interrupts that are answered, each by a write to the port of its number. */
const SERVICES = [0x10, 0x13, 0x1a];
const LIMIT = 100_000_000;
/** Guest time by instructions: the clock test waits for seconds of it. */
const INSTRUCTIONS_PER_SECOND = 1_000_000,
  TICKS_PER_SECOND = 1_193_182 / 65_536;
/** A disk of 40 tracks of 8 sectors on one side. */
const TRACKS = 40,
  SECTORS = 8;
/** The call that ends a program well, which is exit_group(0) of the suite's own emulator. */
const EXIT_GROUP = 231n;

/** Their last part expects a ROM. */
const NEED_ROM = ["ssemov", "string"];

const bcd = (value: number): number => (Math.floor(value / 10) << 4) | (value % 10);

class MetalMachine {
  readonly #cpu = makeCpu(1, { ioWrite: (port) => this.#serve(port) });
  readonly #image: Uint8Array;

  constructor(image: Uint8Array) {
    this.#image = image;
    const { ram, view } = this.#cpu;
    const words = new DataView(ram.buffer, ram.byteOffset);
    for (let vector = 0; vector < 256; vector++) {
      // A service: out vector, al; iret. Any other interrupt: hlt.
      const stub = STUBS + 8 * vector;
      words.setUint16(4 * vector, stub & 0xffff, true);
      words.setUint16(4 * vector + 2, 0xf000, true);
      ram.set(SERVICES.includes(vector) ? [0xe6, vector, 0xcf] : [0xf4], stub);
    }
    words.setUint16(4 * 0x1e, DISKETTE_TABLE & 0xffff, true);
    ram.set([0xdf, 0x02, 0x25, 0x02, SECTORS, 0x2a, 0xff, 0x50, 0xf6, 0x0f, 0x08], DISKETTE_TABLE);
    // Conventional memory in KiB.
    words.setUint16(0x413, 639, true);
    ram.set(image.subarray(0, SECTOR), BOOT);
    for (const name of ["cs", "ss", "ds", "es"] as const)
      setSegment(this.#cpu, name, {
        selector: 0,
        attributes: name === "cs" ? 0x9b : 0x93,
        limit: 0xffff,
        base: 0n,
      });
    setRegister(this.#cpu, "rsp", BigInt(BOOT));
    setRegister(this.#cpu, "rdx", 0n);
    view.setBigUint64(at("CR0"), 0x10n, true);
    view.setBigUint64(at("RIP"), BigInt(BOOT), true);
    this.#cpu.rflags = 0x202n;
    this.#cpu.reload();
  }

  /** Runs to the end; what was wrong. */
  judge(): string[] {
    const cpu = this.#cpu;
    let exit: RunExit = RunExit.budget;
    while (exit === RunExit.budget && cpu.retired < LIMIT) exit = cpu.run(100_000);
    const place = cpu.rip.toString(16);
    if (exit !== RunExit.tripleFault)
      return [exit === RunExit.halted ? `it halts at ${place}` : `no end at ${place}`];
    // The end drops its interrupt table and makes the call, which is undefined here and so shuts the processor down.
    const [call, status] = [getRegister(cpu, "rax"), getRegister(cpu, "rdi") & 0xffff_ffffn];
    const code = cpu.view.getUint16(
      at("RAM_BASE") + Number(cpu.view.getBigUint64(at("CS") + 8, true) + cpu.rip),
      true,
    );
    return code === 0x050f && (call & 0xffff_ffffn) === EXIT_GROUP && status === 0n
      ? []
      : [`shut down at ${place}, EAX ${call.toString(16)}`];
  }

  #byte(register: "rax" | "rcx" | "rdx" | "rbx", high: boolean): number {
    return Number((getRegister(this.#cpu, register) >> (high ? 8n : 0n)) & 0xffn);
  }
  #word(register: "rax" | "rcx" | "rdx" | "rdi", value: number): void {
    const rest = getRegister(this.#cpu, register) & ~0xffffn;
    setRegister(this.#cpu, register, rest | BigInt(value & 0xffff));
  }
  /** Carry in the flags that IRET will load. */
  #carry(set: boolean): void {
    const { view } = this.#cpu;
    const stack = Number(view.getBigUint64(at("SS") + 8, true) + (getRegister(this.#cpu, "rsp") & 0xffffn));
    const flags = at("RAM_BASE") + stack + 4;
    view.setUint16(flags, (view.getUint16(flags, true) & ~1) | (set ? 1 : 0), true);
  }

  /** The port is the interrupt's number. What INT 10h is to show, nobody reads. */
  #serve(vector: number): void {
    if (vector === 0x13) this.#disk();
    else if (vector === 0x1a) this.#clock();
  }

  #disk(): void {
    const cpu = this.#cpu,
      service = this.#byte("rax", true);
    if (service === 2) {
      const sector = this.#byte("rcx", true) * SECTORS + (this.#byte("rcx", false) & 0x3f) - 1;
      const bytes = this.#byte("rax", false) * SECTOR;
      const to = Number(cpu.view.getBigUint64(at("ES") + 8, true) + (getRegister(cpu, "rbx") & 0xffffn));
      const data = new Uint8Array(bytes);
      data.set(this.#image.subarray(sector * SECTOR, sector * SECTOR + bytes));
      cpu.ram.set(data, to);
      cpu.invalidate(to, bytes);
      this.#word("rax", bytes / SECTOR);
    } else if (service === 8) {
      this.#word("rax", 0);
      this.#word("rcx", ((TRACKS - 1) << 8) | SECTORS);
      this.#word("rdx", 1);
      this.#word("rdi", DISKETTE_TABLE & 0xffff);
      setSegment(cpu, "es", { selector: 0xf000, attributes: 0x93, limit: 0xffff, base: 0xf_0000n });
    } else this.#word("rax", 0);
    this.#carry(service !== 0 && service !== 2 && service !== 8);
  }

  #clock(): void {
    const seconds = this.#cpu.retired / INSTRUCTIONS_PER_SECOND;
    if (this.#byte("rax", true) === 0) {
      const ticks = Math.floor(seconds * TICKS_PER_SECOND);
      this.#word("rax", 0);
      this.#word("rcx", ticks >>> 16);
      this.#word("rdx", ticks);
    } else {
      this.#word("rcx", bcd(Math.floor(seconds / 60) % 60));
      this.#word("rdx", bcd(Math.floor(seconds) % 60) << 8);
    }
    this.#carry(false);
  }
}

const about = { name: "blink-metal", origin: "repository jart/blink, f006a4f (2025-12-10), boot sectors" };
export const blinkMetal: Suite = {
  ...about,
  folder: "blink/metal",
  run(folder) {
    const tally = new Tally();
    if (!folder || !existsSync(folder)) {
      tally.skip("the suite is absent");
      return tally.result(about);
    }
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".bin"))) {
      const name = file.replace(".bin", "");
      if (NEED_ROM.includes(name))
        tally.notApplicable(
          name,
          "stores to F0000h are to be lost, and this board has RAM everywhere below 1 MiB",
        );
      else tally.judge(name, new MetalMachine(readFileSync(join(folder, file))).judge());
    }
    return tally.result(about);
  },
};
