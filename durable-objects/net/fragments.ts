import type { Packet } from "./wire/ip.ts";

/**
 * Reassembly (RFC 791 §3.2, RFC 8200 §4.5) within bounds: so many datagrams, so many bytes, so long. Pieces that overlap end
 * their datagram (RFC 5722 demands it for IPv6; nobody honest does it in IPv4).
 */
export const fragmentLimits = { datagrams: 16, piecesEach: 64, bytes: 512 * 1024, keepMs: 30_000 } as const;
const MAX_PAYLOAD = 65_535;

interface Datagram {
  readonly key: string;
  readonly firstMs: number;
  readonly pieces: { readonly offset: number; readonly bytes: Uint8Array }[];
  bytes: number;
  total: number | undefined;
}

export class Fragments {
  readonly #waiting = new Map<string, Datagram>();
  #bytes = 0;

  /** Bytes that are held. */
  get size(): number {
    return this.#bytes;
  }

  /** The whole payload when this was its last missing piece; else null. */
  add(packet: Packet, nowMs: number): Uint8Array<ArrayBuffer> | null {
    const { fragment, frame, start, end } = packet;
    if (!fragment) return null;
    this.#expire(nowMs);
    const key = `${packet.source.join()} ${packet.destination.join()} ${packet.protocol} ${fragment.id}`;
    const length = end - start;
    const isBad =
      length === 0 || (!fragment.isLast && length % 8 !== 0) || fragment.offset + length > MAX_PAYLOAD;
    const known = this.#waiting.get(key);
    if (isBad) return this.#forget(known);
    const datagram = known ?? this.#open(key, nowMs);
    if (datagram.pieces.length >= fragmentLimits.piecesEach || overlaps(datagram, fragment.offset, length))
      return this.#forget(datagram);
    this.#makeRoom(length, datagram);
    datagram.pieces.push({ offset: fragment.offset, bytes: frame.slice(start, end) });
    datagram.bytes += length;
    this.#bytes += length;
    if (fragment.isLast) datagram.total = fragment.offset + length;
    if (datagram.bytes !== datagram.total) return null;
    this.#forget(datagram);
    const whole = new Uint8Array(datagram.bytes);
    for (const { offset, bytes } of datagram.pieces) whole.set(bytes, offset);
    return whole;
  }

  #open(key: string, nowMs: number): Datagram {
    if (this.#waiting.size >= fragmentLimits.datagrams) this.#forget(this.#waiting.values().next().value);
    const datagram: Datagram = { key, firstMs: nowMs, pieces: [], bytes: 0, total: undefined };
    this.#waiting.set(key, datagram);
    return datagram;
  }

  #makeRoom(bytes: number, keep: Datagram): void {
    for (const datagram of this.#waiting.values()) {
      if (this.#bytes + bytes <= fragmentLimits.bytes) return;
      if (datagram !== keep) this.#forget(datagram);
    }
  }

  #expire(nowMs: number): void {
    for (const datagram of this.#waiting.values())
      if (nowMs - datagram.firstMs > fragmentLimits.keepMs) this.#forget(datagram);
  }

  #forget(datagram: Datagram | undefined): null {
    if (datagram && this.#waiting.delete(datagram.key)) this.#bytes -= datagram.bytes;
    return null;
  }
}

/** Also true for what lies behind a known end, or is a second end. */
function overlaps({ pieces, total }: Datagram, offset: number, length: number): boolean {
  if (total !== undefined && offset + length > total) return true;
  return pieces.some((piece) => offset < piece.offset + piece.bytes.length && piece.offset < offset + length);
}
