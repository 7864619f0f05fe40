import { type Connection, drop, setTimer } from "./connection.ts";
import { backOff } from "./round-trip.ts";
import { bytesIn, firstHole } from "./ranges.ts";
import {
  ACK,
  FIN,
  type Options,
  PSH,
  RST,
  SYN,
  type SackBlock,
  TIMESTAMP_BYTES,
  writeSegment,
} from "./segment.ts";
import { add, before, distance } from "./sequence.ts";
import { maySend, next } from "./states.ts";
import { halve } from "./congestion.ts";

/** What we send, and what happens when it is not acknowledged. */

/** RFC 9293 §3.8.3: R2, in timeouts. With the back-off that is about eight minutes for data and two for a SYN. */
const DATA_RETRIES = 12;
const SYN_RETRIES = 6;

/** RFC 7323 §5.4: a clock of milliseconds. */
const clockOf = (nowMs: number): number => Math.floor(nowMs) >>> 0;

/** The window field for what we may take now; remembers the edge that it tells. */
function window(c: Connection): number {
  const room = Math.max(0, c.rcv.buffer - c.rcv.unread);
  const scaled = (room >> c.rcv.scale) << c.rcv.scale;
  const edge = add(c.rcv.nxt, Math.min(scaled, 0xffff << c.rcv.scale));
  if (before(c.rcv.edge, edge)) c.rcv.edge = edge;
  return Math.min(distance(c.rcv.edge, c.rcv.nxt) >> c.rcv.scale, 0xffff);
}

/** RFC 2018 §4: the block with the newest piece first, then the others. */
function sackBlocks(c: Connection): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (const { seq, bytes } of c.early) {
    const to = add(seq, bytes.length);
    const last = blocks.at(-1);
    if (last && last.to === seq) blocks[blocks.length - 1] = { from: last.from, to };
    else blocks.push({ from: seq, to });
  }
  const newest = blocks.findIndex(({ from, to }) => !before(c.lastEarly, from) && before(c.lastEarly, to));
  if (newest > 0) blocks.unshift(...blocks.splice(newest, 1));
  return blocks.filter(({ from, to }) => from !== to).slice(0, c.timestamps.on ? 3 : 4);
}

function optionsFor(c: Connection, nowMs: number): Options {
  const sack = c.sackOn && c.early.length > 0 ? sackBlocks(c) : undefined;
  if (!c.timestamps.on && !sack) return {};
  return {
    ...(c.timestamps.on ? { timestamp: { value: clockOf(nowMs), echo: c.timestamps.recent } } : {}),
    ...(sack ? { sack } : {}),
  };
}

/** A segment with `count` bytes of the queue. Every one carries the present acknowledgement. */
function transmit(c: Connection, seq: number, flags: number, count: number, nowMs: number): void {
  const field = window(c);
  const frame = writeSegment(
    c.route,
    c.ports,
    {
      seq,
      ack: c.rcv.nxt,
      flags: flags | ACK,
      window: field,
      options: optionsFor(c, nowMs),
      payloadBytes: count,
    },
    count === 0 ? undefined : (to, at) => c.queue.copy(distance(seq, c.snd.data), count, to, at),
  );
  c.timestamps.lastAckSent = c.rcv.nxt;
  c.owed = 0;
  c.timers.delayedAck = undefined;
  c.link.transmit(frame);
}

export function sendAck(c: Connection, nowMs: number): void {
  transmit(c, c.snd.nxt, 0, 0, nowMs);
}

/** RFC 5961 §3 to §5: says where we are, as often as the stack allows. */
export function challenge(c: Connection, nowMs: number): void {
  if (c.link.mayChallenge(nowMs)) sendAck(c, nowMs);
}

