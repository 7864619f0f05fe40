import type { Connection } from "./connection.ts";
import { limits } from "./limits.ts";
import { add, before, distance, later } from "./sequence.ts";

/**
 * Congestion control: Reno (RFC 5681) with byte counting (RFC 3465) and the loss recovery of RFC 6675. Not CUBIC: a flow
 * has 1 MiB under way at most, 720 segments, and with the round trip of a page to its nearest object, some 20 ms, CUBIC
 * is then in its Reno-friendly region by its own rules (RFC 9438 §4.3); the way to a guest is one reliable stream, on which segments are lost at the guest's ring only.
 */

/** RFC 6928 §2. */
export const initialWindow = (mss: number): number => Math.min(10 * mss, Math.max(2 * mss, 14_600));

/** What is out and not acknowledged. */
export const flight = (c: Connection): number => Math.max(0, distance(c.snd.nxt, c.snd.una));

/**
 * Grows by what was acknowledged: §3.1. Only a sender that the window holds back learns something from an ACK. `longest`: text
 * of the longest segment on this link.
 */
export function grow(c: Connection, acked: number, longest: number): void {
  if (c.recovery === "fast" || !(c.isCwndLimited || c.recovery === "timeout")) return;
  const { mss } = c.snd;
  if (c.cwnd < c.ssthresh) {
    // RFC 3465 §2.3: L = 2, and 1 after a time-out. The ACK of a long segment stands for those of all its parts.
    c.cwnd += Math.min(acked, c.recovery === "timeout" ? mss : Math.max(2 * mss, longest));
    return;
  }
  c.ackedBytes += acked;
  if (c.ackedBytes < c.cwnd) return;
  c.ackedBytes -= c.cwnd;
  c.cwnd += mss;
}

/** RFC 5681 §4.1: after a pause of one RTO the window says nothing about the way any more. */
export function restartAfterIdle(c: Connection, nowMs: number): void {
  if (flight(c) === 0 && nowMs - c.lastSentAt > c.rto) c.cwnd = Math.min(c.cwnd, initialWindow(c.snd.mss));
}

const halve = (c: Connection): void => {
  c.ssthresh = Math.max(flight(c) >> 1, 2 * c.snd.mss);
  c.ackedBytes = 0;
};

/** RFC 6675 §5 (4). */
export function enterFastRecovery(c: Connection): void {
  c.recovery = "fast";
  c.recoveryPoint = c.snd.nxt;
  halve(c);
  c.cwnd = c.ssthresh;
  c.highRxt = c.snd.una;
  c.rescueRxt = c.snd.una;
}

/** RFC 5681 §3.1 (4) and RFC 6675 §5.1: all that is not known to have arrived is lost. */
export function enterTimeout(c: Connection): void {
  // A second time-out of the same segment does not halve again.
  if (c.attempts === 0) halve(c);
  c.recovery = "timeout";
  c.recoveryPoint = c.snd.nxt;
  c.cwnd = c.snd.mss;
  c.highRxt = c.snd.una;
  c.rescueRxt = c.snd.una;
  c.duplicateAcks = 0;
  // RFC 2018 §8: a receiver that does not have what it reported begins with what it reported.
  if (c.sacked.length > 0 && c.sacked[0] === c.snd.una) c.sacked.length = 0;
}

/** Everything before this is lost: IsLost of RFC 6675 §4, which holds for all that lies lower. */
export function lostEdge(c: Connection): number {
  if (c.recovery === "timeout") return c.recoveryPoint;
  let bytes = 0;
  let ranges = 0;
  for (let at = c.sacked.length - 2; at >= 0; at -= 2) {
    bytes += distance(c.sacked[at + 1]!, c.sacked[at]!);
    ranges++;
    if (ranges >= limits.duplicateAcks || bytes > (limits.duplicateAcks - 1) * c.snd.mss)
      return c.sacked[at]!;
  }
  // NewReno, and §5 (4.1): the first segment is lost once recovery has begun.
  return c.recovery === "fast" ? later(c.snd.una, earlier(add(c.snd.una, c.snd.mss), c.snd.nxt)) : c.snd.una;
}

const earlier = (left: number, right: number): number => (before(left, right) ? left : right);
const overlap = (left: number, right: number, edge: number): number =>
  Math.max(0, distance(earlier(right, edge), left));

/** SetPipe of RFC 6675 §4, by stretches instead of bytes. */
export function pipe(c: Connection): number {
  const lost = lostEdge(c);
  let left = c.snd.una;
  let total = 0;
  for (let at = 0; at <= c.sacked.length; at += 2) {
    const right = at < c.sacked.length ? c.sacked[at]! : c.snd.nxt;
    if (before(left, right))
      total += distance(right, left) - overlap(left, right, lost) + overlap(left, right, c.highRxt);
    if (at < c.sacked.length) left = c.sacked[at + 1]!;
  }
  // Without SACK every duplicate ACK says that one segment has left (RFC 6582 in the terms of RFC 6675).
  return c.sackOn ? total : Math.max(0, total - c.duplicateAcks * c.snd.mss);
}

/** The next hole to send again, cut to a segment: NextSeg (1) of RFC 6675 §4; with `isRescue` (3) too. */
export function nextHole(c: Connection, isRescue: boolean): { seq: number; length: number } | null {
  const edge = isRescue ? (c.sacked.at(-1) ?? c.snd.una) : lostEdge(c);
  let left = later(c.snd.una, c.highRxt);
  for (let at = 0; at < c.sacked.length; at += 2) {
    if (!before(left, edge)) return null;
    const gap = distance(earlier(c.sacked[at]!, edge), left);
    if (gap > 0) return { seq: left, length: Math.min(gap, c.snd.mss) };
    left = later(left, c.sacked[at + 1]!);
  }
  const gap = distance(edge, left);
  return gap > 0 ? { seq: left, length: Math.min(gap, c.snd.mss) } : null;
}
