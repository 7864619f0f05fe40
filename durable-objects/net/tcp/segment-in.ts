import { type Segment, flags } from "../wire/tcp.ts";
import { takeAck } from "./ack.ts";
import { challenge, strayAck } from "./challenge.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, arm } from "./context.ts";
import { abort } from "./end.ts";
import { onSegmentInSynSent, takeAckOfSyn } from "./handshake.ts";
import { limits } from "./limits.ts";
import { payAck, takeFin, takeText } from "./receive.ts";
import { output } from "./send.ts";
import { atMost, before, distance } from "./sequence.ts";
import { abilities } from "./states.ts";

/** RFC 7323 §5.5: a timestamp this old says nothing; 24 days is half of the clock's range at 1 ms. */
const PAWS_IDLE_MS = 24 * 86_400_000;

/** RFC 9293 §3.10.7.4, in the RFC's order: sequence, RST, SYN, ACK, text, FIN. Each step may end the walk. */
export function onSegment(t: TcpContext, c: Connection, view: DataView, segment: Segment): void {
  if (c.state === "SynSent") onSegmentInSynSent(t, c, segment);
  else if (!isAcceptable(t, c, segment)) return;
  else if (segment.flags & flags.rst) return takeRst(t, c, segment);
  else if (segment.flags & flags.syn) return challenge(t, c);
  else {
    if ((segment.flags & flags.ack) === 0) return;
    noteTimestamp(t, c, segment);
    if (c.state === "SynReceived" && !takeAckOfSyn(t, c, segment)) return;
    if (!takeAck(t, c, segment)) return;
    takeText(t, c, view, segment);
    takeFin(t, c);
  }
  if (!abilities[c.state].synchronized || c.state === "TimeWait") return;
  c.keepAliveTries = 0;
  arm(t, c, "keepAliveAt", t.now + limits.keepAliveIdleMs);
  output(t, c);
  payAck(t, c);
}

/** "First": the sequence number and PAWS (RFC 7323 §5.3). */
function isAcceptable(t: TcpContext, c: Connection, segment: Segment): boolean {
  const isRst = (segment.flags & flags.rst) !== 0;
  if (c.ts.on && !isRst) {
    // RFC 7323 §3.2: a segment without the option, when both have agreed on it, is dropped.
    if (!segment.hasTimestamps) return false;
    const isOld = before(segment.tsVal, c.ts.recent) && t.now - c.ts.recentAt < PAWS_IDLE_MS;
    if (isOld) return refuse(t, c, isRst);
  }
  return isInWindow(c, segment) || refuse(t, c, isRst);
}

function refuse(t: TcpContext, c: Connection, isRst: boolean): false {
  if (isRst) return false;
  // A FIN that is sent again in TIME-WAIT begins the wait anew (§3.10.7.4, "Eighth").
  if (c.state === "TimeWait") arm(t, c, "endAt", t.now + 2 * limits.mslMs);
  strayAck(t, c);
  return false;
}

/** Table 6 of §3.10.7.4. With a closed window the right number is enough: its ACK counts, its text does not. */
function isInWindow(c: Connection, segment: Segment): boolean {
  const from = distance(segment.seq, c.rcv.nxt);
  if (from === 0) return true;
  const window = distance(c.rcv.edge, c.rcv.nxt);
  if (from > 0) return from < window;
  const extra = (segment.flags & flags.syn ? 1 : 0) + (segment.flags & flags.fin ? 1 : 0);
  const last = from + segment.end - segment.payload + extra - 1;
  return last >= 0 && last < window;
}

/** "Second", with RFC 5961 §3.2: only the exact number resets. */
function takeRst(t: TcpContext, c: Connection, segment: Segment): void {
  if (segment.seq !== c.rcv.nxt) challenge(t, c);
  else abort(t, c, "reset");
}

/** RFC 7323 §4.3 (2) and (3). */
function noteTimestamp(t: TcpContext, c: Connection, segment: Segment): void {
  if (!c.ts.on || !atMost(segment.seq, c.ts.lastAckSent) || before(segment.tsVal, c.ts.recent)) return;
  c.ts.recent = segment.tsVal;
  c.ts.recentAt = t.now;
}
