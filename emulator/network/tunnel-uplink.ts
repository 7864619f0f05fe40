import { lanDefaults } from "../../durable-objects/net/lan.ts";
import { Orphans } from "../../durable-objects/net/orphans.ts";
import type { Failure } from "../protocol/failure.ts";
import { readTunnelNotice } from "../protocol/tunnel-notices.ts";
import { L2Session } from "../protocol/virga-l2-session.ts";
import { VIRGA_L2, byeCodes, frameCost } from "../protocol/virga-l2.ts";
import type { Clock } from "./clock.ts";
import type { Uplink, UplinkEvents } from "./uplink.ts";

/** The part of a WebSocket that the tunnel needs. */
export interface Socket {
  binaryType: BinaryType;
  /** Copies the message before it returns. */
  send(message: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: object) => void): void;
}

/** The outside world of a tunnel. */
export interface TunnelHost {
  readonly clock: Clock;
  openSocket(url: string, protocol: string): Socket;
  /** Asks for a session, whose cookie the browser keeps. Null: it is there; else why not. */
  enter(): Promise<Failure | null>;
}

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 15_000;
/** A socket that neither opens nor fails. */
const OPEN_TIMEOUT_MS = 10_000;
/** While frames go out and nothing comes back, the other end is asked; then the socket counts as lost. */
const ASK_AFTER_MS = 5_000;
const LOST_AFTER_MS = 15_000;
const RTT_EVERY_MS = 10_000;

/** What each BYE means for the next try. A person may always ask again. */
const afterBye: { readonly [code: number]: "again" | "enter" | "slowly" | "stop" } = {
  [byeCodes.protocolError]: "slowly",
  [byeCodes.credentials]: "enter",
  [byeCodes.origin]: "stop",
  [byeCodes.quota]: "stop",
  [byeCodes.tooManyTunnels]: "slowly",
  [byeCodes.internetOff]: "stop",
  [byeCodes.goingAway]: "again",
  [byeCodes.replaced]: "stop",
};

/**
 * The machine's end of a `virga-l2-v1` tunnel. Sockets come and go; the session resumes on the next one, so that the
 * guest's connections see a pause and no loss. Without traffic it is silent: a tunnel that nobody uses may sleep.
 */
export class TunnelUplink implements Uplink {
  readonly #host: TunnelHost;
  readonly #url: string;
  readonly #events: UplinkEvents;
  readonly #orphans = new Orphans(lanDefaults.gatewayMac);
  #session = new L2Session("client", { isCopied: true });
  #socket: Socket | undefined;
  #rttMs: number | null = null;
  #retryMs = FIRST_RETRY_MS;
  #mustEnter = true;
  #isClosed = false;
  #wasFull = false;
  #hasBeenOnline = false;
  /** Counts tries, so that an old socket's late word is not taken for the new one's. */
  #attempt = 0;
  #heardMs = 0;
  #askedMs: number | undefined;
  #pingedMs = -Infinity;
  #timers = new Map<"retry" | "open" | "poll" | "alive", () => void>();

  constructor(host: TunnelHost, url: string, events: UplinkEvents) {
    this.#host = host;
    this.#url = url;
    this.#events = events;
  }

  get hasRoom(): boolean {
    return this.#session.hasRoom;
  }
  get rttMs(): number | null {
    return this.#rttMs;
  }

  start(): void {
    void this.#connect();
  }

