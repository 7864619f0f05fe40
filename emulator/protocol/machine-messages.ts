import type { Failure } from "./failure.ts";
import type { FrameLinkEnd } from "./frame-link.ts";
import type { BootEntry, NicModel, NicProfile } from "./machine-definition.ts";
import type { ProcessorName } from "./processor.ts";

/** A network card as the page plugs it in. Its cable is connected at power-on. */
export interface NicOrder {
  readonly model: NicModel;
  readonly profile?: NicProfile | undefined;
  /** Six bytes: the machine's own, the same at every start. */
  readonly mac: Uint8Array;
  /** The machine's end of the wire: its `port`, if it has one, is transferred. */
  readonly link: FrameLinkEnd;
}

/** What the machine worker needs to power on. Disks and boot files are read through ports to the storage worker. */
export interface PowerOn {
  readonly type: "power-on";
  readonly memoryMiB: number;
  readonly processor?: ProcessorName;
  readonly boot: BootEntry;
  /** One port per disk, in order; each speaks `storage-messages.ts`. */
  readonly disks: readonly {
    readonly port: MessagePort;
    readonly sizeBytes: number;
    readonly readOnly: boolean;
  }[];
  readonly kernel: { readonly port: MessagePort; readonly sizeBytes: number };
  readonly initrd?: { readonly port: MessagePort; readonly sizeBytes: number };
  /** At most four. */
  readonly nics?: readonly NicOrder[];
  /** Milliseconds since 1970 at power-on, for the real-time clock. */
  readonly wallClockMs: number;
  readonly log: "error" | "warn" | "info" | "debug";
  /** Sizes of the terminal, for the guest's `stty`. */
  readonly columns?: number;
  readonly rows?: number;
  /** A graphics mode that firmware would have set; text when absent. */
  readonly screen?: { readonly width: number; readonly height: number };
}

/** What the guest's display shows now. */
export type ScreenMode =
  | { readonly kind: "text" }
  | { readonly kind: "graphics"; readonly width: number; readonly height: number };

/** Whole rows of RGBA pixels that have changed, from row `first` on. */
export interface FrameBand {
  readonly first: number;
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
}
/** What has changed on a graphics screen since the last frame. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly bands: readonly FrameBand[];
}

/** What a hand did with the mouse: counts since the last one, down and right positive; bits of left, right and middle button. */
export interface MouseMove {
  readonly dx: number;
  readonly dy: number;
  readonly wheel: number;
  readonly buttons: number;
}

/** Page → machine worker. */
export type Command =
  | PowerOn
  | { readonly type: "serial"; readonly bytes: Uint8Array }
  /** PS/2 set 1 scan codes from the screen. */
  | { readonly type: "keyboard"; readonly scanCodes: Uint8Array }
  /** Pulls or plugs the cable of a network card, which the guest notices. */
  | { readonly type: "cable"; readonly nic: number; readonly connected: boolean }
  | ({ readonly type: "mouse" } & MouseMove)
  /** The page can show one more frame; with `whole`, it has no picture yet. */
  | { readonly type: "frame-wanted"; readonly whole: boolean }
  | { readonly type: "pause" }
  | { readonly type: "resume" }
  /** Of a machine that is paused; both are answered by an inspection. The address is what a person typed, or "" for RIP. */
  | { readonly type: "inspect"; readonly address: string }
  | { readonly type: "step" }
  | { readonly type: "reset" }
  /** Presses the ACPI power button; the guest shuts down by itself. */
  | { readonly type: "power-button" }
  /** Pulls the plug after flushing nothing: what the guest has flushed stays. */
  | { readonly type: "power-off" };

/** Why a machine that is on does not run guest code now. */
export type Stall = { readonly on: "disk"; readonly sinceMs: number; readonly offset: number };

/** The processor of a machine that is paused, as text. */
export interface InspectionNotice {
  readonly type: "inspection";
  /** Size of the code. */
  readonly bits: 16 | 32 | 64;
  /** The processor waits for an interrupt: a step does nothing. */
  readonly halted: boolean;
  /** Hexadecimal. */
  readonly registers: readonly { readonly name: string; readonly value: string }[];
  readonly code: readonly {
    readonly address: string;
    readonly bytes: string;
    readonly text: string;
    /** The instruction that runs next. */
    readonly current: boolean;
  }[];
  /** Why the code is not at the address that was asked for; "" when it is. */
  readonly problem: string;
}

/** Measured since power-on. Rates cover the time since the last notice. */
export interface MachineStats {
  readonly instructions: number;
  /** Guest instructions per second of the last period, in millions. */
  readonly mips: number;
  /** Share of the last period in which the guest was halted, 0-1. */
  readonly idle: number;
  /** Guest time, ms: stops while the machine is paused or stalled. */
  readonly guestMs: number;
  readonly stalledMs: number;
  readonly diskReads: number;
  readonly diskWrites: number;
  /** By network card, since the guest's last reset. */
  readonly network: readonly NicCounters[];
}

/** Frames and bytes as the guest's driver sent and got them; `dropped` of both directions. */
export interface NicCounters {
  readonly sentFrames: number;
  readonly sentBytes: number;
  readonly receivedFrames: number;
  readonly receivedBytes: number;
  readonly dropped: number;
}

/** Machine worker → page. */
export type Notice =
  | { readonly type: "state"; readonly state: "starting" | "running" | "paused" | "off" }
  /** What is happening before the guest says anything: "Reading the kernel, 4.1 of 9.8 MB". */
  | { readonly type: "progress"; readonly sentence: string }
  | { readonly type: "serial"; readonly bytes: Uint8Array }
  /** VGA text screen, when it changed: 80x25 cells of character and attribute. */
  | {
      readonly type: "text-screen";
      readonly columns: number;
      readonly rows: number;
      readonly cells: Uint8Array;
      readonly cursor: number;
    }
  | { readonly type: "screen-mode"; readonly mode: ScreenMode }
  | ({ readonly type: "frame" } & Frame)
  | { readonly type: "stalled"; readonly stall: Stall | null }
  | { readonly type: "stats"; readonly stats: MachineStats }
  | InspectionNotice
  | { readonly type: "log"; readonly level: "error" | "warn" | "info" | "debug"; readonly message: string }
  | { readonly type: "failed"; readonly failure: Failure };
