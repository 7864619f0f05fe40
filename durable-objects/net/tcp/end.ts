import { flags } from "../wire/tcp.ts";
import type { FlowId } from "../world.ts";
import type { Connection } from "./connection.ts";
import { type TcpContext, arm, holdForGuest, holdForWorld } from "./context.ts";
import { emitBare } from "./emit.ts";
import { limits } from "./limits.ts";
import { abilities, next } from "./states.ts";

/** How connections end, and what is given back then. */

function release(t: TcpContext, c: Connection): void {
  holdForGuest(t, -c.out.length);
  holdForWorld(t, -c.earlyBytes);
  c.out.clear();
  c.early = [];
  c.earlyBytes = 0;
  c.sacked = [];
}

/** "done" waits until the host has written all that it was given. */
function tellWorld(t: TcpContext, c: Connection, why: "done" | "reset" | "timeout"): void {
  // What ended well stays so, whatever comes in TIME-WAIT.
  if (c.isOver || (t.endings.has(c.id) && c.rcv.held > 0)) return;
  if (why === "done" && c.rcv.held > 0) {
    t.endings.set(c.id, c);
    return;
  }
  c.isOver = true;
  t.endings.delete(c.id);
  holdForWorld(t, -c.rcv.held);
  c.rcv.held = 0;
  t.world.closed(c.id, why);
}

/** The host has written the last byte of a flow that was over already. */
export function finishEnding(t: TcpContext, c: Connection): void {
  if (t.endings.has(c.id) && c.rcv.held === 0) tellWorld(t, c, "done");
}

/** The host has lost what it was still writing. False: the flow is not over, or nothing is left of it. */
export function breakEnding(t: TcpContext, flow: FlowId): boolean {
  const c = t.endings.get(flow);
  if (!c) return false;
  c.isOver = true;
  t.endings.delete(flow);
  holdForWorld(t, -c.rcv.held);
  c.rcv.held = 0;
  t.world.closed(flow, "reset");
  return true;
}

/** Forgets the connection. The world hears of it once, and before anything else can come. */
export function forget(t: TcpContext, c: Connection, why: "done" | "reset" | "timeout"): void {
  c.state = "Closed";
  release(t, c);
  t.deadlines.remove(c);
  t.table.remove(c);
  tellWorld(t, c, why);
}

/** Ends it without ceremony: `rst` of Figure 5. */
export function abort(t: TcpContext, c: Connection, why: "reset" | "timeout"): void {
  c.state = next(c.state, "rst");
  forget(t, c, why);
}

/** RST to the guest: its sequence number is the one that the guest expects (RFC 5961 §3.2). */
export function sendReset(t: TcpContext, c: Connection): void {
  if (abilities[c.state].synchronized) emitBare(t, c, flags.rst | flags.ack, c.snd.nxt, c.rcv.nxt);
  else if (c.state === "Dialing") emitBare(t, c, flags.rst | flags.ack, 0, c.rcv.nxt);
}

/** RFC 9293 §3.6: both sides are closed; the 4-tuple rests for twice the MSL, without buffers. */
export function enterTimeWait(t: TcpContext, c: Connection): void {
  release(t, c);
  c.rexmitAt = c.persistAt = c.delayedAckAt = c.keepAliveAt = Infinity;
  arm(t, c, "endAt", t.now + 2 * limits.mslMs);
  const oldest = t.table.toTimeWait(c);
  tellWorld(t, c, "done");
  if (oldest) forget(t, oldest, "done");
}
