import type { FlowId, FlowTarget } from "../world.ts";
import type { Route } from "../wire/ip.ts";
import { type Congestion, newCongestion } from "./congestion.ts";
import { type RoundTrip, newRoundTrip } from "./round-trip.ts";
import type { Ports, SackBlock, Segment } from "./segment.ts";
import { add } from "./sequence.ts";
import { SendQueue } from "./send-queue.ts";
import type { State } from "./states.ts";

/** Who a connection belongs to on our side: a flow of the world, or a service of the gateway such as DNS. */
export interface Application {
  onOpen(): void;
  /** Counts against the guest's window until `written`. */
  onBytes(bytes: Uint8Array): void;
  /** The guest has sent FIN and all before it. */
  onFinish(): void;
  /** The send buffer has room again. */
  onRoom(): void;
  /** The last call. */
  onClosed(why: "done" | "reset" | "timeout"): void;
}

/** What a connection asks of the stack that holds it. */
export interface Link {
  transmit(frame: Uint8Array): void;
  /** One challenge ACK of the allowance of RFC 5961 §7; false: it is used up. */
  mayChallenge(nowMs: number): boolean;
  /** The connection has ended: it is taken out of the table after this turn. */
  forget(connection: Connection): void;
  /** A timer was set. */
  wake(atMs: number): void;
}

/** A piece that came before its turn. */
export interface EarlyPiece {
  readonly seq: number;
  readonly bytes: Uint8Array;
  readonly fin: boolean;
}

/** Loss recovery (RFC 6675): until everything up to `end` is acknowledged. */
export interface Recovery {
  readonly end: number;
  /** Holes before this were sent again. */
  next: number;
  /** Bytes sent again and not yet acknowledged. */
  resent: number;
}

/**
 * One TCP connection with the guest, as plain data. Names follow RFC 9293 §3.3.1: snd.una ≤ snd.nxt ≤ snd.max, rcv.nxt. Our
 * SYN and FIN take their places in the sequence space; `snd.data` is the sequence number of the queue's first byte.
 */
export interface Connection {
  readonly id: FlowId;
  readonly direction: "out" | "in";
  readonly target: FlowTarget;
  readonly link: Link;
  readonly application: Application;
  readonly route: Route;
  /** Ours is `from`, the guest's is `to`. */
  readonly ports: Ports;
  /** Both addresses and ports as they stand in the guest's segments. */
  readonly key: Uint8Array;
  state: State;
  snd: {
    una: number;
    nxt: number;
    /** The highest that was ever sent: after a timeout `nxt` goes back, this does not. */
    max: number;
    readonly iss: number;
    wnd: number;
    wl1: number;
    wl2: number;
    scale: number;
    mss: number;
    data: number;
    maxWnd: number;
  };
  rcv: {
    nxt: number;
    irs: number;
    /** The right edge that the guest was told; it never goes back. */
    edge: number;
    scale: number;
    readonly buffer: number;
    /** Bytes that the application has and has not yet written. */
    unread: number;
    /** Nothing more counts: our application is gone. */
    finished: boolean;
  };
  early: EarlyPiece[];
  earlyBytes: number;
  /** The sequence number of the last early piece, for the first SACK block (RFC 2018 §4). */
  lastEarly: number;
  queue: SendQueue;
  readonly queueLimit: number;
  wasFull: boolean;
  /** The application sends no more; FIN follows the queue. */
  finishing: boolean;
  sackOn: boolean;
  sacked: SackBlock[];
  timestamps: { on: boolean; recent: number; recentAt: number; lastAckSent: number };
  recovery: Recovery | null;
  dupAcks: number;
  congestion: Congestion;
  roundTrip: RoundTrip;
  /** Without timestamps one segment at a time is timed (Karn). */
  timed: { readonly seq: number; readonly at: number } | null;
  retries: number;
  heardAt: number;
  probes: number;
  /** Full segments that were not yet acknowledged. */
  owed: number;
  timers: {
    retransmit: number | undefined;
    delayedAck: number | undefined;
    keepAlive: number | undefined;
    end: number | undefined;
  };
  /** The application was told the end, or will be when it has written everything. */
  ending: "done" | null;
  isClosedToApplication: boolean;
}

