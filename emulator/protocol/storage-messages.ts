import type { Failure, Outcome } from "./failure.ts";
import type { DiskDefinition } from "./machine-definition.ts";

/** Machine worker → storage worker, over one port per disk (or boot file). Offsets and lengths in bytes, multiples of 512 on disks. */
export type DiskRequest =
  | { readonly id: number; readonly type: "read"; readonly offset: number; readonly length: number }
  | { readonly id: number; readonly type: "write"; readonly offset: number; readonly bytes: Uint8Array }
  /** Answered when everything written before it is durable on this device. */
  | { readonly id: number; readonly type: "flush" }
  | { readonly id: number; readonly type: "discard"; readonly offset: number; readonly length: number };
/** `bytes` is there for reads only. A read that cannot be had yet is simply not answered: the machine waits. */
export type DiskReply = { readonly id: number; readonly outcome: Outcome<{ readonly bytes?: Uint8Array }> };

/** Page → storage worker. */
export type StorageCommand =
  | {
      readonly type: "open";
      /** Names the overlay and the trace: `<slug>` or `<slug>/<n>`. */
      readonly disk: string;
      readonly source: DiskDefinition;
      /** False for boot files: no overlay. */
      readonly writable: boolean;
      readonly port: MessagePort;
      /** The boot entry, whose first-touch trace guides the prefetch. */
      readonly boot: string;
    }
  | { readonly type: "close"; readonly disk: string }
  /** Tries again at once whatever waits for the network. */
  | { readonly type: "retry" }
  /** Forgets the overlay of a disk that is not open. */
  | { readonly type: "reset-overlay"; readonly disk: string }
  /**
   * Sends the disk (base and overlay) as a raw file into the port: one Uint8Array piece for every message that the
   * receiver posts there, then null; a Failure instead of either ends it.
   */
  | {
      readonly type: "export";
      readonly disk: string;
      readonly source: DiskDefinition;
      readonly port: MessagePort;
    };

/** Counters since the worker started, in stored bytes and chunks. `fetchedBytes` includes `prefetchedBytes` and manifests. */
export interface StorageStats {
  readonly fetchedBytes: number;
  readonly prefetchedBytes: number;
  readonly requests: number;
  /** Chunk reads answered from memory or this device, and all chunk reads. */
  readonly cacheHits: number;
  readonly chunkReads: number;
  readonly overlayBytes: number;
  readonly verifiedBytes: number;
}

/** One event of the rain: where on the disk (0-1), and where its bytes came from. */
export type TouchKind = "fetched" | "ahead" | "cached" | "written" | "failed";
export interface Touch {
  readonly position: number;
  readonly kind: TouchKind;
}

export type StorageState = "idle" | "fetching" | "offline" | "refetching";

/** Storage worker → page. */
export type StorageNotice =
  | {
      readonly type: "opened";
      readonly disk: string;
      readonly sizeBytes: number;
      readonly storedBytes: number;
      readonly persistent: boolean;
      readonly overlayBytes: number;
    }
  | { readonly type: "open-failed"; readonly disk: string; readonly failure: Failure }
  | {
      readonly type: "state";
      /** With a failure but without `retryInMs`, it waits for `retry`. */
      readonly state: StorageState;
      readonly failure?: Failure;
      readonly retryInMs?: number;
    }
  | { readonly type: "stats"; readonly stats: StorageStats; readonly touches: readonly Touch[] }
  | { readonly type: "overlay-reset"; readonly disk: string; readonly outcome: Outcome<null> };
