import { type Segment, flags } from "../wire/tcp.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, arm, holdForWorld, receiveShare } from "./context.ts";
import { sendAck } from "./emit.ts";
import { enterTimeWait, finishEnding } from "./end.ts";
import { limits } from "./limits.ts";
import { add, atMost, before, distance } from "./sequence.ts";
import { abilities, next } from "./states.ts";

/** RFC 9293 §3.10.7.4, "Seventh": the segment's text. Urgent data are text like any other (RFC 6093 §4). */
export function takeText(t: TcpContext, c: Connection, view: DataView, segment: Segment): void {
  if (!abilities[c.state].text) return;
  const length = segment.end - segment.payload;
  const past = distance(c.rcv.nxt, segment.seq);
  const fits = distance(c.rcv.edge, segment.seq);
  const from = Math.max(0, past);
  const to = Math.min(length, fits);
  const isWhole = to === length;
  if (segment.flags & flags.fin && isWhole) c.rcv.fin = add(segment.seq, length);
  if (length === 0) return;
  c.rcv.mss = Math.max(c.rcv.mss, Math.min(length, t.ip.mtu));
  // Something old, something that does not fit: the guest hears at once where we are.
  if (from > 0 || !isWhole) c.ackDue = 2;
  if (to <= from) return;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + segment.payload + from, to - from);
  if (past >= 0) takeInOrder(t, c, bytes);
  else takeEarly(t, c, segment.seq, bytes);
}

/**
 * All flows together hold a bounded number of bytes; what is over it counts as lost. A flow that has nothing at all is never
 * without room for as much as the MTU carries, however long the segment is.
 */
function roomFor(t: TcpContext, c: Connection, count: number): number {
  if (t.held.receive + count <= limits.stackReceiveBytes) return count;
  return c.rcv.held + c.earlyBytes === 0 ? Math.min(count, t.ip.mtu) : 0;
}

function takeInOrder(t: TcpContext, c: Connection, bytes: Uint8Array): void {
  c.rcv.unacked += bytes.length;
  const room = roomFor(t, c, bytes.length);
  if (room < bytes.length) c.ackDue = 2;
  if (room === 0) return;
  give(t, c, bytes.subarray(0, room));
  // RFC 5681 §4.2: a segment that fills a hole is acknowledged at once; RFC 9293 §3.8.6.3: every second full one is.
  if (c.early.length > 0) {
    c.ackDue = 2;
    takeWaiting(t, c);
  } else if (c.rcv.unacked >= 2 * c.rcv.mss) c.ackDue = 2;
  else if (c.ackDue === 0) c.ackDue = 1;
}

function give(t: TcpContext, c: Connection, bytes: Uint8Array): void {
  c.rcv.nxt = add(c.rcv.nxt, bytes.length);
  c.rcv.held += bytes.length;
  holdForWorld(t, bytes.length);
  c.sentBytes += bytes.length;
  t.world.send(c.id, bytes);
}

/** What was early and is due now. */
function takeWaiting(t: TcpContext, c: Connection): void {
  while (c.early.length > 0 && atMost(c.early[0]!.seq, c.rcv.nxt)) {
    const { seq, bytes } = c.early.shift()!;
    c.earlyBytes -= bytes.length;
    holdForWorld(t, -bytes.length);
    const past = distance(c.rcv.nxt, seq);
    if (past < bytes.length) give(t, c, past > 0 ? bytes.subarray(past) : bytes);
  }
}

/** Keeps a copy of what none of the kept segments holds yet. */
function takeEarly(t: TcpContext, c: Connection, seq: number, bytes: Uint8Array): void {
  c.ackDue = 2;
  c.lastEarly = seq;
  let at = c.early.length;
  while (at > 0 && before(seq, c.early[at - 1]!.seq)) at--;
  const left = at > 0 ? c.early[at - 1]! : undefined;
  const right = c.early[at];
  const from = left ? Math.max(0, distance(add(left.seq, left.bytes.length), seq)) : 0;
  const end = right ? Math.min(bytes.length, distance(right.seq, seq)) : bytes.length;
  if (end <= from || c.early.length >= limits.reorderSegments) return;
  const to = from + roomFor(t, c, end - from);
  if (to === from) return;
  c.early.splice(at, 0, { seq: add(seq, from), bytes: bytes.slice(from, to) });
  c.earlyBytes += to - from;
  holdForWorld(t, to - from);
}

/** "Eighth": the FIN, once all text before it is here. */
export function takeFin(t: TcpContext, c: Connection): void {
  if (c.rcv.fin < 0 || !abilities[c.state].text || c.rcv.nxt !== c.rcv.fin) return;
  c.rcv.nxt = add(c.rcv.nxt, 1);
  c.rcv.fin = -1;
  c.state = next(c.state, "fin");
  t.world.finish(c.id);
  if (c.state !== "TimeWait") {
    c.ackDue = 2;
    return;
  }
  sendAck(t, c);
  enterTimeWait(t, c);
}

/** What this arrival owes, unless something that was sent has said it already. */
export function payAck(t: TcpContext, c: Connection): void {
  if (c.ackDue === 2) sendAck(t, c);
  else if (c.ackDue === 1 && c.delayedAckAt === Infinity)
    arm(t, c, "delayedAckAt", t.now + limits.delayedAckMs);
}

/** The world took `count` bytes: tells the guest when the window has grown by enough (RFC 9293 §3.8.6.2.2). */
export function written(t: TcpContext, c: Connection, count: number): void {
  if (count > c.rcv.held) throw new RangeError(`Flow ${c.id}: ${count} bytes written of ${c.rcv.held}`);
  c.rcv.held -= count;
  holdForWorld(t, -count);
  finishEnding(t, c);
  if (!abilities[c.state].text) return;
  const most = receiveShare(t);
  const open = distance(c.rcv.edge, c.rcv.nxt);
  const couldBe = most - c.rcv.held;
  // While the guest still has half of its window the next ACK says it in time.
  if (open < most >> 1 && couldBe - open >= Math.min(most >> 1, 2 * c.rcv.mss)) sendAck(t, c);
}
