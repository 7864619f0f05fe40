import type { Failure } from "../protocol/failure.ts";
import type { NetworkState } from "../protocol/network-messages.ts";
import type { TunnelNotice } from "../protocol/tunnel-notices.ts";

/** What an uplink tells the service that plugged it in. None of these is called from inside a call of the uplink. */
export interface UplinkEvents {
  /** Frames for the LAN, in order. The service answers for each with `Uplink.consumed` when it has a place. */
  frames(frames: readonly Uint8Array[]): void;
  /** `hasRoom` has become true. */
  roomy(): void;
  state(state: NetworkState, failure?: Failure, retryInMs?: number): void;
  notice(notice: TunnelNotice): void;
}

/** The way from the LAN to the world: a tunnel, or a stack in this page. */
export interface Uplink {
  /** Whether `send` takes a frame of any length now. */
  readonly hasRoom: boolean;
  readonly rttMs: number | null;
  start(): void;
  /** Takes a frame when there is room, drops it else. The array belongs to the uplink from now on. */
  send(frame: Uint8Array): void;
  /** The end of a turn: what waits may go. */
  flush(): void;
  /** So many bytes of frames have found their place. */
  consumed(frame: Uint8Array): void;
  /** A person, or the browser's `online` event, says that it is worth a try. */
  reconnect(): void;
  close(): void;
}
