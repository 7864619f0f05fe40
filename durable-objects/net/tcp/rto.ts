import type { Connection } from "./connection.ts";
import { type TcpContext, arm } from "./context.ts";
import { limits } from "./limits.ts";

/** RFC 6298 §2, with the clock's granularity of 1 ms. */
export function measured(c: Connection, rttMs: number): void {
  if (c.srtt < 0) {
    c.srtt = rttMs;
    c.rttvar = rttMs / 2;
  } else {
    c.rttvar = 0.75 * c.rttvar + 0.25 * Math.abs(c.srtt - rttMs);
    c.srtt = 0.875 * c.srtt + 0.125 * rttMs;
  }
  c.rto = Math.min(limits.mostRtoMs, Math.max(limits.leastRtoMs, c.srtt + Math.max(1, 4 * c.rttvar)));
}

/** RFC 6298 §5.1: every segment that is sent starts the timer if it is not running. */
export function startRexmit(t: TcpContext, c: Connection): void {
  if (c.rexmitAt === Infinity) arm(t, c, "rexmitAt", t.now + c.rto);
}

/** §5.2 and §5.3: all acknowledged, or some of it. */
export function restartRexmit(t: TcpContext, c: Connection, isAllAcked: boolean): void {
  c.attempts = 0;
  if (isAllAcked) c.rexmitAt = Infinity;
  else arm(t, c, "rexmitAt", t.now + c.rto);
}

/** §5.5. */
export function backOff(t: TcpContext, c: Connection): void {
  c.attempts++;
  c.rto = Math.min(limits.mostRtoMs, c.rto * 2);
  arm(t, c, "rexmitAt", t.now + c.rto);
}
