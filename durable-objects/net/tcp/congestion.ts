import { distance } from "./sequence.ts";

/**
 * Congestion control: Reno (RFC 5681) with an initial window of ten segments (RFC 6928). The bottleneck between the stack
 * and its guest is the tunnel's own credit, which loses nothing, so that a cleverer algorithm would have nothing to probe
 * for; losses there are rare and real.
 */
export interface Congestion {
  cwnd: number;
  ssthresh: number;
  /** Bytes acknowledged in congestion avoidance that have not yet opened the window (RFC 3465 §2.1). */
  counted: number;
}
const INITIAL_SEGMENTS = 10;

export const newCongestion = (mss: number): Congestion => ({
  cwnd: INITIAL_SEGMENTS * mss,
  ssthresh: Infinity,
  counted: 0,
});

/** New data was acknowledged outside of recovery (RFC 5681 §3.1). `limited`: the window was what held the sender back. */
export function onNewAck(c: Congestion, acked: number, mss: number, limited: boolean, most: number): void {
  // RFC 7661: a window that was not used says nothing about the path.
  if (!limited || c.cwnd >= most) return;
  if (c.cwnd < c.ssthresh) {
    c.cwnd += Math.min(acked, 2 * mss);
    return;
  }
  c.counted += acked;
  if (c.counted < c.cwnd) return;
  c.counted -= c.cwnd;
  c.cwnd += mss;
}

/** RFC 5681 §3.1 equation (4): half of what is under way, at least two segments. */
export function halve(c: Congestion, flight: number, mss: number): void {
  c.ssthresh = Math.max(Math.floor(flight / 2), 2 * mss);
  c.counted = 0;
}

export const flightOf = (una: number, nxt: number): number => distance(nxt, una);
