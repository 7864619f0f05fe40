import { type Connection, setTimer } from "./connection.ts";
import { FIN, type Segment } from "./segment.ts";
import { sendAck } from "./send.ts";
import { add, before, distance } from "./sequence.ts";
import { mayReceive } from "./states.ts";

/** Text of the guest: in order to the application, early pieces kept, all of it acknowledged in time. */

/** RFC 9293 §3.8.6.3: at most 500 ms, at least every second full segment. */
const DELAYED_ACK_MS = 40;
const EARLY_PIECES = 256;
/** Counted for each early piece beside its bytes, so that many tiny ones cannot hold much memory. */
const PIECE_COST = 64;

/** RFC 9293 §3.10.7.4, first step: is any of the segment within the window? */
export function isAcceptable(c: Connection, segment: Segment, length: number): boolean {
  const window = distance(c.rcv.edge, c.rcv.nxt);
  const start = distance(segment.seq, c.rcv.nxt);
  if (length === 0) return window === 0 ? start === 0 : start >= 0 && start < window;
  if (window === 0) return false;
  return start < window && start + length > 0;
}

/** Step seven and eight: text and FIN. True: the guest's FIN has been reached. */
export function takeText(c: Connection, segment: Segment, nowMs: number): boolean {
  const fin = (segment.flags & FIN) !== 0;
  if (!mayReceive(c.state) || (segment.payload.length === 0 && !fin)) return false;
  const offset = distance(c.rcv.nxt, segment.seq);
  if (offset < 0) {
    keepEarly(c, segment, fin);
    sendAck(c, nowMs);
    return false;
  }
  let finished = takeInOrder(
    c,
    segment.payload.subarray(Math.min(offset, segment.payload.length)),
    fin && offset <= segment.payload.length,
  );
  const hadEarly = c.early.length > 0;
  if (!finished) finished = takeEarly(c);
  // RFC 5681 §4.2: a piece that fills a gap is acknowledged at once.
  if (finished || hadEarly) sendAck(c, nowMs);
  else oweAck(c, segment.payload.length, nowMs);
  return finished;
}

/** What does not fit into the window that the guest was told is not taken. */
function takeInOrder(c: Connection, bytes: Uint8Array, fin: boolean): boolean {
  const room = distance(c.rcv.edge, c.rcv.nxt);
  const taken = bytes.length > room ? bytes.subarray(0, Math.max(0, room)) : bytes;
  if (taken.length > 0) {
    c.rcv.nxt = add(c.rcv.nxt, taken.length);
    // Nobody is left to read: it is acknowledged and forgotten.
    if (!c.isClosedToApplication) {
      c.rcv.unread += taken.length;
      c.application.onBytes(taken);
    }
  }
  if (!fin || taken.length < bytes.length) return false;
  c.rcv.nxt = add(c.rcv.nxt, 1);
  return true;
}

function keepEarly(c: Connection, segment: Segment, fin: boolean): void {
  const room = distance(c.rcv.edge, segment.seq);
  const bytes =
    segment.payload.length > room ? segment.payload.subarray(0, Math.max(0, room)) : segment.payload;
  const cost = bytes.length + PIECE_COST;
  if (c.early.length >= EARLY_PIECES || c.earlyBytes + cost > 2 * c.rcv.buffer) return;
  if (bytes.length === 0 && !fin) return;
  let at = c.early.length;
  while (at > 0 && before(segment.seq, c.early[at - 1]!.seq)) at--;
  const known = c.early[at - 1];
  // The same piece again, or less of it.
  if (known && distance(add(known.seq, known.bytes.length), add(segment.seq, bytes.length)) >= 0 && !fin)
    return;
  c.early.splice(at, 0, { seq: segment.seq, bytes, fin: fin && bytes.length === segment.payload.length });
  c.earlyBytes += cost;
  c.lastEarly = segment.seq;
}

/** Pieces whose turn has come. */
function takeEarly(c: Connection): boolean {
  let finished = false;
  while (c.early.length > 0 && !finished) {
    const piece = c.early[0]!;
    const offset = distance(c.rcv.nxt, piece.seq);
    if (offset < 0) break;
    c.early.shift();
    c.earlyBytes -= piece.bytes.length + PIECE_COST;
    if (offset > piece.bytes.length) continue;
    finished = takeInOrder(c, piece.bytes.subarray(offset), piece.fin);
  }
  return finished;
}

function oweAck(c: Connection, length: number, nowMs: number): void {
  // A segment of full size, or what the guest takes for one.
  c.owed += length >= c.snd.mss / 2 ? 1 : 0;
  if (c.owed >= 2) return sendAck(c, nowMs);
  if (c.timers.delayedAck === undefined) setTimer(c, "delayedAck", nowMs + DELAYED_ACK_MS);
}

/** The application has written `count` bytes: tells the guest when its window has opened by enough (RFC 9293 §3.8.6.2.2). */
export function openWindow(c: Connection, count: number, nowMs: number): void {
  c.rcv.unread = Math.max(0, c.rcv.unread - count);
  if (!mayReceive(c.state)) return;
  const told = distance(c.rcv.edge, c.rcv.nxt);
  const gain = c.rcv.buffer - c.rcv.unread - told;
  if (gain >= c.rcv.buffer / 4 || (told < 2 * c.snd.mss && gain >= Math.min(2 * c.snd.mss, c.rcv.buffer / 2)))
    sendAck(c, nowMs);
}
