import { fail, ok, type Failure, type Outcome } from "../protocol/failure.ts";
import type { MachineStats, Stall } from "../protocol/machine-messages.ts";
import type { BlockDevice } from "../storage/block-device.ts";
import { createMachine, type Machine } from "./machine.ts";
import type { MachineEnd, MachineHost, MachineNic, MachineOptions } from "./machine-options.ts";
import type { Picture } from "./screen-watch.ts";

/** The same machine without a page: for the command line, tests and measurements. */
export interface HeadlessOptions {
  /** The core: build/wasm/cpu.wasm, or cpu-plain.wasm, whose memory is not shared. */
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly shared: boolean;
  readonly memoryMiB: number;
  readonly processor?: MachineOptions["processor"];
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly commandLine: string;
  readonly disks: readonly BlockDevice[];
  readonly nics?: readonly MachineNic[];
  readonly host: MachineHost;
  /** Milliseconds since 1970. */
  readonly wallClockMs: number;
  readonly onSerial: (bytes: Uint8Array) => void;
  readonly onFailure?: (failure: Failure) => void;
  readonly onStall?: (stall: Stall | null) => void;
  readonly onLog?: (level: string, message: string) => void;
  readonly terminal?: { readonly columns: number; readonly rows: number };
  /** A graphics mode to start in; text when absent. */
  readonly screen?: { readonly width: number; readonly height: number };
  /** Deterministic guest time: the same input gives the same instructions. */
  readonly nsPerInstruction?: number;
  readonly startPaused?: boolean;
  readonly runSlice?: MachineOptions["runSlice"];
  /** Default "end": a guest that reboots ends the run. */
  readonly onGuestReset?: "boot" | "end";
}

export interface Headless {
  readonly machine: Machine;
  readonly done: Promise<MachineEnd>;
  sendSerial(bytes: Uint8Array): void;
  pause(): void;
  /** Goes on, and asks again for what has failed. */
  resume(): void;
  pressPowerButton(): void;
  powerOff(): void;
  stats(): MachineStats;
  /** What the screen shows now. */
  picture(): Picture;
}

export async function runHeadless(options: HeadlessOptions): Promise<Outcome<Headless>> {
  const module = new WebAssembly.Module(options.wasm);
  const { kernel, initrd } = options;
  const created = createMachine({
    module,
    shared: options.shared,
    memoryMiB: options.memoryMiB,
    ...(options.processor && { processor: options.processor }),
    disks: options.disks,
    ...(options.nics && { nics: options.nics }),
    loadBootFiles: async () => ok(initrd ? { kernel, initrd } : { kernel }),
    commandLine: options.commandLine,
    wallClockMs: options.wallClockMs,
    ...(options.terminal && { terminal: options.terminal }),
    ...(options.screen && { screen: options.screen }),
    ...(options.nsPerInstruction !== undefined && { nsPerInstruction: options.nsPerInstruction }),
    ...(options.startPaused && { startPaused: true }),
    ...(options.runSlice && { runSlice: options.runSlice }),
    onGuestReset: options.onGuestReset ?? "end",
    host: options.host,
    events: {
      state: () => {},
      serial: options.onSerial,
      failed: (failure) => options.onFailure?.(failure),
      ...(options.onStall && { stalled: options.onStall }),
      ...(options.onLog && { log: options.onLog }),
    },
  });
  if (!created.ok) return created;
  const machine = created.value;
  const started = await machine.start();
  if (!started.ok) return fail(started.failure);
  return ok({
    machine,
    done: machine.done,
    sendSerial: (bytes) => machine.sendSerial(bytes),
    pause: () => machine.pause(),
    resume: () => machine.resume(),
    pressPowerButton: () => machine.pressPowerButton(),
    powerOff: () => machine.powerOff(),
    stats: () => machine.stats(),
    picture: () => machine.picture,
  });
}
