import { isIntact } from "../wire/checksum.ts";
import {
  type Packet,
  type Route,
  headerBytesOf,
  payloadSum,
  protocols,
  sealPayload,
  startPacket,
} from "../wire/ip.ts";

/** TCP segments (RFC 9293 §3.1) with the options that both ends of a LAN use. */
export const FIN = 0x01,
  SYN = 0x02,
  RST = 0x04,
  PSH = 0x08,
  ACK = 0x10;
export const TCP_BYTES = 20;
/** NOP NOP and ten bytes of timestamps (RFC 7323 appendix A). */
export const TIMESTAMP_BYTES = 12;

export interface SackBlock {
  readonly from: number;
  readonly to: number;
}

export interface Segment {
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  /** As it stands in the header, not scaled. */
  readonly window: number;
  readonly options: Options;
  /** A view of the frame. */
  readonly payload: Uint8Array;
}
export interface Options {
  readonly mss?: number;
  readonly windowScale?: number;
  readonly sackPermitted?: boolean;
  readonly timestamp?: { readonly value: number; readonly echo: number };
  readonly sack?: readonly SackBlock[];
}

const NO_OPTIONS: Options = {};
/** RFC 7323 §2.3: a greater shift is used as 14. */
const MAX_SCALE = 14;

/** Sequence space that a segment takes: SYN and FIN count one each. */
export const lengthOf = (segment: Segment): number =>
  segment.payload.length + (segment.flags & SYN ? 1 : 0) + (segment.flags & FIN ? 1 : 0);

/** Null: damaged or malformed. */
export function parseSegment(packet: Packet): Segment | null {
  const { frame, view, start, end } = packet;
  if (end - start < TCP_BYTES) return null;
  const headerBytes = (frame[start + 12]! >> 4) * 4;
  if (headerBytes < TCP_BYTES || start + headerBytes > end || !isIntact(payloadSum(packet))) return null;
  return {
    seq: view.getUint32(start + 4),
    ack: view.getUint32(start + 8),
    flags: frame[start + 13]!,
    window: view.getUint16(start + 14),
    options:
      headerBytes === TCP_BYTES ? NO_OPTIONS : parseOptions(view, start + TCP_BYTES, start + headerBytes),
    payload: frame.subarray(start + headerBytes, end),
  };
}

/** RFC 9293 §3.2: what is not understood is stepped over; a length that leads outside ends the list. */
function parseOptions(view: DataView, from: number, to: number): Options {
  const found: { -readonly [Name in keyof Options]: Options[Name] } = {};
  for (let at = from; at < to;) {
    const kind = view.getUint8(at);
    if (kind === 0) break;
    if (kind === 1) {
      at++;
      continue;
    }
    if (at + 2 > to) break;
    const length = view.getUint8(at + 1);
    if (length < 2 || at + length > to) break;
    if (kind === 2 && length === 4) found.mss = view.getUint16(at + 2);
    else if (kind === 3 && length === 3) found.windowScale = Math.min(view.getUint8(at + 2), MAX_SCALE);
    else if (kind === 4 && length === 2) found.sackPermitted = true;
    else if (kind === 5 && length >= 10 && (length - 2) % 8 === 0)
      found.sack = parseSack(view, at + 2, length - 2);
    else if (kind === 8 && length === 10)
      found.timestamp = { value: view.getUint32(at + 2), echo: view.getUint32(at + 6) };
    at += length;
  }
  return found;
}

function parseSack(view: DataView, from: number, bytes: number): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (let at = from; at < from + bytes; at += 8)
    blocks.push({ from: view.getUint32(at), to: view.getUint32(at + 4) });
  return blocks;
}

function optionBytes(options: Options): number {
  let bytes = 0;
  if (options.mss !== undefined) bytes += 4;
  if (options.windowScale !== undefined) bytes += 4;
  if (options.sackPermitted) bytes += 4;
  if (options.timestamp) bytes += TIMESTAMP_BYTES;
  if (options.sack && options.sack.length > 0) bytes += 4 + 8 * options.sack.length;
  return bytes;
}

function writeOptions(view: DataView, from: number, options: Options): void {
  let at = from;
  const put = (...bytes: number[]): void => {
    for (const byte of bytes) view.setUint8(at++, byte);
  };
  const put32 = (value: number): void => {
    view.setUint32(at, value);
    at += 4;
  };
  if (options.mss !== undefined) put(2, 4, options.mss >> 8, options.mss & 255);
  if (options.sackPermitted) put(1, 1, 4, 2);
  if (options.windowScale !== undefined) put(1, 3, 3, options.windowScale);
  if (options.timestamp) {
    put(1, 1, 8, 10);
    put32(options.timestamp.value);
    put32(options.timestamp.echo);
  }
  if (options.sack && options.sack.length > 0) {
    put(1, 1, 5, 2 + 8 * options.sack.length);
    for (const { from: left, to } of options.sack) {
      put32(left);
      put32(to);
    }
  }
}

export interface Outgoing {
  readonly seq: number;
  readonly ack: number;
  readonly flags: number;
  readonly window: number;
  readonly options: Options;
  readonly payloadBytes: number;
}

/** Our port and the guest's. */
export interface Ports {
  readonly from: number;
  readonly to: number;
}

/** A whole frame. `fill` writes the payload into the place it is given. */
export function writeSegment(
  route: Route,
  ports: Ports,
  segment: Outgoing,
  fill?: (frame: Uint8Array, at: number) => void,
): Uint8Array<ArrayBuffer> {
  const options = optionBytes(segment.options);
  const frame = startPacket(route, protocols.tcp, TCP_BYTES + options + segment.payloadBytes);
  const at = headerBytesOf(route);
  const view = new DataView(frame.buffer);
  view.setUint16(at, ports.from);
  view.setUint16(at + 2, ports.to);
  view.setUint32(at + 4, segment.seq);
  view.setUint32(at + 8, segment.ack);
  frame[at + 12] = ((TCP_BYTES + options) / 4) << 4;
  frame[at + 13] = segment.flags;
  view.setUint16(at + 14, segment.window);
  if (options > 0) writeOptions(view, at + TCP_BYTES, segment.options);
  fill?.(frame, at + TCP_BYTES + options);
  sealPayload(frame, route, protocols.tcp, at + 16);
  return frame;
}
