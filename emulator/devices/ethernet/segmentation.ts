import { MAX_FRAME_BYTES as LINK_FRAME_BYTES } from "../../protocol/frame-ring.ts";
import { FULL_FRAME_BYTES, MAX_FRAME_BYTES, type Wire } from "./network-card.ts";
import {
  findSegment,
  finishChecksum,
  finishIpv4,
  isIntact,
  pseudoSum,
  putU16,
  putU32,
  u16,
  u32,
} from "./checksum.ts";

/**
 * Large segments: one TCP segment cut into smaller ones (TSO), and frames of one flow that follow each other joined into one
 * for the driver (LRO). Lengths are the driver's word or the network's and are checked here.
 */
const ETHER_BYTES = 14;
const TCP = 6;
/** The smallest segment that Linux ever asks for is 48 bytes; less would be thousands of frames for one request. */
const MIN_MSS = 32;
/** Ethernet, and IPv4 and TCP with all options that there is room for. */
const MOST_HEADER_BYTES = ETHER_BYTES + 60 + 60;
const Flag = { fin: 0x01, psh: 0x08, ack: 0x10, cwr: 0x80 } as const;

/**
 * Frames of at most `mss` bytes of payload each, in order, all checksums made. Nothing at all when the frame is no TCP segment
 * or the sizes are absurd. The IP length in `frame` need not be right: what counts is where the frame ends.
 */
export function* cutTcp(frame: Uint8Array, mss: number): Generator<Uint8Array<ArrayBuffer>> {
  const isV4 = u16(frame, 12) === 0x0800;
  const whole = frame.length - ETHER_BYTES;
  if (frame.length < ETHER_BYTES + 40 || whole > 0xffff) return;
  putU16(frame, isV4 ? 16 : 18, isV4 ? whole : whole - 40);
  const found = findSegment(frame);
  if (!found || found.protocol !== TCP || mss < MIN_MSS) return;
  const { transport } = found;
  const payload = transport + 4 * (frame[transport + 12]! >>> 4);
  if (payload < transport + 20 || payload > frame.length || payload + mss > 0xffff) return;
  const sequence = u32(frame, transport + 4);
  const flags = frame[transport + 13]!;
  const id = u16(frame, 18);
  for (let done = 0, i = 0; done === 0 || payload + done < frame.length; done += mss, i++) {
    const last = payload + done + mss >= frame.length;
    const part = new Uint8Array(Math.min(payload + mss, frame.length - done));
    part.set(frame.subarray(0, payload));
    part.set(frame.subarray(payload + done, payload + done + mss), payload);
    putU16(part, isV4 ? 16 : 18, part.length - (isV4 ? ETHER_BYTES : ETHER_BYTES + 40));
    if (isV4) {
      putU16(part, 18, (id + i) & 0xffff);
      finishIpv4(part);
    }
    putU32(part, transport + 4, sequence + done);
    // FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2).
    part[transport + 13] = flags & (last ? 0xff : ~(Flag.fin | Flag.psh)) & (i === 0 ? 0xff : ~Flag.cwr);
    putU16(part, transport + 16, pseudoSum(part, found, part.length - transport));
    finishChecksum(part, transport, 16);
    yield part;
  }
}

/** Where the payload of a TCP segment begins; undefined for anything else. */
export function payloadOffset(frame: Uint8Array): number | undefined {
  const found = findSegment(frame);
  if (found?.protocol !== TCP) return undefined;
  const payload = found.transport + 4 * (frame[found.transport + 12]! >>> 4);
  return payload <= found.end ? payload : undefined;
}

/**
 * A driver's large segment (TSO), cut no finer than it must be: as many parts of `mss` bytes stay together as a frame of the
 * link holds. Whoever gets them cuts the rest, or takes them so.
 */
export function cutForLink(frame: Uint8Array, mss: number): Iterable<Uint8Array<ArrayBuffer>> {
  // Linux's e1000 leaves the IP length at 0: where the payload begins is then not known yet.
  const room = LINK_FRAME_BYTES - (payloadOffset(frame) ?? MOST_HEADER_BYTES);
  return cutTcp(frame, mss < MIN_MSS ? mss : mss * Math.max(1, Math.floor(room / mss)));
}

/** The same for a frame that is too long for a driver: frames of at most `frameBytes`. */
export function cutToFit(frame: Uint8Array, frameBytes: number): Iterable<Uint8Array<ArrayBuffer>> {
  const payload = payloadOffset(frame);
  return payload === undefined ? [] : cutTcp(frame, frameBytes - payload);
}

/** A wire whose long segments come cut, for cards that know none. */
export class CuttingWire implements Wire {
  readonly #wire: Wire;
  #rest: Iterator<Uint8Array<ArrayBuffer>> | undefined;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  send(frame: Uint8Array): boolean {
    return this.#wire.send(frame);
  }

  receive(): Uint8Array<ArrayBuffer> | null {
    for (;;) {
      const piece = this.#rest?.next();
      if (piece?.done === false) return piece.value;
      this.#rest = undefined;
      const frame = this.#wire.receive();
      if (!frame || frame.length <= MAX_FRAME_BYTES) return frame;
      this.#rest = cutToFit(frame, FULL_FRAME_BYTES)[Symbol.iterator]();
    }
  }
}

