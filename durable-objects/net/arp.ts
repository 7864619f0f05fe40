import { BROADCAST, ETHERNET_BYTES, etherTypes, writeEthernet } from "./wire/ethernet.ts";

/** ARP (RFC 826) for IPv4 over Ethernet. */
export const ARP_BYTES = 28;
const REQUEST = 1,
  REPLY = 2;
const HEAD = [0, 1, 8, 0, 6, 4, 0];

export interface ArpMessage {
  readonly operation: number;
  readonly senderMac: Uint8Array;
  readonly sender: Uint8Array;
  readonly target: Uint8Array;
}

export function parseArp(frame: Uint8Array): ArpMessage | null {
  const at = ETHERNET_BYTES;
  if (frame.length < at + ARP_BYTES || !HEAD.every((byte, index) => frame[at + index] === byte)) return null;
  return {
    operation: frame[at + 7]!,
    senderMac: frame.subarray(at + 8, at + 14),
    sender: frame.subarray(at + 14, at + 18),
    target: frame.subarray(at + 24, at + 28),
  };
}

function write(
  to: Uint8Array,
  operation: number,
  mac: Uint8Array,
  address: Uint8Array,
  toMac: Uint8Array,
  target: Uint8Array,
) {
  const frame = new Uint8Array(ETHERNET_BYTES + ARP_BYTES);
  writeEthernet(frame, to, mac, etherTypes.arp);
  const at = ETHERNET_BYTES;
  frame.set(HEAD, at);
  frame[at + 7] = operation;
  frame.set(mac, at + 8);
  frame.set(address, at + 14);
  frame.set(toMac, at + 18);
  frame.set(target, at + 24);
  return frame;
}

/** The answer to a request for our address, which a probe of it (RFC 5227: sender 0.0.0.0) is too; else null. */
export function answerArp(
  message: ArpMessage,
  mac: Uint8Array,
  address: Uint8Array,
): Uint8Array<ArrayBuffer> | null {
  const isOurs = message.target.every((byte, at) => byte === address[at]);
  if (message.operation !== REQUEST || !isOurs) return null;
  return write(message.senderMac, REPLY, mac, address, message.senderMac, message.sender);
}

export const askArp = (mac: Uint8Array, address: Uint8Array, target: Uint8Array): Uint8Array<ArrayBuffer> =>
  write(BROADCAST, REQUEST, mac, address, new Uint8Array(6), target);
