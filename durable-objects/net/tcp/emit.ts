import { pseudoSum, type Ip } from "../wire/address.ts";
import { checksum, sum } from "../wire/checksum.ts";
import { protocols } from "../wire/ipv4.ts";
import {
  TCP_BYTES,
  flags,
  writeMss,
  writeSackHead,
  writeSackPermitted,
  writeScale,
  writeTcp,
  writeTimestamps,
} from "../wire/tcp.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, receiveShare } from "./context.ts";
import { add, before, distance, later } from "./sequence.ts";

const TIMESTAMPS_BYTES = 12;
const MAX_OPTION_BYTES = 40;

export const tsNow = (t: TcpContext, c: Connection): number => (Math.floor(t.now) + c.ts.offset) >>> 0;

/** What the link carries in one segment without options. */
export const linkMss = (t: TcpContext, ip: Ip): number => t.ip.mtu - (ip.version === 4 ? 40 : 60);

/**
 * Text that one segment carries at most: as many full ones as a long segment of this link holds. Only one for a guest whose own
 * MSS is less than the MTU makes it: where the long one is cut, nobody knows of that.
 */
export function longestText(t: TcpContext, c: Connection): number {
  const optionBytes = c.ts.on ? TIMESTAMPS_BYTES : 0;
  const full = linkMss(t, c.guest) - optionBytes;
  if (c.snd.mss < full) return c.snd.mss;
  return full * Math.floor((full + t.ip.segmentBytes - t.ip.mtu) / full);
}

/** The smallest scale with which the whole buffer can be said (RFC 7323 §2.3). */
export function ownScale(t: TcpContext): number {
  let scale = 0;
  while (scale < 14 && t.config.receiveBufferBytes > 0xffff << scale) scale++;
  return scale;
}

/**
 * The window to advertise, as in the header. The right edge moves only by a full segment or half of the buffer
 * (RFC 9293 §3.8.6.2.2) and never back.
 */
export function advertise(t: TcpContext, c: Connection, scale: number): number {
  const most = receiveShare(t);
  const target = add(c.rcv.nxt, Math.max(0, most - c.rcv.held));
  const growth = distance(target, c.rcv.edge);
  if (growth >= Math.min(most >> 1, c.rcv.mss)) c.rcv.edge = target;
  const window = Math.min(0xffff, distance(c.rcv.edge, c.rcv.nxt) >>> scale);
  return Math.max(0, window);
}

/** Ranges out of order for a SACK option: the one that came last first (RFC 2018 §4). */
function earlyRanges(c: Connection, most: number): number[] {
  const all: number[] = [];
  for (const { seq, bytes } of c.early) {
    const end = add(seq, bytes.length);
    if (all.length > 0 && all.at(-1) === seq) all[all.length - 1] = end;
    else all.push(seq, end);
  }
  let latest = 0;
  for (let at = 0; at < all.length; at += 2)
    if (!before(c.lastEarly, all[at]!) && before(c.lastEarly, all[at + 1]!)) latest = at;
  const first = all.splice(latest, 2);
  return [...first, ...all].slice(0, 2 * most);
}

function writeSack(view: DataView, at: number, ranges: readonly number[]): void {
  let next = writeSackHead(view, at, ranges.length / 2);
  for (const edge of ranges) {
    view.setUint32(next, edge);
    next += 4;
  }
}

