import { L2Session, type L2Snapshot } from "#protocol/virga-l2-session.ts";
import { byeCodes, encodeL2, frameCost, l2Limits } from "#protocol/virga-l2.ts";
import type { TunnelNotice } from "#protocol/tunnel-notices.ts";
import { type Carrier, type FrameCounts, type Outlet } from "./carrier.ts";

/** Frames that wait for credit. With what is under way (1 MiB) this is all that one session keeps for its client. */
const QUEUE_BYTES = 2 * 2 ** 20;

/** `virga-l2-v1`, the server's end. Outlives its socket: the next one goes on where the last one stopped. */
export class VirgaCarrier implements Carrier {
  readonly #session: L2Session;
  readonly #counts: FrameCounts;
  /** Called when a session begins or goes on: `resumed` false means that the guest's flows are gone. */
  readonly #onOpen: (resumed: boolean) => void;
  #outlet: Outlet | undefined;
  #detachedAtMs: number | undefined;

  constructor(counts: FrameCounts, onOpen: (resumed: boolean) => void, snapshot?: L2Snapshot) {
    const options = { queueBytes: QUEUE_BYTES };
    this.#session = snapshot
      ? L2Session.restore("server", options, snapshot)
      : new L2Session("server", options);
    this.#counts = counts;
    this.#onOpen = onOpen;
  }

  get sessionId(): string | undefined {
    return this.#session.sessionId;
  }
  get outlet(): Outlet | undefined {
    return this.#outlet;
  }
  get heldBytes(): number {
    return this.#session.heldBytes;
  }
  get isQuiet(): boolean {
    return this.#session.isQuiet;
  }
  get isRoomy(): boolean {
    return this.#session.waitingBytes < QUEUE_BYTES / 2;
  }
  /** When a session without a socket is forgotten. */
  get expiresAt(): number | undefined {
    return this.#detachedAtMs === undefined ? undefined : this.#detachedAtMs + l2Limits.keepMs + 1;
  }
  isExpired(nowMs: number): boolean {
    return this.#session.isExpired(nowMs);
  }
  snapshot(): L2Snapshot | undefined {
    return this.#session.snapshot();
  }

  /** A socket whose first message has not come yet. An older one of the same session is told that it was replaced. */
  attach(outlet: Outlet, freshSession: Uint8Array): void {
    if (this.#outlet) {
      this.#outlet.send(encodeL2.bye(byeCodes.replaced, "Another socket goes on with this session."));
      this.#outlet.close(1000, "replaced");
    }
    this.#outlet = outlet;
    this.#session.attach(freshSession);
  }

  /** A socket that was there all the time while its object slept. */
  adopt(outlet: Outlet): void {
    this.#outlet = outlet;
  }

  detach(nowMs: number): void {
    this.#detachedAtMs = nowMs;
    this.#outlet = undefined;
    this.#session.detach(nowMs);
  }

  transmit(frame: Uint8Array): void {
    if (this.#session.queue(frame)) {
      this.#counts.framesOut++;
      this.#counts.bytesOut += frame.length;
    } else this.#counts.dropped++;
  }

  notify(notice: TunnelNotice): void {
    this.#session.notify(JSON.stringify(notice));
  }

  onMessage(message: Uint8Array | string, nowMs: number): readonly Uint8Array[] {
    const received = this.#session.onMessage(message, nowMs);
    if (received.opened) this.#onOpen(received.opened.resumed);
    if (received.fault !== undefined) this.#end(1008, "protocol error", nowMs);
    else if (received.bye) this.#end(1000, "bye", nowMs);
    return received.frames;
  }

  #end(code: number, reason: string, nowMs: number): void {
    for (const message of this.#session.flush(nowMs)) this.#outlet?.send(message);
    this.#outlet?.close(code, reason);
    this.detach(nowMs);
  }

  /** Says goodbye with a reason of `byeCodes`. */
  bye(code: number, sentence: string, nowMs: number): void {
    this.#outlet?.send(encodeL2.bye(code, sentence));
    this.#outlet?.close(code === byeCodes.goingAway ? 1001 : 1008, sentence.slice(0, 100));
    this.detach(nowMs);
  }

  done(frames: readonly Uint8Array[], nowMs: number): void {
    if (frames.length === 0) return;
    let bytes = 0;
    for (const frame of frames) bytes += frameCost(frame);
    this.#counts.framesIn += frames.length;
    this.#counts.bytesIn += bytes;
    this.#session.consume(bytes, nowMs);
  }

  flush(nowMs: number): void {
    if (!this.#outlet) return;
    for (const message of this.#session.flush(nowMs)) this.#outlet.send(message);
  }

  pollAt(): number | undefined {
    return this.#outlet ? this.#session.pollAt() : undefined;
  }
}
