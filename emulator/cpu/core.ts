/**
 * The CPU core as the board sees it: one WebAssembly instance over one linear memory that also holds guest RAM.
 * Places in the memory are those of assembly/layout.ts.
 */

import { defaultProcessor, type ProcessorName } from "../protocol/processor.ts";
import { MODEL_BYTES, modelImage } from "./models.ts";

/** What the core asks of the board while it runs. All calls are synchronous. Addresses are guest-physical, below 4 GiB. */
export interface CpuHost {
  /** Size 1, 2 or 4; the value is unsigned. */
  ioRead(port: number, size: number): number;
  ioWrite(port: number, size: number, value: number): void;
  /** Everything that is not RAM. Size 1, 2 or 4 (8-byte accesses arrive as two). */
  mmioRead(address: number, size: number): number;
  mmioWrite(address: number, size: number, value: number): void;
  /** Time-stamp counter, in ticks since power-on (an integer below 2^53). */
  tsc(): number;
  /** INTA cycle: the vector to deliver, or -1 when the interrupt went away. */
  acknowledgeInterrupt(): number;
  /** 32 random bits, for RDRAND and RDSEED. */
  random32(): number;
  /** CR8 and the local APIC's TPR are one register; CR8 is TPR >> 4. */
  readCr8(): number;
  writeCr8(value: number): void;
  /** IA32_TSC_DEADLINE, in ticks; 0 disarms. */
  writeTscDeadline(ticks: number): void;
  /** IA32_APIC_BASE was written. */
  writeApicBase(value: number): void;
}

/** Why `run` returned. */
export const RunExit = {
  budget: 0,
  halted: 1,
  tripleFault: 2,
  stopped: 3,
  breakpoint: 4,
  watchpoint: 5,
} as const;
export type RunExit = (typeof RunExit)[keyof typeof RunExit];

/** Where a debugger outside the guest stops it. Addresses are linear. */
export type DebugPoint =
  | { readonly kind: "execute"; readonly address: bigint }
  | { readonly kind: "read" | "write" | "access"; readonly address: bigint; readonly length: number };

export interface WatchHit {
  /** The point that was hit. */
  readonly point: DebugPoint;
  /** The first watched byte that was accessed. */
  readonly address: bigint;
  readonly writes: boolean;
}

const WATCH_KINDS = { read: 1, write: 2, access: 3 } as const;

const PAGE = 65536;
export const RAM_BASE = 0x500_0000;
/** Video memory follows guest RAM; the host finds no page of it before it is touched. */
export const VIDEO_BYTES = 0x100_0000;
const VIDEO_DIRTY = 0xb_0000;
const VIDEO_PAGE = 4096;
const STATE = 0x1000;
const MODEL = STATE + 0x1000;
const INTR = STATE + 0xb0;
const NMI = STATE + 0xb4;
const SMI = STATE + 0xe0;
const RETIRED = STATE + 0xa8;
const RIP = STATE + 0x98;

/** The functions that the wasm module exports. */
export interface CoreExports {
  /** Power-on state (SDM 3A §10.1.4, table 10-1) for RAM of so many bytes; empties every cache. */
  reset(ramBytes: number): void;
  /** Runs until about so many instructions have retired; RunExit. */
  run(instructions: number): number;
  /** Ends the current `run` at the next block boundary: called by the board from inside a callback. */
  stop(): void;
  /** The board or a device wrote guest RAM: decoded code there is stale. */
  invalidate(address: number, length: number): void;
  /** Recomputes what is derived from CRs, segments and EFER (mode, banks, TLBs) after the state was written from outside. */
  reload(): void;
  /** The display's memory answers at an address, the legacy window for so many bytes of it from `bank` on (-1: the board). */
  placeVideo(at: number, size: number, window: number, bank: number): void;
  /** Address bit 20 is let through (1) or is 0. */
  setA20(open: number): void;
  /** A0000h-BFFFFh are RAM: 1 in system-management mode, 3 always, 0 never. */
  setSmram(open: number): void;
  /** Stores to video memory are noted anew. */
  watchVideo(): void;
  /** Runs the one instruction at RIP, holding external interrupts back; RunExit. */
  step(): number;
  /** Delivers an interrupt that waits, running nothing; 0 while halted. */
  admit(): number;
  /** A debugger's points, given anew when one changes: none, then each. Kinds: 1 read, 2 write, 3 both; 0 = no room. */
  clearPoints(): void;
  addBreakpoint(address: bigint): number;
  addWatchpoint(address: bigint, length: number, kind: number): number;
  /** What the last run hit: the number of the watchpoint or -1, and the access. */
  watchHit(): number;
  watchAddress(): bigint;
  watchWrites(): number;
  /** RFLAGS with the lazy flags made true, and the other way round. */
  readRflags(): bigint;
  writeRflags(value: bigint): void;
}

export interface CpuOptions {
  readonly module: WebAssembly.Module;
  /** The model; `defaultProcessor` when absent. */
  readonly processor?: ProcessorName;
  readonly memoryMiB: number;
  readonly host: CpuHost;
  /** Shared memory, where the page is cross-origin isolated. */
  readonly shared: boolean;
}

