import { type Segment, flags } from "../wire/tcp.ts";
import { challenge } from "./challenge.ts";
import { enterFastRecovery, flight, grow, lostEdge } from "./congestion.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, holdForGuest, sendShare } from "./context.ts";
import { longestText, tsNow } from "./emit.ts";
import { enterTimeWait, forget } from "./end.ts";
import { limits } from "./limits.ts";
import { addRange, trimRanges } from "./ranges.ts";
import { measured, restartRexmit } from "./rto.ts";
import { retransmit } from "./send.ts";
import { add, atMost, before, distance, later } from "./sequence.ts";
import { next } from "./states.ts";

/** RFC 9293 §3.10.7.4, "Fifth", with RFC 5961 §5.2. False: the segment ends here. */
export function takeAck(t: TcpContext, c: Connection, segment: Segment): boolean {
  const { ack } = segment;
  if (before(c.snd.max, ack) || before(ack, add(c.snd.una, -c.snd.maxWnd))) {
    challenge(t, c);
    return false;
  }
  c.attempts = c.persistAt < Infinity ? 0 : c.attempts;
  const isDuplicate = looksDuplicate(c, segment);
  const acked = distance(ack, c.snd.una);
  if (acked > 0) advance(t, c, segment, acked);
  const hasNews = c.sackOn && segment.sackBlocks > 0 && takeSack(c, segment);
  // RFC 6675 §2 counts by what is newly reported, RFC 5681 §2 by what is repeated.
  if (acked <= 0 && flight(c) > 0 && (c.sackOn ? hasNews : isDuplicate)) c.duplicateAcks++;
  takeWindow(c, segment);
  if (c.recovery === "open") detectLoss(t, c);
  return acked <= 0 || settle(t, c);
}

/** RFC 5681 §2: no text, the same number, the same window, and something under way. */
const looksDuplicate = (c: Connection, segment: Segment): boolean =>
  segment.ack === c.snd.una &&
  segment.payload === segment.end &&
  (segment.flags & (flags.syn | flags.fin)) === 0 &&
  segment.window << c.snd.scale === c.snd.wnd;

function advance(t: TcpContext, c: Connection, segment: Segment, acked: number): void {
  const { ack } = segment;
  sampleRtt(t, c, segment);
  const text = Math.min(acked, c.out.length);
  if (text > 0) {
    c.out.drop(text);
    holdForGuest(t, -text);
    c.receivedBytes += text;
  }
  c.snd.una = ack;
  c.snd.nxt = later(c.snd.nxt, ack);
  if (c.sacked.length > 0) trimRanges(c.sacked, ack);
  grow(c, acked, longestText(t, c));
  leaveRecovery(c, acked);
  restartRexmit(t, c, c.snd.una === c.snd.nxt);
  if (c.wantsRoom && c.out.length * 2 <= sendShare(t)) {
    c.wantsRoom = false;
    t.world.roomy(c.id);
  }
}

/** RFC 7323 §4.1 with timestamps, else Karn's rule: one segment at a time and none that was sent twice. */
function sampleRtt(t: TcpContext, c: Connection, segment: Segment): void {
  if (c.ts.on) {
    const rtt = (tsNow(t, c) - segment.tsEcr) >>> 0;
    // An echo of something that was never sent says nothing.
    if (rtt < 0x7fff_ffff) measured(c, rtt);
  } else if (c.timedSeq >= 0 && atMost(c.timedSeq, segment.ack)) measured(c, t.now - c.timedAt);
  if (c.timedSeq >= 0 && atMost(c.timedSeq, segment.ack)) c.timedSeq = -1;
}

function leaveRecovery(c: Connection, acked: number): void {
  if (c.recovery === "open") {
    c.duplicateAcks = 0;
    // Keeps the comparison with the last recovery meaningful for a flow of many gigabytes.
    if (distance(c.snd.una, c.recoveryPoint) > 0x3fff_ffff) c.recoveryPoint = add(c.snd.una, -1);
    return;
  }
  if (atMost(c.recoveryPoint, c.snd.una)) {
    if (c.recovery === "fast") c.cwnd = c.ssthresh;
    c.recovery = "open";
    c.duplicateAcks = 0;
    return;
  }
  // RFC 6582 §3.2 (3): a partial ACK says that the next segment is lost too.
  if (!c.sackOn) c.duplicateAcks = Math.max(0, c.duplicateAcks - Math.floor(acked / c.snd.mss) + 1);
}

/** RFC 6675 §4, Update. True: something was reported that was not known. */
function takeSack(c: Connection, segment: Segment): boolean {
  let hasNews = false;
  for (let at = 0; at < 2 * segment.sackBlocks; at += 2) {
    const left = segment.sack[at]!;
    const right = segment.sack[at + 1]!;
    // Below SND.UNA is a duplicate's report (RFC 2883); beyond SND.NXT a lie.
    const isSane = before(c.snd.una, left) && before(left, right) && atMost(right, c.snd.nxt);
    if (isSane && !isCovered(c.sacked, left, right))
      hasNews = addRange(c.sacked, left, right, limits.sackRanges) || hasNews;
  }
  return hasNews;
}

function isCovered(ranges: readonly number[], left: number, right: number): boolean {
  for (let at = 0; at < ranges.length; at += 2)
    if (atMost(ranges[at]!, left) && atMost(right, ranges[at + 1]!)) return true;
  return false;
}

/** RFC 9293 §3.10.7.4: only a segment that is not older than the last may change the window. */
export function takeWindow(c: Connection, segment: Segment): void {
  const isNewer =
    before(c.snd.wl1, segment.seq) || (c.snd.wl1 === segment.seq && atMost(c.snd.wl2, segment.ack));
  if (!isNewer) return;
  c.snd.wnd = segment.window << c.snd.scale;
  c.snd.maxWnd = Math.max(c.snd.maxWnd, c.snd.wnd);
  c.snd.wl1 = segment.seq;
  c.snd.wl2 = segment.ack;
  if (c.snd.wnd > 0) c.persistAt = Infinity;
}

/** RFC 6675 §5 and RFC 6582 §3.2 (2): after three reports, or when the scoreboard says so. */
function detectLoss(t: TcpContext, c: Connection): void {
  if (flight(c) === 0) return;
  const isLost = c.sackOn
    ? before(c.snd.una, lostEdge(c)) || (c.duplicateAcks >= limits.duplicateAcks && c.sacked.length > 0)
    : c.duplicateAcks >= limits.duplicateAcks && before(c.recoveryPoint, c.snd.una);
  if (!isLost) return;
  enterFastRecovery(c);
  const gap = c.sacked.length > 0 ? distance(c.sacked[0]!, c.snd.una) : flight(c);
  retransmit(t, c, c.snd.una, Math.min(gap, c.snd.mss));
}

/** What an acknowledged FIN does to the state. False: the connection is over. */
function settle(t: TcpContext, c: Connection): boolean {
  if (!c.finSent || c.snd.una !== c.snd.nxt) return true;
  if (c.state !== "FinWait1" && c.state !== "Closing" && c.state !== "LastAck") return true;
  c.state = next(c.state, "ackOfFin");
  if (c.state === "Closed") forget(t, c, "done");
  else if (c.state === "TimeWait") enterTimeWait(t, c);
  return c.state === "FinWait2";
}
