import { flightOf, halve, onNewAck } from "./congestion.ts";
import { type Connection, drop, setTimer, tellDone } from "./connection.ts";
import { insertRange, trimRanges } from "./ranges.ts";
import { measure } from "./round-trip.ts";
import type { Segment } from "./segment.ts";
import { challenge, finWasSent, resendFirst } from "./send.ts";
import { add, atOrBefore, before, distance } from "./sequence.ts";
import { next } from "./states.ts";

/** The fifth step of RFC 9293 §3.10.7.4: what the guest's acknowledgement says. */

const DUPLICATES = 3;
/** 2 MSL. RFC 9293 §3.4.2 says 2 minutes for MSL; on a LAN of one hop half of that for both is what systems use. */
export const TIME_WAIT_MS = 60_000;

/** False: the segment ends here. */
export function takeAck(c: Connection, segment: Segment, nowMs: number): boolean {
  const { ack } = segment;
  // RFC 5961 §5: neither of the future nor of the distant past.
  if (before(c.snd.max, ack) || distance(c.snd.una, ack) > c.snd.maxWnd) {
    challenge(c, nowMs);
    return false;
  }
  takeSack(c, segment);
  const acked = distance(ack, c.snd.una);
  const isDuplicate =
    acked === 0 &&
    segment.payload.length === 0 &&
    segment.window << c.snd.scale === c.snd.wnd &&
    distance(c.snd.max, c.snd.una) > 0;
  const hadWindow = c.snd.wnd > 0;
  if (acked > 0) takeNewAck(c, segment, acked, nowMs);
  updateWindow(c, segment);
  // After probing a closed window everything goes again from the first byte that is not acknowledged.
  if (!hadWindow && c.snd.wnd > 0) c.snd.nxt = c.snd.una;
  if (acked > 0 || c.snd.wnd === 0 || !hadWindow) c.retries = 0;
  if (isDuplicate && acked === 0) onDuplicate(c, nowMs);
  return c.state !== "Closed";
}

/** RFC 9293 §3.10.7.4: windows of old segments do not count. */
function updateWindow(c: Connection, { seq, ack, window }: Segment): void {
  if (before(seq, c.snd.wl1) || (seq === c.snd.wl1 && before(ack, c.snd.wl2))) return;
  c.snd.wnd = window << c.snd.scale;
  c.snd.maxWnd = Math.max(c.snd.maxWnd, c.snd.wnd);
  c.snd.wl1 = seq;
  c.snd.wl2 = ack;
}

/** Blocks outside of what we sent are not believed. */
function takeSack(c: Connection, { ack, options }: Segment): void {
  if (!c.sackOn || !options.sack) return;
  for (const { from, to } of options.sack)
    if (before(from, to) && atOrBefore(c.snd.una, from) && atOrBefore(ack, from) && atOrBefore(to, c.snd.max))
      insertRange(c.sacked, { from, to });
}

function takeNewAck(c: Connection, segment: Segment, acked: number, nowMs: number): void {
  const { ack } = segment;
  const flight = flightOf(c.snd.una, c.snd.nxt);
  timeRoundTrip(c, segment, nowMs);
  dropFromQueue(c, ack);
  c.snd.una = ack;
  if (before(c.snd.nxt, ack)) c.snd.nxt = ack;
  trimRanges(c.sacked, ack);
  c.dupAcks = 0;
  if (c.recovery) recover(c, acked, nowMs);
  else {
    const isLimited = flight + c.snd.mss >= c.congestion.cwnd;
    onNewAck(c.congestion, acked, c.snd.mss, isLimited, 2 * c.queueLimit);
  }
  const isAllAcked = c.snd.una === c.snd.max;
  setTimer(c, "retransmit", isAllAcked ? undefined : nowMs + c.roundTrip.rto);
  if (isAllAcked && finWasSent(c)) takeAckOfFin(c, nowMs);
  if (c.wasFull && c.queue.length <= c.queueLimit / 2 && !c.finishing) {
    c.wasFull = false;
    c.application.onRoom();
  }
}

function timeRoundTrip(c: Connection, { ack, options }: Segment, nowMs: number): void {
  if (c.timestamps.on) {
    const sample = options.timestamp ? distance(Math.floor(nowMs) >>> 0, options.timestamp.echo) : -1;
    if (sample >= 0) measure(c.roundTrip, sample);
    c.timed = null;
  } else if (c.timed && atOrBefore(c.timed.seq, ack)) {
    measure(c.roundTrip, nowMs - c.timed.at);
    c.timed = null;
  }
}

function dropFromQueue(c: Connection, ack: number): void {
  const count = Math.min(Math.max(0, distance(ack, c.snd.data)), c.queue.length);
  c.queue.drop(count);
  c.snd.data = add(c.snd.data, count);
}

/** RFC 6582 §3.2 step 3 and RFC 6675 §5: out of recovery, or the next hole. */
function recover(c: Connection, acked: number, nowMs: number): void {
  const recovery = c.recovery!;
  if (atOrBefore(recovery.end, c.snd.una)) {
    c.recovery = null;
    c.congestion.cwnd = c.congestion.ssthresh;
    return;
  }
  recovery.resent = Math.max(0, recovery.resent - acked);
  if (c.sacked.length === 0) resendFirst(c, nowMs);
}

/** RFC 5681 §3.2: the third duplicate means a loss. */
function onDuplicate(c: Connection, nowMs: number): void {
  c.dupAcks++;
  if (c.recovery) {
    // Each one says that a segment has left the network (RFC 6582 §3.2 step 2).
    if (c.sacked.length === 0) c.congestion.cwnd += c.snd.mss;
    return;
  }
  if (c.dupAcks < DUPLICATES) return;
  halve(c.congestion, flightOf(c.snd.una, c.snd.nxt), c.snd.mss);
  c.congestion.cwnd = c.congestion.ssthresh + (c.sacked.length === 0 ? DUPLICATES * c.snd.mss : 0);
  c.recovery = { end: c.snd.max, next: c.snd.una, resent: 0 };
  resendFirst(c, nowMs);
  c.recovery.next = add(c.snd.una, Math.min(c.snd.mss, distance(c.snd.max, c.snd.una)));
  c.recovery.resent = distance(c.recovery.next, c.snd.una);
  setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}

function takeAckOfFin(c: Connection, nowMs: number): void {
  if (c.state !== "FinWait1" && c.state !== "Closing" && c.state !== "LastAck") return;
  c.state = next(c.state, "ackOfFin");
  if (c.state === "TimeWait") enterTimeWait(c, nowMs);
  else if (c.state === "Closed") drop(c, "done");
}

export function enterTimeWait(c: Connection, nowMs: number): void {
  setTimer(c, "retransmit", undefined);
  setTimer(c, "keepAlive", undefined);
  setTimer(c, "end", nowMs + TIME_WAIT_MS);
  c.queue.clear();
  c.early = [];
  c.earlyBytes = 0;
  tellDone(c);
}
