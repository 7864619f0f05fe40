import type { IpHeader } from "./wire/ipv4.ts";
import { IPV6_BYTES } from "./wire/ipv6.ts";

/** RFC 791 §3.2 and RFC 8200 §4.5, within bounds: what is over them is dropped, the oldest datagram first. */
export const reassemblyLimits = {
  datagrams: 16,
  /** Of all datagrams that wait. */
  bytes: 262_144,
  fragments: 64,
  datagramBytes: 65_535,
  /** RFC 1122 §3.3.2 and RFC 8200 §4.5 say 60 s. */
  waitMs: 60_000,
} as const;

interface Piece {
  readonly offset: number;
  readonly bytes: Uint8Array;
}
interface Partial {
  readonly since: number;
  readonly pieces: Piece[];
  /** Of the payload, once the last fragment is here; -1 before. */
  total: number;
  held: number;
  /** Fragments overlapped: the rest of them are dropped too (RFC 5722 §3). */
  isBad: boolean;
}

/** A datagram in a buffer of its own. */
export interface Whole {
  readonly view: DataView;
  readonly header: IpHeader;
}

export class Reassembly {
  readonly #partials = new Map<string, Partial>();
  #held = 0;

  get heldBytes(): number {
    return this.#held;
  }

  /** Takes a fragment; the datagram when it is whole now. */
  add(view: DataView, header: IpHeader, nowMs: number): Whole | null {
    this.#expire(nowMs);
    const length = header.end - header.payload;
    const end = header.fragmentOffset + length;
    // Every fragment but the last is a multiple of 8, and none is empty.
    if (
      length === 0 ||
      (header.moreFragments && length % 8 !== 0) ||
      end > reassemblyLimits.datagramBytes - 60
    )
      return null;
    const key = keyOf(view, header);
    const partial = this.#partials.get(key) ?? this.#begin(key, nowMs);
    if (partial.isBad || !this.#put(partial, view, header, end)) return null;
    if (partial.held !== partial.total) return null;
    this.#drop(key, partial);
    return assemble(view, header, partial);
  }

  #begin(key: string, nowMs: number): Partial {
    if (this.#partials.size >= reassemblyLimits.datagrams) this.#dropOldest();
    const partial: Partial = { since: nowMs, pieces: [], total: -1, held: 0, isBad: false };
    this.#partials.set(key, partial);
    return partial;
  }

  /** False: dropped, alone or with everything that it overlaps. */
  #put(partial: Partial, view: DataView, header: IpHeader, end: number): boolean {
    const offset = header.fragmentOffset;
    for (const piece of partial.pieces) {
      const pieceEnd = piece.offset + piece.bytes.length;
      if (piece.offset === offset && pieceEnd === end) return false;
      if (offset < pieceEnd && piece.offset < end) return this.#spoil(partial);
    }
    const isBeyond = partial.total >= 0 && end > partial.total;
    const isSecondEnd = !header.moreFragments && partial.total >= 0;
    const isShort = !header.moreFragments && partial.pieces.some((piece) => piece.offset >= end);
    if (isBeyond || isSecondEnd || isShort || partial.pieces.length >= reassemblyLimits.fragments)
      return this.#spoil(partial);
    if (this.#held + end - offset > reassemblyLimits.bytes) return false;
    if (!header.moreFragments) partial.total = end;
    const bytes = new Uint8Array(view.buffer, view.byteOffset + header.payload, end - offset).slice();
    partial.pieces.push({ offset, bytes });
    partial.held += bytes.length;
    this.#held += bytes.length;
    return true;
  }

  #spoil(partial: Partial): false {
    this.#held -= partial.held;
    partial.pieces.length = 0;
    partial.held = 0;
    partial.isBad = true;
    return false;
  }

  #drop(key: string, partial: Partial): void {
    this.#partials.delete(key);
    this.#held -= partial.held;
  }

  #dropOldest(): void {
    for (const [key, partial] of this.#partials) return this.#drop(key, partial);
  }

  #expire(nowMs: number): void {
    for (const [key, partial] of this.#partials) {
      if (nowMs - partial.since < reassemblyLimits.waitMs) return;
      this.#drop(key, partial);
    }
  }
}

/** The addresses, the protocol and the identification. */
function keyOf(view: DataView, header: IpHeader): string {
  let key = `${header.version} ${header.protocol} ${header.identification}`;
  const end = header.source + (header.version === 4 ? 8 : 32);
  for (let at = header.source; at < end; at += 4) key += ` ${view.getInt32(at)}`;
  return key;
}

/** The header of the fragment that came last, without its options, and all of the payload. */
function assemble(view: DataView, header: IpHeader, partial: Partial): Whole {
  const headerBytes = header.version === 4 ? 20 : IPV6_BYTES;
  const bytes = new Uint8Array(headerBytes + partial.total);
  bytes.set(new Uint8Array(view.buffer, view.byteOffset + header.start, headerBytes));
  for (const piece of partial.pieces) bytes.set(piece.bytes, headerBytes + piece.offset);
  const whole: IpHeader = {
    ...header,
    start: 0,
    payload: headerBytes,
    end: bytes.length,
    source: header.source - header.start,
    destination: header.destination - header.start,
    moreFragments: false,
    fragmentOffset: 0,
  };
  return { view: new DataView(bytes.buffer), header: whole };
}
