import * as z from "zod/mini";
import {
  type L2Message,
  NO_SESSION,
  SESSION_BYTES,
  byeCodes,
  decodeL2,
  type L2Ack,
  encodeL2,
  frameCost,
  framesRoom,
  l2Limits,
} from "./virga-l2.ts";
import { FrameLog } from "./frame-log.ts";

/**
 * One end of a `virga-l2-v1` session (infra/docs/virga-l2-v1.md): numbers, credit, replay, batches. Pure; both ends use
 * it. The host feeds it messages and sends what `flush` answers: at the end of each of its turns, and at `pollAt`.
 *
 * A client: `attach()` on each new socket, `detach()` when one is lost. A server: `attach()` with 16 random bytes, the
 * name of the session that begins if the client's HELLO asks for none or for one that is gone.
 */
export interface L2Options {
  /** Bytes that may be under way unacknowledged, whatever credit the peer gives. */
  readonly replayBytes: number;
  /** Bytes that wait for credit or a socket before `queue` refuses. */
  readonly queueBytes: number;
  /** The window that the peer gets, at most 1 MiB; the host opens it again by `consume`. */
  readonly receiveBytes: number;
  /** Of the link, without the Ethernet header; told in WELCOME. */
  readonly mtu: number;
  /**
   * The host's `send` copies, as a browser's WebSocket does: what `flush` answers is valid until the next `flush`, and long
   * messages are made in the same memory again. A megabyte of garbage less for each megabyte that is sent.
   */
  readonly isCopied: boolean;
}
export const l2Defaults: L2Options = {
  replayBytes: l2Limits.creditBytes,
  queueBytes: l2Limits.creditBytes,
  receiveBytes: l2Limits.creditBytes,
  mtu: 1500,
  isCopied: false,
};

/** What one message brought. Frames are views of the message. */
export interface L2Received {
  readonly frames: readonly Uint8Array[];
  /** A session is open on this socket from now on. Not resumed: everything known of the old one is void. */
  readonly opened?: { readonly resumed: boolean; readonly mtu: number };
  /** UTF-8 JSON that `readTunnelNotice` reads. */
  readonly notice?: string;
  readonly pong?: Uint8Array;
  /** The peer says goodbye; the host closes the socket. */
  readonly bye?: { readonly code: number; readonly sentence: string };
  /**
   * The peer broke the protocol, in one sentence; the socket is of no more use. A server sends what `flush` answers (a
   * BYE) and closes with 1008, a client drops the socket and attaches the next one.
   */
  readonly fault?: string;
}

const u32 = z.number().check(z.int(), z.minimum(0), z.maximum(0xffff_ffff));
/** What must outlive a sleeping object, at most a few hundred bytes of JSON. Frames under way are not part of it. */
export const L2Snapshot = z.strictObject({
  version: z.literal(1),
  session: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
  /** Next number and bytes of the way out, frames sent and not yet acknowledged, and the peer's credit. */
  sent: z.strictObject({ number: u32, bytes: u32, underWay: u32, credit: u32 }),
  /** Next number and bytes of the way in, and the credit that the peer was told. */
  received: z.strictObject({ number: u32, bytes: u32, credit: u32 }),
});
export type L2Snapshot = z.infer<typeof L2Snapshot>;

const ACK_FRAMES = 64;
const ACK_BYTES = 64 * 1024;
const ACK_MS = 20;
const MAX_PONGS = 8;
/** So often a PING is answered in the long run: a peer that asks and does not read makes nobody keep its answers. */
const PONGS_PER_MS = 0.02;
const MAX_NOTICES = 64;
/** Messages longer than this are worth memory of their own that is used again: as many as a turn usually has. */
const REUSE_FROM_BYTES = 16_384;
const MAX_SPARE = 4;

/** a - b of two counters modulo 2^32, as a signed number. */
const ahead = (a: number, b: number): number => (a - b) | 0;
const plus = (a: number, b: number): number => (a + b) >>> 0;
const nothing: L2Received = { frames: [] };
const hexOf = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

