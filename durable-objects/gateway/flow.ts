import type { RefusalCode } from "#protocol/tunnel-notices.ts";
import type { Endpoint, Refusal } from "../net/world.ts";

/**
 * A way out for byte streams, as everything behind the gateway's doors sees it: the TCP/IP stack, the stream multiplexers
 * and the one-connection socket. Bounded in both directions: `write` is answered by `onWritten`, and nothing arrives that
 * `grant` has not asked for.
 */
export interface Egress {
  /** Never calls `sink` before it returns. */
  dial(to: Destination, sink: FlowSink): Outflow;
}

export interface Destination {
  /** A name, or an address as text. An address is dialled as it is, once the policy has seen it. */
  readonly host: string;
  readonly port: number;
  /** What DNS told the guest that this address is called. */
  readonly name?: string;
}

/** Why there is no connection: what the guest's stack sees, a code for metrics and panels, and a sentence for people. */
export interface Refused {
  readonly refusal: Refusal;
  readonly code: RefusalCode;
  readonly sentence: string;
}

/** What a connection tells the one who dialled. After `onRefused` or `onBroken` it says no more; after both ends only what has become of the bytes that were on their way. */
export interface FlowSink {
  onOpen(): void;
  /** A relay says it late, after `onOpen`. */
  onRefused(why: Refused): void;
  /** At most as many bytes as were granted; the array belongs to the sink. */
  onBytes(bytes: Uint8Array): void;
  /** The world has finished its direction. */
  onEnd(): void;
  onBroken(): void;
  /** The world took so many bytes of what `write` gave. */
  onWritten(count: number): void;
}

/** The dialler's end of a connection. Calls after its end are ignored. */
export interface Outflow {
  /** Allowed from the start; kept until the connection is there. The caller bounds what is unwritten. */
  write(bytes: Uint8Array): void;
  /** No more writes: half-close after what was written. */
  finish(): void;
  /** Both directions, now. The sink hears nothing more. */
  abort(): void;
  /** So many more bytes may arrive. */
  grant(bytes: number): void;
}

/** One end of a conversation in the world. `name`: what DNS told the guest that its address is called. */
export interface NamedEndpoint extends Endpoint {
  readonly name?: string;
}

/**
 * What a conversation of datagrams, between one port of the guest and one of the world, has come to. `refused` says of a
 * datagram what `send` would have answered, had it been known in time, once per conversation.
 */
export type DatagramEvent =
  | { readonly kind: "opened"; readonly from: Endpoint; readonly to: NamedEndpoint }
  | { readonly kind: "refused"; readonly from: Endpoint; readonly to: NamedEndpoint; readonly why: Refused }
  | {
      readonly kind: "closed";
      readonly from: Endpoint;
      readonly to: NamedEndpoint;
      readonly sentBytes: number;
      readonly receivedBytes: number;
    };

/** Never called from inside `send`. */
export interface DatagramSink {
  /** `from` is the world's end, `to` the guest's. */
  onReply(from: Endpoint, to: Endpoint, payload: Uint8Array): void;
  onEvent(event: DatagramEvent): void;
}

/** Datagrams that are no service of the LAN. `from` and `to` are the guest's and the world's ends. */
export interface DatagramEgress {
  /** The guest does not listen at its end of this conversation any more. Absent: there is nothing to forget. */
  unheard?(from: Endpoint, to: Endpoint): void;
  /** Refusal: there is no way for this datagram. Null: it is on its way, or lost as datagrams may be. */
  send(from: Endpoint, to: NamedEndpoint, payload: Uint8Array): Refused | null;
  close(): void;
}
export type OpenDatagrams = (sink: DatagramSink) => DatagramEgress;

/** A refusal that is no prohibition: the guest hears that nobody is at that port. */
export const noUdp: Refused = {
  refusal: "refused",
  code: "no-udp",
  sentence: "Datagrams other than DNS and NTP need a relay of the operator.",
};