/** Several frames as one: the driver gets `frame` and the size that its parts had. */
export interface Joined {
  readonly frame: Uint8Array;
  readonly mss: number;
  /** Offset of the TCP header, where the checksum begins. */
  readonly transport: number;
  readonly version: 4 | 6;
}

const MAX_JOINED_BYTES = ETHER_BYTES + 0xffff;

interface Head {
  readonly transport: number;
  readonly payload: number;
  readonly end: number;
  readonly version: 4 | 6;
}

/** Joins frames of one direction of one TCP flow, as Linux's GRO would (net/ipv4/tcp_offload.c decides by the same rules). */
export class Joiner {
  readonly #parts: { readonly frame: Uint8Array; readonly payloadBytes: number }[] = [];
  #first: Head | undefined;
  #bytes = 0;
  #next = 0;
  #closed = false;

  /** Whether anything is gathered. */
  get filled(): boolean {
    return this.#parts.length > 0;
  }

  /**
   * Takes a frame whose checksums were found right: as the first of a new segment, or as the next of the one gathered. False:
   * it does not follow; `take` what there is, then offer it again. A frame that nothing can be joined to is never taken.
   */
  offer(frame: Uint8Array): boolean {
    const head = headOf(frame);
    if (!head) return false;
    const { transport, payload, end } = head;
    const length = end - payload;
    const first = this.#first;
    if (!first) {
      this.#first = head;
      this.#bytes = end;
      this.#next = (u32(frame, transport + 4) + length) >>> 0;
    } else {
      const mss = first.end - first.payload;
      if (this.#closed || length > mss || this.#bytes + length > MAX_JOINED_BYTES) return false;
      if (!this.#follows(frame, head, first)) return false;
      this.#bytes += length;
      this.#next = (this.#next + length) >>> 0;
      if (length < mss) this.#closed = true;
    }
    if (frame[transport + 13]! & Flag.psh) this.#closed = true;
    this.#parts.push({ frame, payloadBytes: length });
    return true;
  }

  /** What was gathered; one frame stays as it came. Only when `filled`. */
  take(): Uint8Array | Joined {
    const joined = this.#parts.length > 1 ? this.#join(this.#first!) : this.#parts[0]!.frame;
    this.forget();
    return joined;
  }

  forget(): void {
    this.#parts.length = 0;
    this.#first = undefined;
    this.#closed = false;
  }

  /** Same addresses, ports, acknowledgement, window, options and kind of IP packet; next sequence number. */
  #follows(frame: Uint8Array, head: Head, first: Head): boolean {
    const base = this.#parts[0]!.frame;
    const { transport } = head;
    if (head.version !== first.version || transport !== first.transport || head.payload !== first.payload)
      return false;
    if (u32(frame, transport + 4) !== this.#next) return false;
    const same = (from: number, to: number): boolean => {
      for (let at = from; at < to; at++) if (frame[at] !== base[at]) return false;
      return true;
    };
    // Ethernet; IP but for length, identification and checksum; ports; acknowledgement; window; options.
    const ip =
      head.version === 4 ? same(14, 16) && same(20, 24) && same(26, 34) : same(14, 18) && same(20, 54);
    return (
      ip &&
      same(0, 14) &&
      same(transport, transport + 4) &&
      same(transport + 8, transport + 12) &&
      same(transport + 14, transport + 16) &&
      same(transport + 20, head.payload)
    );
  }

  #join({ transport, payload, end, version }: Head): Joined {
    const frame = new Uint8Array(this.#bytes);
    frame.set(this.#parts[0]!.frame.subarray(0, payload));
    let at = payload;
    for (const part of this.#parts) {
      frame.set(part.frame.subarray(payload, payload + part.payloadBytes), at);
      at += part.payloadBytes;
    }
    frame[transport + 13]! |= this.#parts.at(-1)!.frame[transport + 13]! & Flag.psh;
    const whole = frame.length - ETHER_BYTES;
    putU16(frame, version === 4 ? 16 : 18, version === 4 ? whole : whole - 40);
    if (version === 4) finishIpv4(frame);
    const length = frame.length - transport;
    putU16(
      frame,
      transport + 16,
      pseudoSum(frame, { version, protocol: TCP, transport, end: frame.length }, length),
    );
    return { frame, mss: end - payload, transport, version };
  }
}

/**
 * A segment that came uncut, for a driver that takes it so: the size of its parts is the most that the link allows, as nobody
 * says what the sender had in mind. Null: it is none, or was changed on its way.
 */
export function uncut(frame: Uint8Array): Joined | null {
  const found = findSegment(frame);
  const payload = payloadOffset(frame);
  if (!found || payload === undefined || !isIntact(frame, found)) return null;
  const { transport, version, end } = found;
  putU16(frame, transport + 16, pseudoSum(frame, found, end - transport));
  return { frame: frame.subarray(0, end), mss: FULL_FRAME_BYTES - payload, transport, version };
}

/** A TCP segment with payload that may be joined to others: no flags but ACK and PSH, no IPv4 options. */
function headOf(frame: Uint8Array): Head | null {
  const found = findSegment(frame);
  if (!found || found.protocol !== TCP || (found.version === 4 && found.transport !== ETHER_BYTES + 20))
    return null;
  const { transport, end, version } = found;
  const payload = transport + 4 * (frame[transport + 12]! >>> 4);
  if (payload < transport + 20 || payload >= end) return null;
  return (frame[transport + 13]! & ~Flag.psh) === Flag.ack ? { transport, payload, end, version } : null;
}