type Phase = "detached" | "greeting" | "open" | "failed";

export class L2Session {
  readonly #side: "client" | "server";
  readonly #options: L2Options;
  #phase: Phase = "detached";
  #session: Uint8Array = NO_SESSION;
  /** A server's name for the session that begins next. */
  #fresh: Uint8Array = NO_SESSION;
  #detachedAt: number | undefined;
  #log: FrameLog;
  /** Absolute credit for our way out. */
  #credit = 0;
  /** The way in: the next number, bytes arrived, bytes that the host has taken. */
  #expected = 0;
  #arrived = 0;
  #consumed = 0;
  /** What the peer was told last. */
  #toldExpected = 0;
  #toldCredit = 0;
  #framesSinceAck = 0;
  #bytesSinceAck = 0;
  #ackAt: number | undefined;
  #greeting: Uint8Array<ArrayBuffer>[] = [];
  #pings: Uint8Array<ArrayBuffer>[] = [];
  #pongs: Uint8Array<ArrayBuffer>[] = [];
  #mayPong = MAX_PONGS;
  #pongAtMs = -Infinity;
  #notices: Uint8Array<ArrayBuffer>[] = [];
  readonly #spare: Uint8Array<ArrayBuffer>[] = [];

  constructor(side: "client" | "server", options: Partial<L2Options> = {}) {
    this.#side = side;
    this.#options = { ...l2Defaults, ...options };
    const { receiveBytes, replayBytes } = this.#options;
    if (receiveBytes < framesRoom || receiveBytes > l2Limits.maxCreditBytes || replayBytes < framesRoom)
      throw new RangeError("A window holds at least one message and at most 1 MiB.");
    this.#log = new FrameLog(this.#options.queueBytes);
    this.#begin(NO_SESSION);
  }

