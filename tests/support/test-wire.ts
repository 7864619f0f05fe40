import type { Wire } from "../../emulator/devices/ethernet/network-card.ts";

/** The network end of a card under test: what the card sent, and what it will find. */
export class TestWire implements Wire {
  readonly sent: Uint8Array[] = [];
  readonly waiting: Uint8Array<ArrayBuffer>[] = [];
  /** Frames that still fit. */
  room = Infinity;

  send(frame: Uint8Array): boolean {
    if (this.sent.length >= this.room) return false;
    this.sent.push(frame.slice());
    return true;
  }
  receive(): Uint8Array<ArrayBuffer> | null {
    return this.waiting.shift() ?? null;
  }
}

export interface TestSegment {
  readonly payload: Uint8Array;
  readonly sequence?: number;
  readonly flags?: number;
  readonly version?: 4 | 6;
  readonly udp?: boolean;
  readonly to?: readonly number[];
  readonly port?: number;
}

/** RFC 1071, the slow way: an implementation of its own, so that it can judge. */
export function internetChecksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i]! * 256 + (bytes[i + 1] ?? 0);
  while (sum > 65535) sum = (sum & 65535) + Math.floor(sum / 65536);
  return 65535 - sum;
}

const word = (value: number): number[] => [(value >>> 8) & 255, value & 255];
const long = (value: number): number[] => [...word(value >>> 16), ...word(value)];

/** A frame with a TCP segment or a UDP datagram whose checksums are right. */
export function testFrame({
  payload,
  sequence = 1000,
  flags = 0x10,
  version = 4,
  udp = false,
  to = [0x52, 0x54, 0, 0x12, 0x34, 0x56],
  port = 80,
}: TestSegment): Uint8Array<ArrayBuffer> {
  const head = udp
    ? [...word(port), ...word(4000), ...word(8 + payload.length), 0, 0]
    : [...word(port), ...word(4000), ...long(sequence), ...long(77), 0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0];
  const transport = [...head, ...payload];
  const protocol = udp ? 17 : 6;
  const addresses =
    version === 4
      ? [10, 0, 2, 2, 10, 0, 2, 15]
      : [0xfd, ...Array<number>(14).fill(0), 1, 0xfd, ...Array<number>(14).fill(0), 2];
  const sum = internetChecksum([...addresses, ...long(transport.length), 0, protocol, ...transport]);
  transport.splice(udp ? 6 : 16, 2, ...word(sum === 0 && udp ? 0xffff : sum));
  const ip =
    version === 4
      ? [0x45, 0, ...word(20 + transport.length), 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, ...addresses]
      : [0x60, 0, 0, 0, ...word(transport.length), protocol, 64, ...addresses];
  if (version === 4) ip.splice(10, 2, ...word(internetChecksum(ip)));
  return Uint8Array.from([
    ...to,
    2,
    0,
    0,
    0,
    0,
    1,
    ...(version === 4 ? [8, 0] : [0x86, 0xdd]),
    ...ip,
    ...transport,
  ]);
}