  send(frame: Uint8Array): void {
    this.#orphans.onSent(frame);
    this.#session.queue(frame);
    if (!this.#session.hasRoom) this.#wasFull = true;
  }

  flush(): void {
    const messages = this.#session.flush(this.#host.clock.nowMs());
    for (const message of messages) this.#socket?.send(message);
    if (messages.length > 0) this.#watch();
    this.#after("poll", this.#session.pollAt(), () => this.#turn());
  }

  consumed(frame: Uint8Array): void {
    this.#session.consume(frameCost(frame), this.#host.clock.nowMs());
  }

  reconnect(): void {
    if (this.#isClosed) return;
    this.#retryMs = FIRST_RETRY_MS;
    this.#mustEnter = true;
    this.#drop();
    void this.#connect();
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
  }

  /** A turn of its own: what the socket or a timer began. */
  #turn(): void {
    this.flush();
    if (!this.#wasFull || !this.#session.hasRoom) return;
    this.#wasFull = false;
    this.#events.roomy();
  }

  async #connect(): Promise<void> {
    const attempt = ++this.#attempt;
    this.#cancel("retry");
    this.#events.state(this.#hasBeenOnline ? "reconnecting" : "connecting");
    const refusal = this.#mustEnter ? await this.#host.enter() : null;
    if (attempt !== this.#attempt || this.#isClosed) return;
    if (refusal?.code === "offline") return this.#retry();
    if (refusal) return this.#events.state("refused", refusal);
    this.#mustEnter = false;
    this.#open();
  }

  #open(): void {
    const socket = this.#host.openSocket(this.#url, VIRGA_L2);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    const current = (work: () => void) => () => {
      if (this.#socket === socket) work();
    };
    const lost = current(() => {
      // A refused upgrade looks like a lost socket: the session may have run out.
      this.#mustEnter = true;
      this.#drop();
      this.#retry();
    });
    const opened = current(() => {
      this.#session.attach();
      this.#turn();
    });
    socket.addEventListener("open", opened);
    socket.addEventListener("message", (event) => current(() => this.#hear(event))());
    socket.addEventListener("close", lost);
    socket.addEventListener("error", lost);
    this.#after("open", this.#host.clock.nowMs() + OPEN_TIMEOUT_MS, lost);
  }

  #hear(event: { readonly data?: unknown }): void {
    const { data } = event;
    const now = this.#host.clock.nowMs();
    this.#heardMs = now;
    this.#askedMs = undefined;
    const message = data instanceof ArrayBuffer ? new Uint8Array(data) : String(data);
    const got = this.#session.onMessage(message, now);
    if (got.bye) return this.#onBye(got.bye.code, got.bye.sentence);
    if (got.fault !== undefined) {
      this.#drop();
      return this.#retry();
    }
    if (got.opened) this.#onOpened(now);
    // What belonged to a session that is gone would hang in a guest that only receives.
    const orphans = got.opened?.resumed === false ? this.#orphans.reset() : [];
    if (orphans.length > 0) this.#events.frames(orphans);
    if (got.pong)
      this.#rttMs = Math.max(0, now - new DataView(got.pong.buffer, got.pong.byteOffset).getFloat64(0));
    if (got.notice !== undefined) {
      const notice = readTunnelNotice(got.notice);
      // One that this page does not know is a newer server's.
      if (notice.ok) this.#events.notice(notice.value);
    }
    if (got.frames.length > 0) this.#events.frames(got.frames);
    this.#turn();
  }

  #onOpened(now: number): void {
    this.#cancel("open");
    this.#retryMs = FIRST_RETRY_MS;
    this.#hasBeenOnline = true;
    this.#ping(now);
    this.#events.state("online");
  }

  #onBye(code: number, sentence: string): void {
    this.#drop();
    const then = afterBye[code] ?? "slowly";
    if (then === "stop") return this.#events.state("refused", { code: "tunnel-refused", sentence });
    if (then === "enter") this.#mustEnter = true;
    if (then === "slowly") this.#retryMs = LAST_RETRY_MS;
    this.#retry();
  }

  /** Exponential back-off with a fifth of jitter. */
  #retry(): void {
    if (this.#isClosed) return;
    const wait = Math.round(this.#retryMs * (1 + this.#host.clock.random() / 5));
    this.#retryMs = Math.min(2 * this.#retryMs, LAST_RETRY_MS);
    this.#events.state(this.#hasBeenOnline ? "reconnecting" : "connecting", undefined, wait);
    this.#after("retry", this.#host.clock.nowMs() + wait, () => void this.#connect());
  }

  /** Lets go of the socket; the session keeps what the other end has not acknowledged. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#attempt++;
    for (const name of ["open", "alive", "poll"] as const) this.#cancel(name);
    if (!socket) return;
    this.#session.detach(this.#host.clock.nowMs());
    socket.close(1000);
  }

  #ping(now: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, now);
    this.#session.ping(bytes);
    this.#pingedMs = now;
  }

  /** After sending: looks whether anything comes back. Silence of both sides asks nobody. */
  #watch(): void {
    const now = this.#host.clock.nowMs();
    if (this.#timers.has("alive") || !this.#socket) return;
    if (now - this.#pingedMs >= RTT_EVERY_MS) this.#ping(now);
    this.#askedMs ??= now;
    this.#after("alive", now + ASK_AFTER_MS, () => this.#checkAlive());
  }

  #checkAlive(): void {
    if (this.#askedMs === undefined || !this.#socket) return;
    const now = this.#host.clock.nowMs();
    if (now - Math.max(this.#askedMs, this.#heardMs) >= LOST_AFTER_MS) {
      this.#drop();
      return this.#retry();
    }
    this.#ping(now);
    this.#after("alive", now + ASK_AFTER_MS, () => this.#checkAlive());
    for (const message of this.#session.flush(now)) this.#socket.send(message);
  }

  #after(name: "retry" | "open" | "poll" | "alive", atMs: number | undefined, work: () => void): void {
    this.#cancel(name);
    if (atMs === undefined || this.#isClosed) return;
    const wait = Math.max(0, atMs - this.#host.clock.nowMs());
    const cancel = this.#host.clock.after(wait, () => {
      this.#timers.delete(name);
      work();
    });
    this.#timers.set(name, cancel);
  }

  #cancel(name: "retry" | "open" | "poll" | "alive"): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}