  /** Wakes a session whose socket is still there, after its object slept. */
  static restore(side: "client" | "server", options: Partial<L2Options>, snapshot: L2Snapshot): L2Session {
    const session = new L2Session(side, options);
    const { sent, received } = snapshot;
    session.#session = Uint8Array.from({ length: SESSION_BYTES }, (_, at) =>
      Number.parseInt(snapshot.session.slice(2 * at, 2 * at + 2), 16),
    );
    session.#log = new FrameLog(session.#options.queueBytes, sent);
    session.#credit = sent.credit;
    session.#expected = session.#toldExpected = received.number;
    // What the host had not taken died with it: the window opens as if it had.
    session.#arrived = session.#consumed = received.bytes;
    session.#toldCredit = received.credit;
    session.#phase = "open";
    return session;
  }

  /** Undefined until a session is open. */
  snapshot(): L2Snapshot | undefined {
    if (this.#session === NO_SESSION) return undefined;
    const { number, bytes, underWay } = this.#log.sent();
    return {
      version: 1,
      session: hexOf(this.#session),
      sent: { number, bytes, underWay, credit: this.#credit },
      received: { number: this.#expected, bytes: this.#arrived, credit: this.#toldCredit },
    };
  }

  get isOpen(): boolean {
    return this.#phase === "open";
  }

  /** 32 hex digits; undefined before the first WELCOME. */
  get sessionId(): string | undefined {
    return this.#session === NO_SESSION ? undefined : hexOf(this.#session);
  }

  /** Bytes of frames that wait to be sent for the first time or again. */
  get waitingBytes(): number {
    return this.#log.waitingBytes;
  }

  /** Bytes of frames that are kept until the peer acknowledges them, and those that wait: all that this end holds. */
  get heldBytes(): number {
    return this.#log.heldBytes;
  }

  /** Nothing waits, nothing is under way and nothing is owed to the peer: the host may sleep. */
  get isQuiet(): boolean {
    return this.#log.heldBytes === 0 && this.#ackAt === undefined && this.#pongs.length === 0;
  }

  /** A server's session without a socket is forgotten after 60 s. */
  isExpired(nowMs: number): boolean {
    return this.#detachedAt !== undefined && nowMs - this.#detachedAt > l2Limits.keepMs;
  }

  /** A new socket is there. What was under way on an older one is sent again once both ends have compared notes. */
  attach(freshSession?: Uint8Array): void {
    this.#phase = "greeting";
    this.#greeting = [];
    this.#pongs = [];
    this.#pings = [];
    this.#ackAt = undefined;
    this.#log.rewind();
    if (this.#side === "client") this.#greeting.push(encodeL2.hello(this.#session, this.#expected));
    else if (freshSession?.length === SESSION_BYTES) this.#fresh = freshSession.slice();
    else throw new RangeError("A server's socket needs 16 random bytes for a new session.");
  }

  detach(nowMs: number): void {
    if (this.#phase !== "detached") this.#detachedAt = nowMs;
    this.#phase = "detached";
    this.#ackAt = undefined;
    this.#greeting = [];
  }

  /**
   * Takes a frame for the peer; the session keeps the array, the caller does not change it. False: no room now, ask again
   * after a message or a `flush`. A frame of a length that Ethernet does not have is dropped as a cable would.
   */
  queue(frame: Uint8Array): boolean {
    if (frame.length < l2Limits.frameMinBytes || frame.length > l2Limits.frameMaxBytes) return true;
    return this.#log.push(frame);
  }

  /** Whether `queue` would take a frame of any length. */
  get hasRoom(): boolean {
    return this.#log.hasRoom(l2Limits.frameMaxBytes + 2);
  }

  /** Tells the client something, with the next `flush`. False: too long, or too many wait; the notice is dropped. */
  notify(json: string): boolean {
    const message = encodeL2.notice(json);
    if (!message || this.#side === "client" || this.#notices.length >= MAX_NOTICES) return false;
    this.#notices.push(message);
    return true;
  }

  /** Asks the peer for a sign of life: 8 bytes that come back as `pong`. */
  ping(bytes: Uint8Array): void {
    if (this.#pings.length < MAX_PONGS) this.#pings.push(encodeL2.ping(bytes));
  }

  /** The host has taken this much, counted by `frameCost`: the peer may send as much again. */
  consume(bytes: number, nowMs: number): void {
    const waiting = ahead(this.#arrived, this.#consumed);
    this.#consumed = plus(this.#consumed, Math.min(Math.max(bytes, 0), waiting));
    this.#oweAck(nowMs);
  }

  onMessage(message: Uint8Array | string, nowMs: number): L2Received {
    if (this.#phase === "detached" || this.#phase === "failed") return nothing;
    if (typeof message === "string") return this.#fault("Text messages are not part of the protocol.");
    const decoded = decodeL2(message);
    if (!decoded.ok) return this.#fault("problem" in decoded.failure ? decoded.failure.problem : "");
    return this.#phase === "greeting"
      ? this.#onGreeting(decoded.value, nowMs)
      : this.#onOpen(decoded.value, nowMs);
  }

  #onGreeting(message: L2Message, nowMs: number): L2Received {
    if (message.type === "bye") return this.#onBye(message);
    if (message.type === "hello" && this.#side === "server") return this.#onHello(message, nowMs);
    if (message.type === "welcome" && this.#side === "client") return this.#onWelcome(message, nowMs);
    return this.#fault(`The first message cannot be ${message.type}.`);
  }

  #onPing(bytes: Uint8Array, nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#pongAtMs);
    this.#mayPong = Math.min(MAX_PONGS, this.#mayPong + passedMs * PONGS_PER_MS);
    this.#pongAtMs = nowMs;
    if (this.#mayPong < 1) return;
    this.#mayPong--;
    this.#pongs.push(encodeL2.pong(bytes));
  }

  #onOpen(message: L2Message, nowMs: number): L2Received {
    switch (message.type) {
      case "frames":
        return this.#onFrames(message, nowMs);
      case "ack":
        return this.#onAck(message);
      case "ping":
        this.#onPing(message.bytes, nowMs);
        return nothing;
      case "pong":
        return { frames: [], pong: message.bytes };
      case "notice":
        if (this.#side === "server") return this.#fault("A client has no notices.");
        return { frames: [], notice: message.text };
      case "bye":
        return this.#onBye(message);
      case "hello":
      case "welcome":
        return this.#fault("The greeting is over.");
      default:
        return message satisfies never;
    }
  }

  #onHello(hello: Extract<L2Message, { type: "hello" }>, nowMs: number): L2Received {
    const isOurs =
      this.#session !== NO_SESSION &&
      !this.isExpired(nowMs) &&
      hexOf(hello.session) === hexOf(this.#session) &&
      this.#log.canReplayFrom(hello.received);
    if (isOurs) this.#log.acknowledge(hello.received);
    else this.#begin(this.#fresh);
    this.#toldCredit = this.#window();
    this.#toldExpected = this.#expected;
    const { mtu } = this.#options;
    const welcome = { resumed: isOurs, received: this.#expected, credit: this.#toldCredit, mtu };
    this.#greeting.push(encodeL2.welcome({ session: this.#session, ...welcome }));
    this.#open();
    return { frames: [], opened: { resumed: isOurs, mtu } };
  }

  #onWelcome(welcome: Extract<L2Message, { type: "welcome" }>, nowMs: number): L2Received {
    const { resumed, mtu } = welcome;
    const isOurs = hexOf(welcome.session) === hexOf(this.#session);
    const isWrong =
      welcome.session.every((byte) => byte === 0) ||
      mtu > l2Limits.frameMaxBytes - l2Limits.frameMinBytes ||
      (resumed ? !isOurs || !this.#log.canReplayFrom(welcome.received) : welcome.received !== 0);
    if (!isWrong && resumed) this.#log.acknowledge(welcome.received);
    else this.#begin(isWrong ? NO_SESSION : welcome.session);
    if (isWrong || !this.#takeCredit(welcome.credit)) {
      // The next socket begins anew: asking for the same session again would end the same way.
      this.#begin(NO_SESSION);
      return this.#fault("The server's WELCOME does not fit what it was sent.");
    }
    this.#open();
    this.#oweAck(nowMs);
    // The last ACK may have been lost with the old socket.
    if (resumed) this.#ackAt = nowMs;
    return { frames: [], opened: { resumed, mtu } };
  }

  #onFrames(message: Extract<L2Message, { type: "frames" }>, nowMs: number): L2Received {
    const wrong = this.#onAck(message);
    if (wrong.fault !== undefined) return wrong;
    const known = -ahead(message.first, this.#expected);
    if (known < 0) return this.#fault("Frames are missing.");
    // Numbers that passed long ago look like numbers of the future; a replay never goes back further than a window.
    const frames = known === 0 ? message.frames : message.frames.slice(known);
    const bytes = frames.reduce((sum, frame) => sum + frameCost(frame), 0);
    if (ahead(plus(this.#arrived, bytes), this.#toldCredit) > 0)
      return this.#fault("There was no credit for these frames.");
    this.#arrived = plus(this.#arrived, bytes);
    this.#expected = plus(this.#expected, frames.length);
    this.#framesSinceAck += frames.length;
    this.#bytesSinceAck += bytes;
    if (frames.length > 0) this.#ackAt ??= nowMs + ACK_MS;
    return { frames };
  }

  #onAck({ received, credit }: L2Ack): L2Received {
    if (!this.#log.acknowledge(received)) return this.#fault("An ACK names frames that were not sent.");
    if (!this.#takeCredit(credit)) return this.#fault("The credit of an ACK is out of bounds.");
    return nothing;
  }

  #onBye({ code, sentence }: Extract<L2Message, { type: "bye" }>): L2Received {
    this.#phase = "failed";
    return { frames: [], bye: { code, sentence } };
  }

  #fault(sentence: string): L2Received {
    this.#phase = "failed";
    this.#greeting = this.#side === "server" ? [encodeL2.bye(byeCodes.protocolError, sentence)] : [];
    return { frames: [], fault: sentence };
  }

  /** Credit only grows, and never reaches further than a window beyond what was sent. */
  #takeCredit(credit: number): boolean {
    if (ahead(credit, this.#credit) < 0) return false;
    if (ahead(credit, this.#log.sent().bytes) > l2Limits.maxCreditBytes) return false;
    this.#credit = credit;
    return true;
  }

  /** A session of which nothing is known yet. Frames that were never sent stay queued and get its first numbers. */
  #begin(session: Uint8Array): void {
    this.#session = session;
    this.#log.renumber();
    this.#credit = this.#side === "server" ? l2Limits.creditBytes : 0;
    this.#expected = this.#toldExpected = 0;
    this.#arrived = this.#consumed = 0;
    this.#toldCredit = this.#side === "client" ? l2Limits.creditBytes : 0;
    this.#notices = [];
  }

  #open(): void {
    this.#phase = "open";
    this.#detachedAt = undefined;
    this.#framesSinceAck = this.#bytesSinceAck = 0;
  }

  /** The credit that the peer may have now; what it was told before is never taken back. */
  #window(): number {
    const open = plus(this.#consumed, this.#options.receiveBytes);
    return ahead(open, this.#toldCredit) > 0 ? open : this.#toldCredit;
  }

  #oweAck(nowMs: number): void {
    if (this.#phase !== "open" || this.#window() === this.#toldCredit) return;
    const opened = ahead(this.#window(), this.#toldCredit);
    const wanted = opened >= this.#options.receiveBytes / 4 ? nowMs : nowMs + ACK_MS;
    this.#ackAt = Math.min(this.#ackAt ?? wanted, wanted);
  }

  /** When `flush` is wanted, in the host's clock; undefined: not before something happens. */
  pollAt(): number | undefined {
    return this.#phase === "open" ? this.#ackAt : undefined;
  }

  /** The messages to send now, in order. `force`: owes no ACK any longer. */
  flush(nowMs: number, force = false): Uint8Array<ArrayBuffer>[] {
    const out = this.#greeting;
    this.#greeting = [];
    if (this.#phase !== "open") return out;
    out.push(...this.#pongs, ...this.#pings, ...this.#notices);
    this.#pongs = [];
    this.#pings = [];
    this.#notices = [];
    if (this.#sendFrames(out)) return out;
    const isDue =
      (this.#ackAt !== undefined && nowMs >= this.#ackAt) ||
      this.#framesSinceAck >= ACK_FRAMES ||
      this.#bytesSinceAck >= ACK_BYTES;
    const isNews = this.#expected !== this.#toldExpected || this.#window() !== this.#toldCredit;
    if (isDue || (isNews && force)) out.push(encodeL2.ack(this.#acknowledge()));
    return out;
  }

  #memoryFor(message: number): Uint8Array<ArrayBuffer> | undefined {
    if (!this.#options.isCopied || message >= MAX_SPARE) return undefined;
    return (this.#spare[message] ??= new Uint8Array(l2Limits.messageBytes));
  }

  /** What the peer is told now: nothing more is owed. */
  #acknowledge(): L2Ack {
    this.#toldExpected = this.#expected;
    this.#toldCredit = this.#window();
    this.#framesSinceAck = this.#bytesSinceAck = 0;
    this.#ackAt = undefined;
    return { received: this.#toldExpected, credit: this.#toldCredit };
  }

  /** Sends what credit and replay allow, in messages as full as the turn's frames make them. False: nothing. */
  #sendFrames(out: Uint8Array<ArrayBuffer>[]): boolean {
    for (let count = 0; ; count++) {
      const { bytes } = this.#log.sent();
      const credit = Math.max(ahead(this.#credit, bytes), 0);
      const replay = this.#options.replayBytes - this.#log.underWayBytes;
      const batch = this.#log.next(Math.min(credit, replay, framesRoom));
      if (batch.frames.length === 0) return count > 0;
      const into = batch.bytes < REUSE_FROM_BYTES ? undefined : this.#memoryFor(count);
      out.push(encodeL2.frames(batch.first, this.#acknowledge(), batch.frames, into));
      this.#log.markSent(batch);
    }
  }
}
