/** What the relay and its WebRTC thread say to each other. Bytes that are under way are counted in shared memory. */
export interface WebRtcOptions {
  /** Addresses that clients are told of beside the machine's own: its public one behind a NAT, or a loopback for tests. */
  readonly addresses?: readonly string[];
  /** UDP ports, first and last, for firewalls; absent: any. */
  readonly ports?: readonly [number, number];
}

export interface ThreadStart {
  readonly options: WebRtcOptions;
  /** Two numbers of 32 bits: bytes on their way to the thread, and from it. */
  readonly underWay: SharedArrayBuffer;
}
export const Way = { toThread: 0, fromThread: 1 } as const;
/** In each direction, of all sessions. More is dropped. */
export const UNDER_WAY_BYTES = 4 * 2 ** 20;

export type ToThread =
  | { readonly type: "offer"; readonly session: number; readonly sdp: string }
  | { readonly type: "datagram"; readonly session: number; readonly bytes: Uint8Array }
  | { readonly type: "close"; readonly session: number };

export type FromThread =
  /** Null: the offer is none. */
  | { readonly type: "answer"; readonly session: number; readonly sdp: string | null }
  | { readonly type: "open"; readonly session: number }
  | { readonly type: "datagram"; readonly session: number; readonly bytes: Uint8Array }
  /** The last word about a session. */
  | { readonly type: "closed"; readonly session: number };
