import { type Segment, flags } from "../wire/tcp.ts";
import type { FlowTarget } from "../world.ts";
import { challenge } from "./challenge.ts";
import { takeWindow } from "./ack.ts";
import { initialWindow } from "./congestion.ts";
import { Connection } from "./connection.ts";
import { type TcpContext, arm } from "./context.ts";
import { emitBare, emitSyn, linkMss, ownScale, sendAck } from "./emit.ts";
import { abort } from "./end.ts";
import { initialSequence } from "./iss.ts";
import { limits } from "./limits.ts";
import { measured, startRexmit } from "./rto.ts";
import { add, before } from "./sequence.ts";
import { next } from "./states.ts";
import type { Ends } from "./table.ts";

function begin(t: TcpContext, c: Connection): void {
  const ends = `${c.guest.text} ${c.guestPort} ${c.peer.text} ${c.peerPort}`;
  const { iss, tsOffset } = initialSequence(t.config.secret, ends, t.now);
  c.iss = iss;
  c.snd.una = c.snd.max = c.recoveryPoint = iss;
  c.snd.nxt = add(iss, 1);
  c.snd.max = c.snd.nxt;
  c.ts.offset = tsOffset;
}

/** The options of the guest's SYN (RFC 9293 §3.7.1, RFC 7323 §1.3, RFC 2018 §2). */
function takeOptions(t: TcpContext, c: Connection, syn: Segment): void {
  c.irs = syn.seq;
  c.rcv.nxt = c.rcv.edge = add(syn.seq, 1);
  c.ts.on = syn.hasTimestamps;
  c.ts.recent = syn.hasTimestamps ? syn.tsVal : 0;
  c.ts.recentAt = t.now;
  c.sackOn = syn.sackPermitted;
  // RFC 7323 §2.3: more than 14 counts as 14.
  c.snd.scale = syn.scale < 0 ? 0 : Math.min(14, syn.scale);
  c.rcv.scale = syn.scale < 0 ? 0 : ownScale(t);
  const offered = syn.mss < 0 ? limits.defaultMss[c.guest.version] : Math.max(limits.leastMss, syn.mss);
  c.snd.mss = Math.min(offered, linkMss(t, c.guest)) - (c.ts.on ? 12 : 0);
  c.rcv.mss = Math.min(c.snd.mss, 536);
  c.cwnd = initialWindow(c.snd.mss);
  c.snd.wnd = c.snd.maxWnd = syn.window;
  c.snd.wl1 = syn.seq;
  c.snd.wl2 = c.snd.una;
}

export const targetOf = (c: Connection): FlowTarget => ({
  address: c.peer.text,
  port: c.peerPort,
  ...(c.name === undefined ? {} : { name: c.name }),
  from: { address: c.guest.text, port: c.guestPort },
});

/** A SYN to an address of the world: RFC 9293 §3.10.7.2, up to where the SYN-ACK would be sent. Text on it is not taken. */
export function listen(t: TcpContext, id: number, ends: Ends, syn: Segment): Connection {
  const c = new Connection(id, "out", ends);
  begin(t, c);
  takeOptions(t, c, syn);
  c.state = next(c.state, "syn");
  t.table.add(c);
  arm(t, c, "endAt", t.now + limits.dialMs);
  return c;
}

/** While the world dials: the guest may give up, or try again with a new number. False: this SYN is a new connection's. */
export function onSegmentWhileDialing(t: TcpContext, c: Connection, segment: Segment): boolean {
  if (segment.flags & flags.rst) {
    if (segment.seq === c.rcv.nxt || segment.seq === c.irs) abort(t, c, "reset");
    return true;
  }
  if ((segment.flags & (flags.syn | flags.ack)) !== flags.syn || segment.seq === c.irs) return true;
  abort(t, c, "reset");
  return false;
}

