/** Ethernet II (IEEE 802.3 clause 3): two addresses and a type. Not modelled: VLAN tags, LLC. */
export const ETHERNET_BYTES = 14;

export const etherTypes = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;

/** A hardware address is a number of 48 bits: quick to compare and to keep. */
export type Mac = number;
export const BROADCAST_MAC: Mac = 0xffff_ffff_ffff;

export const readMac = (view: DataView, at: number): Mac =>
  view.getUint16(at) * 0x1_0000_0000 + view.getUint32(at + 2);

export function writeMac(view: DataView, at: number, mac: Mac): void {
  view.setUint16(at, Math.floor(mac / 0x1_0000_0000));
  view.setUint32(at + 2, mac >>> 0);
}

export function macBytes(mac: Mac): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(6);
  writeMac(new DataView(bytes.buffer), 0, mac);
  return bytes;
}

/** The lowest bit of the first byte: a group. */
export const isGroupMac = (mac: Mac): boolean => (Math.floor(mac / 2 ** 40) & 1) === 1;

export function writeEthernet(view: DataView, at: number, to: Mac, from: Mac, type: number): void {
  writeMac(view, at, to);
  writeMac(view, at + 6, from);
  view.setUint16(at + 12, type);
}