export class Cpu {
  readonly memory: WebAssembly.Memory;
  readonly ram: Uint8Array;
  readonly video: Uint8Array;
  /** Per 4 KiB of video memory: 1 where the guest has stored since `watchVideo`. */
  readonly videoDirty: Uint8Array;
  readonly view: DataView;
  readonly #core: CoreExports;
  readonly #words: Int32Array;
  #watches: readonly DebugPoint[] = [];

  /** Throws RangeError when the host has no room for the memory. */
  constructor({ module, processor = defaultProcessor, memoryMiB, host, shared }: CpuOptions) {
    const ramBytes = memoryMiB * 2 ** 20;
    const pages = (RAM_BASE + ramBytes + VIDEO_BYTES) / PAGE;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared: shared });
    this.ram = new Uint8Array(this.memory.buffer, RAM_BASE, ramBytes);
    this.video = new Uint8Array(this.memory.buffer, RAM_BASE + ramBytes, VIDEO_BYTES);
    this.videoDirty = new Uint8Array(this.memory.buffer, VIDEO_DIRTY, VIDEO_BYTES / VIDEO_PAGE);
    this.view = new DataView(this.memory.buffer);
    this.#words = new Int32Array(this.memory.buffer, 0, 0x4000 / 4);
    const instance = new WebAssembly.Instance(module, {
      env: {
        memory: this.memory,
        abort: (_message: number, _file: number, line: number, column: number) => {
          throw new Error(`the CPU core aborted at ${line}:${column}`);
        },
        ...imports(host),
      },
    });
    this.#core = instance.exports as unknown as CoreExports;
    new Uint8Array(this.memory.buffer, MODEL, MODEL_BYTES).set(modelImage(processor));
    this.#core.reset(ramBytes);
  }

  run(instructions: number): RunExit {
    return this.#core.run(instructions) as RunExit;
  }
  /** One instruction, with the exception that it raises; no interrupt from outside. */
  step(): RunExit {
    return this.#core.step() as RunExit;
  }
  /** Takes an interrupt that waits, if it may be taken now, and runs nothing. False while the processor is halted. */
  admit(): boolean {
    return this.#core.admit() !== 0;
  }
  stop(): void {
    this.#core.stop();
  }
  /** Replaces all breakpoints and watchpoints, between runs. Returns how many of them there was room for, from the first. */
  setPoints(points: readonly DebugPoint[]): number {
    this.#core.clearPoints();
    this.#watches = points.filter(({ kind }) => kind !== "execute");
    const full = points.findIndex((point) =>
      point.kind === "execute"
        ? !this.#core.addBreakpoint(point.address)
        : !this.#core.addWatchpoint(point.address, point.length, WATCH_KINDS[point.kind]),
    );
    return full < 0 ? points.length : full;
  }
  /** Why the last run ended with RunExit.watchpoint. */
  get watchHit(): WatchHit | undefined {
    const point = this.#watches[this.#core.watchHit()];
    return point && { point, address: this.#core.watchAddress(), writes: this.#core.watchWrites() !== 0 };
  }
  reset(): void {
    this.#core.reset(this.ram.length);
  }
  reload(): void {
    this.#core.reload();
  }
  invalidate(address: number, length: number): void {
    this.#core.invalidate(address, length);
  }
  /** Where video memory answers, and so many bytes of it from `bank` on at A0000h; a bank of -1 leaves these to the board. */
  placeVideo(place: { at: number; size: number; window: number; bank: number }): void {
    this.#core.placeVideo(place.at, place.size, place.window, place.bank);
  }
  watchVideo(): void {
    this.#core.watchVideo();
  }
  get rflags(): bigint {
    return this.#core.readRflags();
  }
  set rflags(value: bigint) {
    this.#core.writeRflags(value);
  }
  get rip(): bigint {
    return this.view.getBigUint64(RIP, true);
  }
  /** Instructions retired since reset. */
  get retired(): number {
    return Number(this.view.getBigUint64(RETIRED, true));
  }
  setInterruptPin(level: boolean): void {
    this.#words[INTR >> 2] = level ? 1 : 0;
  }
  raiseNmi(): void {
    this.#words[NMI >> 2] = 1;
  }
  /** A system-management interrupt; one waits while another is being handled. */
  raiseSmi(): void {
    this.#words[SMI >> 2] = 1;
  }
  /** The chipset's gate of address bit 20. */
  setA20(open: boolean): void {
    this.#core.setA20(open ? 1 : 0);
  }
  /** When A0000h-BFFFFh are the RAM of system-management mode rather than the display's. */
  setSmram(open: "never" | "managing" | "always"): void {
    this.#core.setSmram({ never: 0, managing: 1, always: 3 }[open]);
  }
}

function imports(host: CpuHost): Record<string, (...values: number[]) => number | void> {
  return {
    ioRead: (port, size) => host.ioRead(port, size),
    ioWrite: (port, size, value) => host.ioWrite(port, size, value >>> 0),
    mmioRead: (address, size) => host.mmioRead(address >>> 0, size),
    mmioWrite: (address, size, value) => host.mmioWrite(address >>> 0, size, value >>> 0),
    tsc: () => host.tsc(),
    acknowledgeInterrupt: () => host.acknowledgeInterrupt(),
    random32: () => host.random32(),
    readCr8: () => host.readCr8(),
    writeCr8: (value) => host.writeCr8(value),
    writeTscDeadline: (ticks) => host.writeTscDeadline(ticks),
    writeApicBase: (value) => host.writeApicBase(value >>> 0),
  };
}