/** One segment of the synchronized connection: `count` bytes of the send buffer from `seq` on, and everything it owes. */
export function emit(t: TcpContext, c: Connection, bits: number, seq: number, count: number): void {
  const tsBytes = c.ts.on ? TIMESTAMPS_BYTES : 0;
  let optionBytes = tsBytes;
  let ranges: readonly number[] | undefined;
  if (c.sackOn && count === 0 && c.early.length > 0) {
    ranges = earlyRanges(c, (MAX_OPTION_BYTES - tsBytes - 4) >> 3);
    optionBytes += 4 + 4 * ranges.length;
  }
  const length = TCP_BYTES + optionBytes + count;
  const at = t.ip.open(c.peer, c.guest, protocols.tcp, length);
  const { view, bytes } = t.ip.slab;
  const window = advertise(t, c, c.rcv.scale);
  writeHeader(view, at, c, bits | flags.ack, seq, window, optionBytes);
  if (tsBytes > 0) writeTimestamps(view, at + TCP_BYTES, tsNow(t, c), c.ts.recent);
  if (ranges) writeSack(view, at + TCP_BYTES + tsBytes, ranges);
  if (count > 0) c.out.copy(distance(seq, c.snd.una), count, bytes, at + TCP_BYTES + optionBytes);
  view.setUint16(
    at + 16,
    checksum(sum(view, at, at + length, pseudoSum(c.peer, c.guest, protocols.tcp, length))),
  );
  t.ip.close();
  c.ts.lastAckSent = c.rcv.nxt;
  c.rcv.unacked = 0;
  c.ackDue = 0;
  c.delayedAckAt = Infinity;
  const end = add(seq, count + (bits & flags.fin));
  c.snd.max = later(c.snd.max, end);
  if (count > 0) c.lastSentAt = t.now;
}

function writeHeader(
  view: DataView,
  at: number,
  c: Connection,
  bits: number,
  seq: number,
  window: number,
  optionBytes: number,
): void {
  view.setUint16(at, c.peerPort);
  view.setUint16(at + 2, c.guestPort);
  view.setUint32(at + 4, seq);
  view.setUint32(at + 8, c.rcv.nxt);
  view.setUint16(at + 12, ((TCP_BYTES + optionBytes) << 10) | bits);
  view.setUint16(at + 14, window);
  view.setUint32(at + 16, 0);
}

export const sendAck = (t: TcpContext, c: Connection): void => emit(t, c, 0, c.snd.nxt, 0);

/** SYN or SYN-ACK. Its window is never scaled (RFC 7323 §2.2). */
export function emitSyn(t: TcpContext, c: Connection, isAck: boolean): void {
  const first = !isAck;
  const hasTs = first || c.ts.on;
  const hasSack = first || c.sackOn;
  const hasScale = first || c.rcv.scale > 0;
  const optionBytes = 4 + (hasScale ? 4 : 0) + (hasSack ? 4 : 0) + (hasTs ? TIMESTAMPS_BYTES : 0);
  const length = TCP_BYTES + optionBytes;
  const at = t.ip.open(c.peer, c.guest, protocols.tcp, length);
  const { view } = t.ip.slab;
  writeHeader(view, at, c, flags.syn | (isAck ? flags.ack : 0), c.iss, advertise(t, c, 0), optionBytes);
  if (!isAck) view.setUint32(at + 8, 0);
  let next = writeMss(view, at + TCP_BYTES, linkMss(t, c.guest));
  if (hasScale) next = writeScale(view, next, ownScale(t));
  if (hasSack) next = writeSackPermitted(view, next);
  if (hasTs) writeTimestamps(view, next, tsNow(t, c), c.ts.recent);
  view.setUint16(
    at + 16,
    checksum(sum(view, at, at + length, pseudoSum(c.peer, c.guest, protocols.tcp, length))),
  );
  t.ip.close();
  c.ts.lastAckSent = c.rcv.nxt;
}

/** A segment without options that belongs to no connection's stream: an RST, mostly. */
export function emitBare(
  t: TcpContext,
  ends: { guest: Ip; guestPort: number; peer: Ip; peerPort: number },
  bits: number,
  seq: number,
  ack: number,
): void {
  const at = t.ip.open(ends.peer, ends.guest, protocols.tcp, TCP_BYTES);
  const { view } = t.ip.slab;
  const fields = {
    sourcePort: ends.peerPort,
    destinationPort: ends.guestPort,
    seq,
    ack,
    flags: bits,
    window: 0,
  };
  writeTcp(view, at, fields, 0);
  const pseudo = pseudoSum(ends.peer, ends.guest, protocols.tcp, TCP_BYTES);
  view.setUint16(at + 16, checksum(sum(view, at, at + TCP_BYTES, pseudo)));
  t.ip.close();
}