export interface NewConnection {
  readonly id: FlowId;
  readonly direction: "out" | "in";
  readonly target: FlowTarget;
  readonly link: Link;
  readonly application: Application;
  readonly route: Route;
  readonly ports: Ports;
  readonly key: Uint8Array;
  readonly state: State;
  readonly iss: number;
  readonly mss: number;
  readonly sendBytes: number;
  readonly receiveBytes: number;
  readonly nowMs: number;
}

/** The smallest shift that lets the window field say the whole buffer (RFC 7323 §2.2). */
function scaleFor(bytes: number): number {
  let scale = 0;
  while (bytes >> scale > 0xffff) scale++;
  return scale;
}

export function makeConnection(given: NewConnection): Connection {
  const { id, direction, target, link, application, route, ports, key, state, iss, mss, nowMs } = given;
  return {
    id,
    direction,
    target,
    link,
    application,
    route,
    ports,
    key,
    state,
    snd: {
      una: iss,
      nxt: iss,
      max: iss,
      iss,
      wnd: 0,
      wl1: 0,
      wl2: 0,
      scale: 0,
      mss,
      data: add(iss, 1),
      maxWnd: 0,
    },
    rcv: {
      nxt: 0,
      irs: 0,
      edge: 0,
      scale: scaleFor(given.receiveBytes),
      buffer: given.receiveBytes,
      unread: 0,
      finished: false,
    },
    early: [],
    earlyBytes: 0,
    lastEarly: 0,
    queue: new SendQueue(),
    queueLimit: given.sendBytes,
    wasFull: false,
    finishing: false,
    sackOn: false,
    sacked: [],
    timestamps: { on: false, recent: 0, recentAt: 0, lastAckSent: 0 },
    recovery: null,
    dupAcks: 0,
    congestion: newCongestion(mss),
    roundTrip: newRoundTrip(),
    timed: null,
    retries: 0,
    heardAt: nowMs,
    probes: 0,
    owed: 0,
    timers: { retransmit: undefined, delayedAck: undefined, keepAlive: undefined, end: undefined },
    ending: null,
    isClosedToApplication: false,
  };
}

/** What the guest's SYN tells (RFC 9293 §3.10.7.2, RFC 7323 §2.2 and §3.2, RFC 2018 §2). */
export function takeSyn(c: Connection, syn: Segment, nowMs: number, defaultMss: number): void {
  const { mss, windowScale, sackPermitted, timestamp } = syn.options;
  c.rcv.irs = syn.seq;
  c.rcv.nxt = add(syn.seq, 1);
  c.rcv.edge = c.rcv.nxt;
  c.snd.mss = Math.max(Math.min(c.snd.mss, mss ?? defaultMss), 64);
  // Both sides scale, or neither does.
  if (windowScale === undefined) c.rcv.scale = 0;
  c.snd.scale = windowScale ?? 0;
  c.sackOn = sackPermitted === true;
  if (timestamp) {
    c.timestamps.on = true;
    c.timestamps.recent = timestamp.value;
    c.timestamps.recentAt = nowMs;
  }
  c.snd.wnd = syn.window;
  c.snd.maxWnd = Math.max(syn.window, 1);
  c.snd.wl1 = syn.seq;
  c.congestion = newCongestion(c.snd.mss);
}

export function setTimer(c: Connection, name: keyof Connection["timers"], atMs: number | undefined): void {
  c.timers[name] = atMs;
  if (atMs !== undefined) c.link.wake(atMs);
}

/** Tells the application that it is over, exactly once. */
export function tellClosed(c: Connection, why: "done" | "reset" | "timeout"): void {
  if (c.isClosedToApplication) return;
  c.isClosedToApplication = true;
  c.application.onClosed(why);
}

/** Both directions have ended. What the application has not written yet holds the news back. */
export function tellDone(c: Connection): void {
  c.ending = "done";
  if (c.rcv.unread === 0) tellClosed(c, "done");
}

/** Out of the table at once, and all memory with it. */
export function drop(c: Connection, why: "reset" | "timeout" | "done"): void {
  c.state = "Closed";
  c.queue.clear();
  c.early = [];
  c.earlyBytes = 0;
  for (const name of Object.keys(c.timers) as (keyof Connection["timers"])[]) c.timers[name] = undefined;
  if (why === "done") tellDone(c);
  else tellClosed(c, why);
  c.link.forget(c);
}
