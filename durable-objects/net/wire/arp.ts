import { type Mac, readMac, writeMac } from "./ethernet.ts";

/** Address resolution for IPv4 over Ethernet (RFC 826). */
export const ARP_BYTES = 28;
export const arpOperations = { request: 1, reply: 2 } as const;

export interface Arp {
  readonly operation: number;
  readonly senderMac: Mac;
  /** IPv4 addresses as signed words, like `Ip.d`. */
  readonly sender: number;
  readonly target: number;
}

/** Null: too short, or not IPv4 over Ethernet. */
export function readArp(view: DataView, start: number, end: number): Arp | null {
  if (end - start < ARP_BYTES) return null;
  // Hardware type 1, protocol type 0x0800, sizes 6 and 4.
  if (view.getUint32(start) !== 0x0001_0800 || view.getUint16(start + 4) !== 0x0604) return null;
  return {
    operation: view.getUint16(start + 6),
    senderMac: readMac(view, start + 8),
    sender: view.getInt32(start + 14),
    target: view.getInt32(start + 24),
  };
}

export function writeArp(view: DataView, at: number, arp: Arp, targetMac: Mac): void {
  view.setUint32(at, 0x0001_0800);
  view.setUint16(at + 4, 0x0604);
  view.setUint16(at + 6, arp.operation);
  writeMac(view, at + 8, arp.senderMac);
  view.setInt32(at + 14, arp.sender);
  writeMac(view, at + 18, targetMac);
  view.setInt32(at + 24, arp.target);
}