export function dialed(t: TcpContext, c: Connection): void {
  c.state = next(c.state, "dialed");
  c.endAt = Infinity;
  emitSyn(t, c, true);
  c.timedSeq = c.snd.nxt;
  c.timedAt = t.now;
  startRexmit(t, c);
}

/** The active role, to a port of the guest: RFC 9293 §3.10.1. */
export function connect(t: TcpContext, id: number, ends: Ends): Connection {
  const c = new Connection(id, "in", ends);
  begin(t, c);
  c.state = next(c.state, "activeOpen");
  t.table.add(c);
  emitSyn(t, c, false);
  c.timedSeq = c.snd.nxt;
  c.timedAt = t.now;
  startRexmit(t, c);
  return c;
}

/** RFC 9293 §3.10.7.3. */
export function onSegmentInSynSent(t: TcpContext, c: Connection, segment: Segment): void {
  const hasAck = (segment.flags & flags.ack) !== 0;
  const isRst = (segment.flags & flags.rst) !== 0;
  if (hasAck && segment.ack !== c.snd.nxt) {
    if (!isRst) emitBare(t, c, flags.rst, segment.ack, 0);
    return;
  }
  if (isRst) {
    if (hasAck) abort(t, c, "reset");
    return;
  }
  if ((segment.flags & flags.syn) === 0) return;
  takeOptions(t, c, segment);
  if (!hasAck) {
    // Simultaneous open (§3.5, Figure 8).
    c.state = next(c.state, "syn");
    emitSyn(t, c, true);
    return;
  }
  c.state = next(c.state, "synAck");
  synAcked(t, c, segment);
  sendAck(t, c);
  t.world.opened(c.id);
}

function synAcked(t: TcpContext, c: Connection, segment: Segment): void {
  c.snd.una = segment.ack;
  c.snd.wl2 = segment.ack;
  // RFC 6298 §5.7 and RFC 6928 §2: a lost SYN is the only thing that is known about the way.
  if (c.attempts > 0) {
    c.rto = limits.rtoAfterLostSynMs;
    c.cwnd = c.snd.mss;
  } else measured(c, t.now - c.timedAt);
  c.timedSeq = -1;
  c.attempts = 0;
  c.rexmitAt = Infinity;
  c.lastSentAt = t.now;
  arm(t, c, "keepAliveAt", t.now + limits.keepAliveIdleMs);
}

/** RFC 9293 §3.10.7.4, "Fifth" for SYN-RECEIVED. False: the segment ends here. */
export function takeAckOfSyn(t: TcpContext, c: Connection, segment: Segment): boolean {
  if (segment.ack !== c.snd.nxt) {
    emitBare(t, c, flags.rst, segment.ack, 0);
    return false;
  }
  c.state = next(c.state, "ackOfSyn");
  synAcked(t, c, segment);
  takeWindow(c, segment);
  // The window of a SYN is not scaled, that of its ACK is.
  c.snd.wnd = segment.window << c.snd.scale;
  c.snd.maxWnd = Math.max(c.snd.maxWnd, c.snd.wnd);
  if (c.direction === "in") t.world.opened(c.id);
  return true;
}

/** "Fourth": a SYN where none can be (RFC 5961 §4.2). True: it is a new connection's in TIME-WAIT (RFC 9293 §3.10.7.4, RFC 6191). */
export function takeSyn(t: TcpContext, c: Connection, segment: Segment): boolean {
  if (c.state === "SynReceived" && segment.seq === c.irs) {
    // The second half of a simultaneous open, or its SYN again because ours was lost.
    const isAcked = (segment.flags & flags.ack) !== 0 && takeAckOfSyn(t, c, segment);
    if (isAcked) sendAck(t, c);
    else if ((segment.flags & flags.ack) === 0) emitSyn(t, c, true);
    return false;
  }
  const isNewer = before(c.rcv.nxt, segment.seq);
  if (c.state === "TimeWait" && isNewer && !(segment.flags & flags.ack)) return true;
  challenge(t, c);
  return false;
}