/** SYN, or SYN and ACK, with what we offer. */
export function sendSyn(c: Connection, nowMs: number, mss: number): void {
  const isAnswer = c.state === "SynReceived";
  const field = Math.min(c.rcv.buffer, 0xffff);
  if (isAnswer) c.rcv.edge = add(c.rcv.nxt, field);
  const { on, recent } = c.timestamps;
  const options: Options = {
    mss,
    ...(isAnswer && c.rcv.scale === 0 && c.snd.scale === 0 ? {} : { windowScale: c.rcv.scale }),
    ...(isAnswer && !c.sackOn ? {} : { sackPermitted: true }),
    ...(isAnswer && !on ? {} : { timestamp: { value: clockOf(nowMs), echo: recent } }),
  };
  const flags = isAnswer ? SYN | ACK : SYN;
  const ack = isAnswer ? c.rcv.nxt : 0;
  c.link.transmit(
    writeSegment(c.route, c.ports, { seq: c.snd.iss, ack, flags, window: field, options, payloadBytes: 0 }),
  );
  c.timestamps.lastAckSent = ack;
  c.snd.nxt = c.snd.max = add(c.snd.iss, 1);
  c.timed ??= { seq: c.snd.nxt, at: nowMs };
  setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}

export function sendReset(c: Connection, nowMs: number): void {
  transmit(c, c.snd.nxt, RST, 0, nowMs);
}

/** The largest payload of a segment with the options that every segment has. */
const payloadLimit = (c: Connection): number => c.snd.mss - (c.timestamps.on ? TIMESTAMP_BYTES : 0);

/** Where the queue ends in the sequence space: our FIN has this number. */
const queueEnd = (c: Connection): number => add(c.snd.data, c.queue.length);
export const finWasSent = (c: Connection): boolean => before(queueEnd(c), c.snd.max) && c.finishing;

/** Bytes believed to be on their way (RFC 6675 §4, SetPipe). */
function pipe(c: Connection): number {
  const { una, nxt } = c.snd;
  if (!c.recovery) return distance(nxt, una) - bytesIn(c.sacked);
  const highest = c.sacked.at(-1)?.to ?? una;
  return Math.max(0, distance(nxt, highest)) + c.recovery.resent;
}

/**
 * Sends what windows allow: first what is lost, then what is new, then FIN. Without Nagle's delay (RFC 9293 §3.7.4): what
 * the world sends comes in pieces already, and a keystroke's echo must not wait.
 */
export function output(c: Connection, nowMs: number): void {
  if (c.recovery) resendHoles(c, nowMs);
  if (!maySend(c.state) && !finIsOurs(c)) return;
  const limit = payloadLimit(c);
  for (;;) {
    const unsent = distance(queueEnd(c), c.snd.nxt);
    if (unsent <= 0) break;
    const congestion = c.congestion.cwnd - pipe(c);
    const offered = distance(add(c.snd.una, c.snd.wnd), c.snd.nxt);
    const count = Math.min(limit, unsent, offered);
    if (count <= 0 || congestion < Math.min(count, limit)) break;
    // RFC 9293 §3.8.6.2.1: no silly windows. A piece that the window cuts waits, unless it is half of the largest window seen.
    if (count < limit && count < unsent && count < c.snd.maxWnd / 2) break;
    sendData(c, count, nowMs);
  }
  if (c.finishing && c.snd.nxt === queueEnd(c)) sendFin(c, nowMs);
  if (
    c.timers.retransmit === undefined &&
    (distance(c.snd.max, c.snd.una) > 0 || distance(queueEnd(c), c.snd.nxt) > 0)
  )
    setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}

/** After our FIN the queue may still have to be sent again. */
const finIsOurs = (c: Connection): boolean =>
  c.state === "FinWait1" || c.state === "Closing" || c.state === "LastAck";

function sendData(c: Connection, count: number, nowMs: number): void {
  const seq = c.snd.nxt;
  const isLast = add(seq, count) === queueEnd(c);
  transmit(c, seq, isLast ? PSH : 0, count, nowMs);
  advance(c, count, nowMs);
}

function advance(c: Connection, count: number, nowMs: number): void {
  c.snd.nxt = add(c.snd.nxt, count);
  if (before(c.snd.max, c.snd.nxt)) {
    if (!c.timestamps.on) c.timed ??= { seq: c.snd.nxt, at: nowMs };
    c.snd.max = c.snd.nxt;
  }
  if (c.timers.retransmit === undefined) setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}

function sendFin(c: Connection, nowMs: number): void {
  if (maySend(c.state)) c.state = next(c.state, "close");
  transmit(c, c.snd.nxt, FIN, 0, nowMs);
  advance(c, 1, nowMs);
}

