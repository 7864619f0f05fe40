import { type Connection, drop, setTimer } from "./connection.ts";
import { sendAck, sendReset, onRetransmitTimer } from "./send.ts";
import { add } from "./sequence.ts";
import { next } from "./states.ts";

/** Everything a connection does because time has passed. */

/** RFC 9293 §3.8.4 asks for two hours at least by default; a tunnel's flow that long without a word holds an object awake. */
const KEEP_ALIVE_MS = 10 * 60_000;
const PROBE_EVERY_MS = 75_000;
const PROBES = 9;

export function restartKeepAlive(c: Connection, nowMs: number): void {
  // The stack wakes at this time at the earliest; a connection that spoke since then is asked later.
  if (c.timers.keepAlive === undefined) setTimer(c, "keepAlive", nowMs + KEEP_ALIVE_MS);
}

/** When the connection wants to be called. */
export function nextTimer(c: Connection): number {
  const { retransmit, delayedAck, keepAlive, end } = c.timers;
  return Math.min(retransmit ?? Infinity, delayedAck ?? Infinity, keepAlive ?? Infinity, end ?? Infinity);
}

export function onTime(c: Connection, nowMs: number, mss: number): void {
  const { timers } = c;
  const isDue = (at: number | undefined): boolean => at !== undefined && at <= nowMs;
  if (isDue(timers.end)) {
    c.state = next(c.state, "timeout");
    return drop(c, "done");
  }
  if (isDue(timers.delayedAck)) sendAck(c, nowMs);
  if (isDue(timers.retransmit)) onRetransmitTimer(c, nowMs, mss);
  if (isDue(timers.keepAlive)) onKeepAlive(c, nowMs);
}

function onKeepAlive(c: Connection, nowMs: number): void {
  c.timers.keepAlive = undefined;
  if (c.state === "Closed" || c.state === "TimeWait") return;
  const quietFor = nowMs - c.heardAt;
  if (quietFor < KEEP_ALIVE_MS) return setTimer(c, "keepAlive", c.heardAt + KEEP_ALIVE_MS);
  if (c.probes >= PROBES) {
    sendReset(c, nowMs);
    return drop(c, "timeout");
  }
  c.probes++;
  // One number before the next one: whoever is there answers (RFC 9293 §3.8.4).
  sendAck({ ...c, snd: { ...c.snd, nxt: add(c.snd.nxt, -1) } }, nowMs);
  setTimer(c, "keepAlive", nowMs + PROBE_EVERY_MS);
}
