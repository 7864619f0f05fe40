/** Ethernet II (IEEE 802.3 §3.2.6): destination, source, type; no FCS. */
export const ETHERNET_BYTES = 14;
export const MAC_BYTES = 6;
export const etherTypes = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
export const BROADCAST = new Uint8Array(6).fill(0xff);

export function writeEthernet(frame: Uint8Array, to: Uint8Array, from: Uint8Array, type: number): void {
  frame.set(to, 0);
  frame.set(from, 6);
  frame[12] = type >>> 8;
  frame[13] = type & 255;
}

/** Whether a frame is for this station: its own address, or a group that it may belong to. */
export function isFor(frame: Uint8Array, mac: Uint8Array): boolean {
  if ((frame[0]! & 1) === 1) return true;
  for (let at = 0; at < MAC_BYTES; at++) if (frame[at] !== mac[at]) return false;
  return true;
}
