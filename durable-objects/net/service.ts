import type { Address, Endpoint, QueryId } from "./world.ts";

/**
 * What the stack asks of the services of the LAN: DHCP, DNS, NTP. They are pure like the stack itself and are given to
 * its constructor, so that a host may leave one out and a test may give its own.
 */

/** A UDP service of the gateway itself. Pure: answers through `reply`, asks nothing else of the stack. */
export interface UdpService {
  readonly port: number;
  onDatagram(
    from: Endpoint,
    to: Endpoint,
    payload: Uint8Array,
    nowMs: number,
    reply: (payload: Uint8Array) => void,
  ): void;
}

/** A DHCP answer: to the client's hardware address and `toAddress`, or to everyone when `broadcast`. */
export interface DhcpAnswer {
  readonly payload: Uint8Array;
  readonly broadcast: boolean;
  readonly toAddress: Address;
}

/** The DHCP server (RFC 2131): messages to UDP port 67 of the gateway or of everyone, with the MAC address they came from. */
export interface DhcpService {
  onMessage(message: Uint8Array, clientMac: Uint8Array, nowMs: number): DhcpAnswer | null;
}

/** The DNS resolver behind UDP and TCP port 53 of the gateway. Messages are RFC 1035's, without the length of TCP. */
export interface DnsService {
  /**
   * Answers at once from its cache or later, after `World.resolve` and `onAnswer`; perhaps never. An answer over UDP, which
   * is what the absence of `transport` means, is cut to what the asker and the path take.
   */
  ask(
    message: Uint8Array,
    nowMs: number,
    answer: (message: Uint8Array) => void,
    transport?: "udp" | "tcp",
  ): void;
  /** What the world answered to a question that `World.resolve` was given. */
  onAnswer(query: QueryId, message: Uint8Array, nowMs: number): void;
  /** The name that the guest was told this address for, if it is still remembered. */
  nameOf(address: Address): string | undefined;
}

export interface Services {
  readonly dhcp?: DhcpService;
  readonly dns?: DnsService;
  readonly udp?: readonly UdpService[];
}
