import type { RunExit, Cpu } from "../cpu/core.ts";
import type { GuestMemory } from "../bus/guest-memory.ts";
import type { Failure, Outcome } from "../protocol/failure.ts";
import type { FrameLink } from "../protocol/frame-link.ts";
import type { NicModel, NicProfile } from "../protocol/machine-definition.ts";
import type { Stall } from "../protocol/machine-messages.ts";
import type { ProcessorName } from "../protocol/processor.ts";
import type { BlockDevice } from "../storage/block-device.ts";
import type { ScreenEvents } from "./screen-watch.ts";

/** What the machine needs from where it runs. */
export interface MachineHost {
  /** Monotonic, ns. */
  nowNs(): number;
  /** Resolves after the event loop has had a turn. */
  yieldToHost(): Promise<void>;
  /** Sleeps without using the processor, so many ms (Infinity: until woken), or until `wake` is called. */
  sleep(ms: number): { readonly done: Promise<void>; wake(): void };
  random32(): number;
}

export interface BootFiles {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
}

export type MachineState = "starting" | "running" | "paused" | "off";
/** How a machine ended. `reset` only where the machine is told to stop there. */
export type MachineEnd =
  | { readonly reason: "power-off" | "reset" }
  | { readonly reason: "failed"; readonly failure: Failure };

/** What the machine tells; every one of them may be called from inside the run loop and must return soon. */
export interface MachineEvents extends ScreenEvents {
  state(state: MachineState): void;
  serial(bytes: Uint8Array): void;
  stalled?(stall: Stall | null): void;
  failed(failure: Failure): void;
  log?(level: "error" | "warn" | "info" | "debug", message: string): void;
}

/** A network card and the machine's end of its wire. */
export interface MachineNic {
  readonly model: NicModel;
  readonly profile?: NicProfile | undefined;
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly link: FrameLink;
}

export interface MachineOptions {
  readonly module: WebAssembly.Module;
  readonly shared: boolean;
  readonly memoryMiB: number;
  /** `defaultProcessor` when absent. */
  readonly processor?: ProcessorName;
  readonly disks: readonly BlockDevice[];
  /** At most four. */
  readonly nics?: readonly MachineNic[];
  /** Asked at every power-on and reset, so that nobody keeps the files. */
  readonly loadBootFiles: () => Promise<Outcome<BootFiles>>;
  readonly commandLine: string;
  readonly wallClockMs: number;
  readonly terminal?: { readonly columns: number; readonly rows: number };
  /** A graphics mode to start in, as firmware would set it; text when absent. */
  readonly screen?: { readonly width: number; readonly height: number };
  /** Deterministic guest time. */
  readonly nsPerInstruction?: number;
  readonly onGuestReset?: "boot" | "end";
  /** Waits at the first instruction for `resume`: somebody debugs the start. */
  readonly startPaused?: boolean;
  /** How a slice runs, instead of `cpu.run`: a tracer steps. Called like it. */
  readonly runSlice?: (cpu: Cpu, memory: GuestMemory, instructions: number) => RunExit;
  readonly host: MachineHost;
  readonly events: MachineEvents;
}
