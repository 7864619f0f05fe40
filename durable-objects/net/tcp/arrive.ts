import { enterTimeWait, TIME_WAIT_MS, takeAck } from "./acknowledge.ts";
import { type Connection, drop, setTimer, takeSyn } from "./connection.ts";
import { isAcceptable, takeText } from "./receive.ts";
import { ACK, FIN, RST, SYN, type Segment, lengthOf } from "./segment.ts";
import { challenge, output, sendAck, sendReset, sendSyn } from "./send.ts";
import { add, before, distance } from "./sequence.ts";
import { next } from "./states.ts";
import { restartKeepAlive } from "./timers.ts";

/** RFC 7323 §5.5: a timestamp older than this is no longer compared. */
const TIMESTAMP_IDLE_MS = 24 * 24 * 3600 * 1000;

/** RFC 9293 §3.10.7.3 and §3.10.7.4, in the RFC's order: sequence, RST, SYN, ACK, text, FIN. */
export function onSegment(c: Connection, segment: Segment, nowMs: number, mss: number): void {
  if (c.state === "Dialling") return onDialling(c, segment);
  if (c.state === "SynSent") return onSynSent(c, segment, nowMs, mss);
  c.heardAt = nowMs;
  c.probes = 0;
  if (isOldDuplicate(c, segment, nowMs) || !isAcceptable(c, segment, lengthOf(segment))) {
    if (!(segment.flags & RST)) answerUnacceptable(c, segment, nowMs, mss);
    return;
  }
  rememberTimestamp(c, segment, nowMs);
  if (segment.flags & RST) return onReset(c, segment, nowMs);
  // RFC 5961 §4: a SYN in a connection that stands is answered, not believed.
  if (segment.flags & SYN) return challenge(c, nowMs);
  if (!(segment.flags & ACK)) return;
  if (c.state === "SynReceived" && !onAckOfSyn(c, segment, nowMs)) return;
  if (!takeAck(c, segment, nowMs)) return;
  if (takeText(c, segment, nowMs)) onFin(c, nowMs);
  if (c.state === "TimeWait" || c.state === "Closed") return;
  output(c, nowMs);
  restartKeepAlive(c, nowMs);
}

/** The guest waits for the answer to its SYN; only its giving up matters now. */
function onDialling(c: Connection, segment: Segment): void {
  if (segment.flags & RST && segment.seq === c.rcv.nxt) drop(c, "reset");
}

/** RFC 9293 §3.10.7.3. */
function onSynSent(c: Connection, segment: Segment, nowMs: number, mss: number): void {
  const hasAck = (segment.flags & ACK) !== 0;
  const isOurs = hasAck && segment.ack === c.snd.max;
  if (hasAck && !isOurs) {
    if (!(segment.flags & RST)) sendReset(c, nowMs);
    return;
  }
  if (segment.flags & RST) {
    if (isOurs) drop(c, "reset");
    return;
  }
  if (!(segment.flags & SYN)) return;
  takeSyn(c, segment, nowMs, c.snd.mss);
  c.heardAt = nowMs;
  if (!isOurs) {
    // Both sides opened at once (figure 8).
    c.state = next(c.state, "syn");
    return sendSyn(c, nowMs, mss);
  }
  c.snd.una = segment.ack;
  c.snd.wl2 = segment.ack;
  c.retries = 0;
  setTimer(c, "retransmit", undefined);
  c.state = next(c.state, "synAck");
  sendAck(c, nowMs);
  c.application.onOpen();
  output(c, nowMs);
  restartKeepAlive(c, nowMs);
}

/** PAWS (RFC 7323 §5.3): older than what was seen last. RSTs are not judged by it. */
function isOldDuplicate(c: Connection, segment: Segment, nowMs: number): boolean {
  const { on, recent, recentAt } = c.timestamps;
  if (!on || segment.flags & RST || !segment.options.timestamp) return false;
  return distance(segment.options.timestamp.value, recent) < 0 && nowMs - recentAt < TIMESTAMP_IDLE_MS;
}

/** RFC 7323 §4.3: the timestamp of the segment that the last acknowledgement waited for. */
function rememberTimestamp(c: Connection, segment: Segment, nowMs: number): void {
  const { timestamp } = segment.options;
  if (!c.timestamps.on || !timestamp) return;
  if (distance(segment.seq, c.timestamps.lastAckSent) > 0) return;
  if (distance(timestamp.value, c.timestamps.recent) < 0) return;
  c.timestamps.recent = timestamp.value;
  c.timestamps.recentAt = nowMs;
}

/** Outside of the window: says where we are. A SYN again, or a FIN again, wants its answer again. */
function answerUnacceptable(c: Connection, segment: Segment, nowMs: number, mss: number): void {
  if (c.state === "SynReceived" && segment.flags & SYN && add(segment.seq, 1) === c.rcv.nxt)
    return sendSyn(c, nowMs, mss);
  if (c.state === "TimeWait" && segment.flags & FIN) setTimer(c, "end", nowMs + TIME_WAIT_MS);
  // RFC 5961 §5 limits what a blind attacker can make us send; a retransmission and a window probe must be answered.
  sendAck(c, nowMs);
}

/** RFC 5961 §3.2: exactly the next number ends the connection; any other in the window is answered. */
function onReset(c: Connection, segment: Segment, nowMs: number): void {
  if (segment.seq !== c.rcv.nxt) return challenge(c, nowMs);
  drop(c, c.state === "TimeWait" ? "done" : "reset");
}

/** False: the acknowledgement is not of our SYN. */
function onAckOfSyn(c: Connection, segment: Segment, nowMs: number): boolean {
  if (!before(c.snd.una, segment.ack) || before(c.snd.max, segment.ack)) {
    sendReset({ ...c, snd: { ...c.snd, nxt: segment.ack } }, nowMs);
    return false;
  }
  c.state = next(c.state, "ackOfSyn");
  c.snd.wnd = segment.window << c.snd.scale;
  c.snd.wl1 = segment.seq;
  c.snd.wl2 = segment.ack;
  c.retries = 0;
  if (c.direction === "in") c.application.onOpen();
  return true;
}

function onFin(c: Connection, nowMs: number): void {
  c.state = next(c.state, "fin");
  if (!c.isClosedToApplication) c.application.onFinish();
  if (c.state === "TimeWait") enterTimeWait(c, nowMs);
}
