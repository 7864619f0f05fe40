import { flags } from "../wire/tcp.ts";
import { flight, nextHole, pipe, restartAfterIdle } from "./congestion.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, arm } from "./context.ts";
import { emit, longestText } from "./emit.ts";
import { limits } from "./limits.ts";
import { startRexmit } from "./rto.ts";
import { add, distance } from "./sequence.ts";
import { abilities, next } from "./states.ts";

/** The sequence number behind the last byte that was delivered: the FIN's. */
const textEnd = (c: Connection): number => add(c.snd.una, c.out.length);
/** Behind the SYN's acknowledgement the buffer begins at SND.UNA, until the FIN is acknowledged. */
const unsent = (c: Connection): number => (c.finSent ? 0 : distance(textEnd(c), c.snd.nxt));

/**
 * Sends what may be sent now: first what is lost, then new text, then the FIN (RFC 9293 §3.10.2). Nagle's algorithm is
 * off: the world's end of the flow has gathered its bytes already, by its own rules, and to wait again would only add to
 * the guest's round trip.
 */
export function output(t: TcpContext, c: Connection): void {
  if (!abilities[c.state].send) return;
  if (c.recovery === "open") {
    if (unsent(c) > 0) restartAfterIdle(c, t.now);
    // RFC 3042: the first two duplicate ACKs each let one new segment out.
    const limited = Math.min(c.duplicateAcks, limits.duplicateAcks - 1) * c.snd.mss;
    sendNew(t, c, c.cwnd + limited - (c.sackOn && c.sacked.length > 0 ? pipe(c) : flight(c)));
  } else recover(t, c);
  sendFin(t, c);
  if (unsent(c) > 0 && flight(c) === 0 && c.persistAt === Infinity) {
    arm(t, c, "persistAt", t.now + c.rto);
  }
}

/** RFC 6675 §5 (C): as long as the window has room for a segment. */
function recover(t: TcpContext, c: Connection): void {
  for (let room = c.cwnd - pipe(c); room >= c.snd.mss;) {
    const hole = nextHole(c, false);
    const count = hole ? retransmit(t, c, hole.seq, hole.length) : sendNew(t, c, c.snd.mss) || rescue(t, c);
    if (count === 0) return;
    room -= count;
  }
}

/** NextSeg (3): holes that are not known to be lost, when there is nothing new. */
function rescue(t: TcpContext, c: Connection): number {
  const hole = nextHole(c, true);
  return hole ? retransmit(t, c, hole.seq, hole.length) : 0;
}

/** Sends again from `seq` on; the FIN goes along when the stretch reaches it. Returns how much of the sequence space went. */
export function retransmit(t: TcpContext, c: Connection, seq: number, length: number): number {
  const text = Math.max(0, Math.min(length, distance(textEnd(c), seq)));
  const isLast = c.finSent && text < length;
  emit(
    t,
    c,
    (isLast ? flags.fin : 0) | (text > 0 && add(seq, text) === textEnd(c) ? flags.psh : 0),
    seq,
    text,
  );
  const count = text + (isLast ? 1 : 0);
  c.highRxt = add(seq, count);
  // Karn: what was sent twice is not timed.
  c.timedSeq = -1;
  startRexmit(t, c);
  return count;
}

/**
 * New text within the peer's window and `room` of the congestion window; how much went. Where the link takes long segments
 * (`segmentBytes`), one holds several full ones: the rules of windows are those of the segments that it will be cut into.
 */
function sendNew(t: TcpContext, c: Connection, room: number): number {
  const windowEnd = add(c.snd.una, c.snd.wnd);
  const { mss } = c.snd;
  const most = longestText(t, c);
  let left = room;
  let sent = 0;
  c.isCwndLimited = false;
  for (;;) {
    const waiting = unsent(c);
    if (waiting <= 0) return sent;
    let count = Math.min(waiting, most, distance(windowEnd, c.snd.nxt));
    // The cut must not leave a short piece in the middle of the stream.
    if (count > mss && count < waiting) count -= count % mss;
    if (count > left) {
      c.isCwndLimited = true;
      count = left - (left % mss);
    }
    if (count <= 0 || isSilly(c, count, waiting)) return sent;
    sendText(t, c, count, count === waiting);
    left -= count;
    sent += count;
  }
}

/** RFC 9293 §3.8.6.2.1: a full segment, all there is, or half of the largest window. */
const isSilly = (c: Connection, count: number, waiting: number): boolean =>
  count < c.snd.mss && count < waiting && count < c.snd.maxWnd >> 1;

function sendText(t: TcpContext, c: Connection, count: number, isAll: boolean): void {
  const bits = (isAll ? flags.psh : 0) | (isAll && c.finQueued ? flags.fin : 0);
  if (bits & flags.fin) closeWay(c);
  const seq = c.snd.nxt;
  emit(t, c, bits, seq, count);
  c.snd.nxt = add(seq, count + (bits & flags.fin));
  if (c.timedSeq < 0) {
    c.timedSeq = c.snd.nxt;
    c.timedAt = t.now;
  }
  c.persistAt = Infinity;
  startRexmit(t, c);
}

function closeWay(c: Connection): void {
  c.finSent = true;
  c.state = next(c.state, "close");
}

/** The FIN of a way out on which all text has gone; it needs no room in the congestion window. */
function sendFin(t: TcpContext, c: Connection): void {
  if (!c.finQueued || c.finSent || unsent(c) > 0) return;
  closeWay(c);
  emit(t, c, flags.fin, c.snd.nxt, 0);
  c.snd.nxt = add(c.snd.nxt, 1);
  startRexmit(t, c);
}

/**
 * RFC 9293 §3.8.6.1: a closed window is asked by one byte of what waits; SND.NXT stays, so that the byte is new again
 * when the window opens. An open one that only silly-window avoidance held back takes what fits.
 */
export function probe(t: TcpContext, c: Connection): void {
  const usable = distance(add(c.snd.una, c.snd.wnd), c.snd.nxt);
  const waiting = unsent(c);
  if (waiting <= 0) return;
  if (usable > 0 && flight(c) === 0)
    return sendText(t, c, Math.min(usable, waiting, c.snd.mss), usable >= waiting);
  emit(t, c, 0, c.snd.una, 1);
  c.rto = Math.min(limits.mostRtoMs, c.rto * 2);
  c.attempts++;
  arm(t, c, "persistAt", t.now + c.rto);
  return undefined;
}
