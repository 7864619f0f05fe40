import { TokenBucket } from "../token-bucket.ts";
import type { Connection } from "./connection.ts";
import type { TcpContext } from "./context.ts";
import { sendAck } from "./emit.ts";
import { limits } from "./limits.ts";

/** RFC 5961 §3.2, §4.2, §5.2, §7: an ACK that an attacker who guesses does not see and the true guest answers. */
export function challenge(t: TcpContext, c: Connection): void {
  c.challenges ??= new TokenBucket(limits.challengesPerSecond, limits.challengeBurst);
  if (c.challenges.take(t.now)) sendAck(t, c);
}

/** RFC 9293 §3.10.7.4, "First": the answer to what is outside the window. */
export function strayAck(t: TcpContext, c: Connection): void {
  c.strayAcks ??= new TokenBucket(limits.strayAcksPerSecond, limits.strayAckBurst);
  if (c.strayAcks.take(t.now)) sendAck(t, c);
}
