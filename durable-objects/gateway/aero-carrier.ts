import {
  type AeroL2Error,
  type AeroL2Limits,
  aeroL2Closes,
  aeroL2Limits,
  encodeAeroL2,
  pingPayload,
  receiveAeroL2,
} from "#protocol/aero-l2.ts";
import { closeReason } from "#protocol/wire-bytes.ts";
import type { Carrier, FrameCounts, Outlet } from "./carrier.ts";
import { Pacer } from "./pacer.ts";

/** 0 switches a bound off. */
export interface AeroOptions {
  readonly limits: AeroL2Limits;
  /** Every so often a PING, at most one under way, again after three intervals without an answer. */
  readonly pingMs: number;
  /** Both directions together, of one connection. */
  readonly quotaBytes: number;
  readonly framesPerSecond: number;
  /** Without a frame for so long the socket is closed. */
  readonly idleMs: number;
}
export const aeroDefaults: AeroOptions = {
  limits: aeroL2Limits,
  pingMs: 0,
  quotaBytes: 0,
  framesPerSecond: 0,
  idleMs: 0,
};

/** `aero-l2-tunnel-v1`, the server's end: one frame per message, strict. */
export class AeroCarrier implements Carrier {
  readonly #outlet: Outlet;
  readonly #counts: FrameCounts;
  readonly #options: AeroOptions;
  readonly #onClosed: (why: "protocol" | AeroL2Error | "idle") => void;
  readonly #pacer = new Pacer();
  #pings = 0n;
  #isClosed = false;
  #total = 0;
  #secondStartMs = 0;
  #framesThisSecond = 0;
  #lastFrameMs: number;
  #pingAtMs: number | undefined;
  /** Told each round trip in ms, for the histogram of `/metrics`. */
  readonly #onPing: (rttMs: number) => void;

  constructor(
    outlet: Outlet,
    counts: FrameCounts,
    options: AeroOptions,
    onClosed: (why: "protocol" | AeroL2Error | "idle") => void,
    nowMs: number,
    onPing: (rttMs: number) => void = () => {},
  ) {
    this.#onPing = onPing;
    this.#outlet = outlet;
    this.#counts = counts;
    this.#options = options;
    this.#onClosed = onClosed;
    this.#lastFrameMs = nowMs;
    if (options.pingMs > 0) this.#pingAtMs = nowMs + options.pingMs;
  }

  get isRoomy(): boolean {
    return this.#pacer.isRoomy;
  }
  get heldBytes(): number {
    return this.#pacer.unconfirmedBytes;
  }
  get isQuiet(): boolean {
    return !this.#pacer.isAsking;
  }

  transmit(frame: Uint8Array): void {
    if (this.#isClosed || frame.length > this.#options.limits.maxFramePayloadBytes || this.#pacer.isFull) {
      this.#counts.dropped++;
      return;
    }
    const message = encodeAeroL2.frame(frame);
    this.#pacer.sent(message.length);
    this.#counts.framesOut++;
    this.#counts.bytesOut += frame.length;
    this.#total += frame.length;
    this.#outlet.send(message);
  }

  onMessage(message: Uint8Array | string, nowMs: number): readonly Uint8Array[] {
    if (this.#isClosed) return [];
    const verdict = receiveAeroL2("server", message, this.#options.limits);
    if (verdict.kind === "refuse") {
      this.#outlet.send(verdict.error);
      this.#close(aeroL2Closes.refused, verdict.reason, "protocol");
    }
    if (verdict.kind !== "message") return [];
    const { message: received } = verdict;
    if (received.type === "ping") this.#answer(encodeAeroL2.pong(received.payload));
    if (received.type === "pong") this.#onPong(nowMs);
    if (received.type !== "frame") return [];
    return this.#admit(received.payload, nowMs) ? [received.payload] : [];
  }

  /** A client that asks and asks and does not read gets no more answers than frames. */
  #answer(message: Uint8Array): void {
    if (this.#pacer.isFull) return;
    this.#pacer.sent(message.length);
    this.#outlet.send(message);
  }

  #onPong(nowMs: number): void {
    const rtt = this.#pacer.answered(nowMs);
    if (rtt === undefined) return;
    this.#onPing(rtt);
    if (this.#options.pingMs > 0) this.#pingAtMs = nowMs + this.#options.pingMs;
  }

  #admit(frame: Uint8Array, nowMs: number): boolean {
    const { quotaBytes, framesPerSecond } = this.#options;
    this.#lastFrameMs = nowMs;
    this.#total += frame.length;
    if (quotaBytes > 0 && this.#total > quotaBytes) {
      this.#refuse("quota_bytes", "The connection's byte quota is used up.");
      return false;
    }
    if (nowMs - this.#secondStartMs >= 1000) {
      this.#secondStartMs = nowMs;
      this.#framesThisSecond = 0;
    }
    if (framesPerSecond > 0 && ++this.#framesThisSecond > framesPerSecond) {
      this.#refuse("quota_fps", "Too many frames per second.");
      return false;
    }
    return true;
  }

  #refuse(error: AeroL2Error, sentence: string): void {
    this.#outlet.send(encodeAeroL2.error(error, sentence, this.#options.limits.maxControlPayloadBytes));
    this.#close(aeroL2Closes.refused, sentence, error);
  }

  #close(code: number, reason: string, why: "protocol" | AeroL2Error | "idle"): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#outlet.close(code, closeReason(reason));
    this.#onClosed(why);
  }

  done(frames: readonly Uint8Array[]): void {
    for (const frame of frames) {
      this.#counts.framesIn++;
      this.#counts.bytesIn += frame.length;
    }
  }

  flush(nowMs: number): void {
    if (this.#isClosed) return;
    const { idleMs, pingMs } = this.#options;
    if (idleMs > 0 && nowMs - this.#lastFrameMs >= idleMs)
      return this.#close(aeroL2Closes.refused, "idle timeout", "idle");
    if (this.#pacer.isStuck(nowMs)) return this.#refuse("backpressure", "The client does not read.");
    const isDue = this.#pingAtMs !== undefined && nowMs >= this.#pingAtMs;
    // Without an answer after three intervals the PING goes out again; it stays the one that is under way.
    const isAgain = isDue && this.#pacer.isAsking;
    if (!isAgain && !this.#pacer.ask(nowMs, isDue)) return;
    if (pingMs > 0) this.#pingAtMs = nowMs + 3 * pingMs;
    this.#outlet.send(encodeAeroL2.ping(pingPayload(++this.#pings)));
  }

  pollAt(): number | undefined {
    const { idleMs } = this.#options;
    const times = [
      this.#pacer.pollAt(),
      this.#pingAtMs,
      idleMs > 0 ? this.#lastFrameMs + idleMs : undefined,
    ].filter((time) => time !== undefined);
    return this.#isClosed || times.length === 0 ? undefined : Math.min(...times);
  }
}
