/**
 * The retransmission timeout (RFC 6298). The lower bound is 200 ms where the RFC recommends a second: both ends are on one
 * LAN, whose wire (a WebSocket) delays but hardly loses, and Linux uses the same.
 */
export const FIRST_RTO_MS = 1000;
export const MIN_RTO_MS = 200;
export const MAX_RTO_MS = 60_000;
const CLOCK_GRANULARITY_MS = 1;

export interface RoundTrip {
  /** Null: nothing measured yet. */
  smoothed: number | null;
  variation: number;
  rto: number;
}
export const newRoundTrip = (): RoundTrip => ({ smoothed: null, variation: 0, rto: FIRST_RTO_MS });

/** RFC 6298 §2.2 and §2.3. */
export function measure(rtt: RoundTrip, sampleMs: number): void {
  if (rtt.smoothed === null) {
    rtt.smoothed = sampleMs;
    rtt.variation = sampleMs / 2;
  } else {
    rtt.variation = 0.75 * rtt.variation + 0.25 * Math.abs(rtt.smoothed - sampleMs);
    rtt.smoothed = 0.875 * rtt.smoothed + 0.125 * sampleMs;
  }
  const rto = rtt.smoothed + Math.max(CLOCK_GRANULARITY_MS, 4 * rtt.variation);
  rtt.rto = Math.min(Math.max(rto, MIN_RTO_MS), MAX_RTO_MS);
}

/** RFC 6298 §5.5: the timer backs off. */
export function backOff(rtt: RoundTrip): void {
  rtt.rto = Math.min(2 * rtt.rto, MAX_RTO_MS);
}
