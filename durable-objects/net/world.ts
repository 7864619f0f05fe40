/**
 * The border of the TCP/IP stack: what it asks of the shell that hosts it, and in what words. The stack is pure: frames,
 * calls and times go in, calls of `World` come out, at once and in order. It knows no clock, no socket and no timer; every
 * method that can matter to a timer takes `nowMs`, milliseconds of any clock that never goes back, and `pollAt()` says when
 * `onTime` wants to be called. The same stack runs in the Tunnel object, in the page, in the relay and in tests.
 */

/** A TCP flow between the guest and the world. Named by the stack, never used twice by one stack. */
export type FlowId = number;
/** A DNS question that waits for its answer. */
export type QueryId = number;

/** An IP address as text: dotted decimal, or RFC 5952 for IPv6. */
export type Address = string;
export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

/** Where a guest's flow wants to go. `name` is what the guest asked DNS for when it was told this address, if it did. */
export interface FlowTarget extends Endpoint {
  readonly name?: string;
  /** The guest's own end. */
  readonly from: Endpoint;
}

/**
 * Why a flow does not come to be, and what the guest sees: `refused` an RST; `unreachable` an ICMP host unreachable
 * (type 3 code 1) and an RST; `prohibited` an ICMP communication administratively prohibited (type 3 code 13; ICMPv6 type 1
 * code 1) and an RST; `timeout` an ICMP host unreachable.
 */
export type Refusal = "refused" | "unreachable" | "prohibited" | "timeout";

/** What the stack asks of its host. A call never calls back into the stack before it returns. */
export interface World {
  /** An Ethernet frame without FCS for the guest's LAN. The bytes belong to the callee from now on. */
  transmit(frame: Uint8Array): void;
  /** The guest sent a SYN. Answered later by `Stack.dialed` or `Stack.refused`; the guest's SYN waits until then. */
  dial(flow: FlowId, target: FlowTarget): void;
  /** Bytes of the guest, in order. They count against the guest's window until `Stack.written` says they are gone. */
  send(flow: FlowId, bytes: Uint8Array): void;
  /** The guest has sent FIN and everything before it has been given to `send`: half-close the way out. */
  finish(flow: FlowId): void;
  /** The flow is over and the guest will hear no more of it: reset, timed out, or both sides closed. The last call for this flow. */
  closed(flow: FlowId, why: "done" | "reset" | "timeout"): void;
  /** `Stack.room(flow)` has grown to at least half of the send buffer after having been less. */
  roomy(flow: FlowId): void;
  /** A flow that the host opened to the guest with `Stack.open` is established. A failure arrives as `closed`. */
  opened(flow: FlowId): void;
  /** A DNS question in wire format (RFC 1035), by UDP or TCP. Answered by `Stack.answer`. */
  resolve(query: QueryId, message: Uint8Array): void;
  /**
   * A UDP datagram that none of the LAN's own services takes, and what DNS told the guest that its destination is called.
   * Answered by `Stack.datagram` or `Stack.unreachable`, or not at all. `payload` is a view on the guest's frame.
   */
  datagram(from: Endpoint, to: Endpoint & { readonly name?: string }, payload: Uint8Array): void;
  /** The guest says by ICMP that nobody takes datagrams at its end `from` of this conversation. Absent: nobody wants to know. */
  unheard?(from: Endpoint, to: Endpoint): void;
}

/** Payload that several stacks in one place hold together, in bytes. */
export interface HeldTogether {
  /** Waits to be acknowledged by guests. */
  send: number;
  /** Is on its way to the world, or came out of order. */
  receive: number;
}

/** The LAN that the stack presents, and its bounds. Defaults: `lan.ts`. */
export interface StackConfig {
  /** Six bytes. */
  readonly gatewayMac: Uint8Array;
  readonly gateway: Address;
  readonly prefixLength: number;
  /** First address of the DHCP pool; the first guest gets it. */
  readonly firstLease: Address;
  readonly leases: number;
  /** Of the link, without the Ethernet header: 1500. */
  readonly mtu: number;
  /**
   * The longest IP packet with a TCP segment, in either direction; the MTU at least. More where the other end of the link
   * cuts what is longer than the MTU, or hands it on whole: what segmentation offload is to a card.
   */
  readonly segmentBytes: number;
  /** Global /64 for router advertisements, RFC 4291 text ("fd00:7669:7267::"); absent: no IPv6 on this LAN. */
  readonly ipv6Prefix?: string;
  /** 32 bytes of secret for initial sequence numbers (RFC 6528) and for nothing else. */
  readonly secret: Uint8Array;
  /** Milliseconds since 1970 at `nowMs` = 0, for NTP and DHCP. */
  readonly epochMs: number;
  readonly domain: string;
  readonly maxFlows: number;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  /** The bounds of what a stack holds are those of all stacks with this one. Absent: its own. */
  readonly held?: HeldTogether;
}

/** One flow as the network panel and the metrics show it. Bytes of payload; times of the stack's clock. */
export interface FlowView {
  readonly id: FlowId;
  readonly target: FlowTarget;
  readonly direction: "out" | "in";
  readonly state: string;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly rttMs: number | null;
}

/** The stack as its host sees it; `stack.ts` is the implementation. */
export interface NetworkStack {
  /** Bytes that it keeps: for the guest, for the world, and of fragments. For metrics and tests of bounds. */
  readonly counts: {
    readonly sendHeld: number;
    readonly receiveHeld: number;
    readonly reassembling: number;
  };
  /** Nobody uses this stack any more: what it holds is gone. No other call comes after. */
  discard(): void;
  onFrame(frame: Uint8Array, nowMs: number): void;
  onTime(nowMs: number): void;
  /** When `onTime` is wanted, in the same clock; undefined: not before something happens. */
  pollAt(): number | undefined;

  dialed(flow: FlowId, nowMs: number): void;
  refused(flow: FlowId, why: Refusal, nowMs: number): void;
  /** The host opens a flow to a port of the guest (a published port). Null: too many flows, or no guest on the LAN yet. */
  open(to: Endpoint, from: Endpoint, nowMs: number): FlowId | null;
  /** How many bytes `deliver` takes now. More is refused by an assertion: it is the host's bug. */
  room(flow: FlowId): number;
  /** Bytes of the world for the guest. The stack keeps the view; the caller does not change it afterwards. */
  deliver(flow: FlowId, bytes: Uint8Array, nowMs: number): void;
  /** The world took `count` bytes of what `World.send` gave: the guest's window opens by as much. */
  written(flow: FlowId, count: number, nowMs: number): void;
  /** The world has closed its way in: FIN to the guest after what was delivered. */
  ended(flow: FlowId, nowMs: number): void;
  /** The world broke the connection: RST to the guest. */
  reset(flow: FlowId, nowMs: number): void;
  answer(query: QueryId, message: Uint8Array, nowMs: number): void;
  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array, nowMs: number): void;
  /** Tells the guest by ICMP that a datagram it sent will not arrive. */
  unreachable(from: Endpoint, to: Endpoint, why: "port" | "prohibited", nowMs: number): void;
  /** The IPv4 address of the machine with this hardware address (six bytes); null: it has not spoken yet. */
  addressOf(mac: Uint8Array): Address | null;
  /** Whether a machine has this address. If that is not known, all are asked: look again soon. */
  seek(address: Address, nowMs: number): boolean;
  flows(): Iterable<FlowView>;
}
