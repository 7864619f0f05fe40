import type { TokenBucket } from "../token-bucket.ts";
import type { Ip } from "../wire/address.ts";
import type { FlowId } from "../world.ts";
import { limits } from "./limits.ts";
import type { Ranges } from "./ranges.ts";
import { SendBuffer } from "./send-buffer.ts";
import type { State } from "./states.ts";

/** A segment that came before its time: a copy, so that its frame is not kept. */
export interface Early {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/**
 * One connection: the Transmission Control Block of RFC 9293 §3.3.1, whose names it uses. A plain record without
 * behaviour; each file of this folder has the functions of one role. Buffers are made when there is something in them.
 */
export class Connection {
  readonly id: FlowId;
  readonly direction: "out" | "in";
  readonly guest: Ip;
  readonly guestPort: number;
  readonly peer: Ip;
  readonly peerPort: number;
  name: string | undefined;
  state: State = "Closed";
  /** The next with the same hash in the table. */
  chain: Connection | undefined;
  /** The world has been told that this flow is over. */
  isOver = false;

  iss = 0;
  irs = 0;
  readonly snd = {
    una: 0,
    /** The next new byte; `max` is ahead of it by one only while a window probe is out. */
    nxt: 0,
    max: 0,
    wnd: 0,
    wl1: 0,
    wl2: 0,
    /** The largest window that was ever offered (RFC 9293 §3.8.6.2.1, RFC 5961 §5.2). */
    maxWnd: 0,
    scale: 0,
    /** Payload of a full segment, options taken off. */
    mss: 536,
  };
  readonly rcv = {
    nxt: 0,
    /** The right edge that the guest was told last. It never goes back. */
    edge: 0,
    scale: 0,
    /** The largest payload that came: a full segment of this guest. */
    mss: 536,
    /** Given to the world and not written yet. */
    held: 0,
    /** Bytes since the last ACK. */
    unacked: 0,
    /** The guest's FIN when it came before its time. */
    fin: -1,
  };
  /** RFC 7323 §4.3. */
  readonly ts = { on: false, offset: 0, recent: 0, recentAt: 0, lastAckSent: 0 };

  /** Begins at `snd.una` once the SYN is acknowledged. */
  readonly out = new SendBuffer();
  finQueued = false;
  finSent = false;
  /** The host found less room than half of the buffer and waits for `roomy`. */
  wantsRoom = false;
  early: Early[] = [];
  earlyBytes = 0;
  /** The block that came last goes first in a SACK option (RFC 2018 §4). */
  lastEarly = 0;

  sackOn = false;
  sacked: Ranges = [];
  /** RFC 6675 §2 and RFC 5681: `open` when nothing is known to be lost. */
  recovery: "open" | "fast" | "timeout" = "open";
  recoveryPoint = 0;
  highRxt = 0;
  rescueRxt = 0;
  duplicateAcks = 0;
  cwnd = 0;
  ssthresh = 0x7fff_ffff;
  /** Bytes acknowledged since `cwnd` last grew (RFC 3465). */
  ackedBytes = 0;
  isCwndLimited = false;
  lastSentAt = 0;

  /** RFC 6298; -1: nothing measured yet. */
  srtt = -1;
  rttvar = 0;
  rto: number = limits.firstRtoMs;
  /** The segment that is timed where there are no timestamps; -1: none. */
  timedSeq = -1;
  timedAt = 0;

  /** Deadlines; Infinity: not running. */
  rexmitAt = Infinity;
  persistAt = Infinity;
  delayedAckAt = Infinity;
  keepAliveAt = Infinity;
  /** The end of `Dialing` or of TIME-WAIT. */
  endAt = Infinity;
  /** How often the running timer has expired in a row. */
  attempts = 0;
  keepAliveTries = 0;
  /** Where this connection is in the heap of deadlines, and for when. */
  heapIndex = -1;
  heapAt = Infinity;

  /** What this arrival owes the guest: nothing, an ACK some time, an ACK now. */
  ackDue: 0 | 1 | 2 = 0;
  challenges: TokenBucket | undefined;
  strayAcks: TokenBucket | undefined;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(
    id: FlowId,
    direction: "out" | "in",
    ends: { guest: Ip; guestPort: number; peer: Ip; peerPort: number },
  ) {
    this.id = id;
    this.direction = direction;
    this.guest = ends.guest;
    this.guestPort = ends.guestPort;
    this.peer = ends.peer;
    this.peerPort = ends.peerPort;
  }
}