/** RFC 6675 §5 step 4: holes below the highest acknowledged byte, as far as the congestion window goes. */
function resendHoles(c: Connection, nowMs: number): void {
  const { recovery } = c;
  if (!recovery) return;
  const limit = payloadLimit(c);
  const from = before(recovery.next, c.snd.una) ? c.snd.una : recovery.next;
  recovery.next = from;
  const top = c.sacked.at(-1)?.from;
  if (top === undefined) return;
  while (pipe(c) + limit <= c.congestion.cwnd) {
    const end = queueEnd(c);
    const hole = firstHole(c.sacked, recovery.next, before(top, end) ? top : end, limit);
    if (!hole) break;
    resend(c, hole.from, distance(hole.to, hole.from), nowMs);
    recovery.next = hole.to;
    recovery.resent += distance(hole.to, hole.from);
  }
}

function resend(c: Connection, seq: number, count: number, nowMs: number): void {
  // Karn: what was sent twice is not timed.
  c.timed = null;
  transmit(c, seq, 0, count, nowMs);
}

/** The first segment that is not acknowledged, again: data, or our FIN. */
export function resendFirst(c: Connection, nowMs: number): void {
  const left = distance(queueEnd(c), c.snd.una);
  if (left > 0) resend(c, c.snd.una, Math.min(left, payloadLimit(c)), nowMs);
  else if (finWasSent(c)) transmit(c, c.snd.una, FIN, 0, nowMs);
}

/** The retransmission timer has run out (RFC 6298 §5.4 to §5.7); with a closed window it is the persist timer (RFC 9293 §3.8.6.1). */
export function onRetransmitTimer(c: Connection, nowMs: number, mss: number): void {
  c.timers.retransmit = undefined;
  if (overrideSillyWindow(c, nowMs)) return;
  const isOpening = c.state === "SynSent" || c.state === "SynReceived";
  const isProbe = !isOpening && c.snd.wnd === 0;
  if (c.retries >= (isOpening ? SYN_RETRIES : DATA_RETRIES)) {
    if (!isOpening) sendReset(c, nowMs);
    return drop(c, "timeout");
  }
  c.retries++;
  backOff(c.roundTrip);
  c.timed = null;
  if (isOpening) return sendSyn(c, nowMs, mss);
  if (isProbe) return probeWindow(c, nowMs);
  // What was selectively acknowledged may have been dropped since (RFC 2018 §8).
  c.sacked = [];
  c.recovery = null;
  c.dupAcks = 0;
  halve(c.congestion, distance(c.snd.nxt, c.snd.una), c.snd.mss);
  c.congestion.cwnd = c.snd.mss;
  c.snd.nxt = c.snd.una;
  output(c, nowMs);
  setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}

/** RFC 9293 §3.8.6.2.1: a piece that waited for a better window goes as it is. False: it was not that. */
function overrideSillyWindow(c: Connection, nowMs: number): boolean {
  const unsent = distance(queueEnd(c), c.snd.nxt);
  const isWaiting = (maySend(c.state) || finIsOurs(c)) && distance(c.snd.max, c.snd.una) === 0 && unsent > 0;
  if (!isWaiting || c.snd.wnd === 0) return false;
  sendData(c, Math.min(unsent, c.snd.wnd, payloadLimit(c)), nowMs);
  output(c, nowMs);
  return true;
}

/** One byte beyond a closed window, so that the news of its opening cannot be lost. */
function probeWindow(c: Connection, nowMs: number): void {
  const left = distance(queueEnd(c), c.snd.una);
  if (left > 0) {
    transmit(c, c.snd.una, 0, 1, nowMs);
    const after = add(c.snd.una, 1);
    if (before(c.snd.nxt, after)) c.snd.nxt = after;
    if (before(c.snd.max, after)) c.snd.max = after;
  } else if (c.finishing) {
    if (finWasSent(c)) transmit(c, c.snd.una, FIN, 0, nowMs);
    else sendFin(c, nowMs);
  }
  setTimer(c, "retransmit", nowMs + c.roundTrip.rto);
}
