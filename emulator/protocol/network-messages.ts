import type { Failure } from "./failure.ts";
import type { FrameLinkEnd } from "./frame-link.ts";
import type { RefusalCode, TunnelNotice } from "./tunnel-notices.ts";

/** What a stack in the page needs beside its way out. */
export interface PageStack {
  /** DNS over HTTPS (RFC 8484). */
  readonly dnsUrl: string;
  /** Where a session for these is had; absent: they are not of this site and want none. */
  readonly sessionUrl?: string;
}

/** How frames of the machine's card reach the world. */
export type NetworkPath =
  /** Frames go to the Tunnel object, which terminates TCP and dials out. URLs are of our origin, or absolute. */
  | {
      readonly kind: "tunnel";
      readonly tunnelUrl: string;
      readonly sessionUrl: string;
      /** Invite of a LAN room that other people's machines join too. */
      readonly invite?: string;
    }
  /** The stack runs in the page; its connections go through a relay's one WebSocket (`aero-tcp-mux-v1`, or Wisp version 1). */
  | ({ readonly kind: "tcp-mux" | "wisp"; readonly relayUrl: string } & PageStack)
  /** The stack runs in the page; plain HTTP is made by the browser's `fetch()`, nothing else leaves. */
  | ({ readonly kind: "fetch" } & PageStack)
  /** A card with the cable out. */
  | { readonly kind: "off" };

/** Page → network worker. */
export type NetworkCommand =
  | {
      readonly type: "start";
      readonly path: NetworkPath;
      /** The network's end of the machine's card: `frame-ring.ts`. */
      readonly link: FrameLinkEnd;
      /** Name of a switch that machines in other tabs of this browser share; absent: alone. */
      readonly room?: string;
    }
  /** Ends the connection and makes a new one now. */
  | { readonly type: "reconnect" }
  | { readonly type: "cable"; readonly connected: boolean }
  | { readonly type: "capture"; readonly on: boolean }
  /** Answered by a notice of the same type. */
  | { readonly type: "capture-file" };

export type NetworkState =
  | "off"
  | "connecting"
  | "online"
  /** The socket is gone; flows wait for it. */
  | "reconnecting"
  /** The server does not want us, or there is none; it is asked again only when a person says so. */
  | "refused";

/** One connection of the guest, as the panel lists it. */
export interface FlowRow {
  readonly id: number;
  /** The name that the guest asked for, else the address. */
  readonly host: string;
  readonly port: number;
  readonly direction: "out" | "in";
  /** Absent: TCP. */
  readonly protocol?: "udp";
  readonly state: "opening" | "open" | "closed" | "refused";
  /** Payload in bytes, from the guest and to it. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Why it was refused, or how it ended. */
  readonly reason?: RefusalCode | "done" | "reset" | "timeout";
  /** What the gateway says beyond the code. */
  readonly problem?: string;
}

/** Payload of Ethernet frames at the card since the start, and over the last period. */
export interface NetworkStats {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
  readonly droppedFrames: number;
  /** Round trip to the tunnel, ms; null while unknown. */
  readonly rttMs: number | null;
  readonly capture: { readonly frames: number; readonly bytes: number; readonly dropped: number } | null;
}

/** Network worker → page. */
export type NetworkNotice =
  | {
      readonly type: "state";
      readonly state: NetworkState;
      readonly failure?: Failure;
      readonly retryInMs?: number;
    }
  /** Newest first, at most `FLOW_ROWS`. */
  | { readonly type: "flows"; readonly flows: readonly FlowRow[] }
  /** What the tunnel says of itself, as it came. */
  | {
      readonly type: "tunnel";
      readonly notice: Extract<TunnelNotice, { type: "quota" | "names" | "policy" | "ports" | "limits" }>;
    }
  | { readonly type: "stats"; readonly stats: NetworkStats }
  | { readonly type: "capture-file"; readonly bytes: Uint8Array };

/** How many connections the panel remembers. */
export const FLOW_ROWS = 100;
