import { enterTimeout, flight } from "./congestion.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, arm } from "./context.ts";
import { emit, emitSyn, sendAck } from "./emit.ts";
import { abort, forget, sendReset } from "./end.ts";
import { limits } from "./limits.ts";
import { backOff } from "./rto.ts";
import { output, probe, retransmit } from "./send.ts";
import { add } from "./sequence.ts";
import { next } from "./states.ts";

/** Does what is due of one connection. `onDialTimeout` tells the guest that nobody has answered. */
export function expire(t: TcpContext, c: Connection, onDialTimeout: (c: Connection) => void): void {
  if (c.endAt <= t.now) return end(t, c, onDialTimeout);
  if (c.delayedAckAt <= t.now) sendAck(t, c);
  if (c.rexmitAt <= t.now) return onRexmit(t, c);
  if (c.persistAt <= t.now) return onPersist(t, c);
  if (c.keepAliveAt <= t.now) return onKeepAlive(t, c);
  return undefined;
}

function end(t: TcpContext, c: Connection, onDialTimeout: (c: Connection) => void): void {
  c.endAt = Infinity;
  if (c.state === "Dialing") {
    onDialTimeout(c);
    return abort(t, c, "timeout");
  }
  c.state = next(c.state, "twoMslElapsed");
  return forget(t, c, "done");
}

const giveUp = (t: TcpContext, c: Connection): void => {
  sendReset(t, c);
  abort(t, c, "timeout");
};

/** RFC 6298 §5.4 to 5.7; RFC 9293 §3.8.3 for when it is enough. */
function onRexmit(t: TcpContext, c: Connection): void {
  const isSyn = c.state === "SynSent" || c.state === "SynReceived";
  if (c.attempts >= (isSyn ? limits.synRetransmissions : limits.retransmissions)) return giveUp(t, c);
  if (isSyn) {
    emitSyn(t, c, c.state === "SynReceived");
    return backOff(t, c);
  }
  c.rexmitAt = Infinity;
  if (flight(c) === 0) return undefined;
  enterTimeout(c);
  c.timedSeq = -1;
  backOff(t, c);
  retransmit(t, c, c.snd.una, Math.min(c.snd.mss, flight(c)));
  return output(t, c);
}

/** RFC 9293 §3.8.6.1: for as long as the guest answers, however long that is. */
function onPersist(t: TcpContext, c: Connection): void {
  c.persistAt = Infinity;
  if (c.attempts >= limits.retransmissions) return giveUp(t, c);
  return probe(t, c);
}

/** RFC 9293 §3.8.4: a segment without text just before what the guest expects. */
function onKeepAlive(t: TcpContext, c: Connection): void {
  if (c.keepAliveTries >= limits.keepAliveProbes) return giveUp(t, c);
  arm(t, c, "keepAliveAt", t.now + limits.keepAliveIntervalMs);
  // What is under way asks the same question.
  if (c.rexmitAt < Infinity || c.persistAt < Infinity) return undefined;
  c.keepAliveTries++;
  return emit(t, c, 0, add(c.snd.nxt, -1), 0);
}
