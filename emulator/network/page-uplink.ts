import type { Egress, OpenDatagrams } from "../../durable-objects/gateway/flow.ts";
import { noDatagrams } from "../../durable-objects/gateway/guarded-datagrams.ts";
import { namesNotice, noticeOf } from "../../durable-objects/gateway/flow-notice.ts";
import { watchNames } from "../../durable-objects/gateway/name-watch.ts";
import { lanStack } from "../../durable-objects/gateway/lan-stack.ts";
import { localDatagrams } from "../../durable-objects/gateway/local-datagrams.ts";
import { Names } from "../../durable-objects/gateway/names.ts";
import { StackHost } from "../../durable-objects/gateway/stack-host.ts";
import { dnsCodes } from "../../durable-objects/net/dns-message.ts";
import { headerAnswer } from "../../durable-objects/net/dns-answer.ts";
import { largeLan } from "../../durable-objects/net/lan.ts";
import type { Failure } from "../protocol/failure.ts";
import type { NetworkState } from "../protocol/network-messages.ts";
import type { EgressKind } from "../protocol/tunnel-notices.ts";
import type { Clock } from "./clock.ts";
import type { Uplink, UplinkEvents } from "./uplink.ts";

/** Bytes of frames that the card has no place for yet: from here on nothing more is read from the world, */
const ROOMY_BYTES = 512 * 1024;
/** and from here on frames are dropped, as on a cable; the guest's TCP is given them again. */
const LIMIT_BYTES = 4 * ROOMY_BYTES;

/** A way out of this page for the stack's connections. */
export interface PageWay {
  readonly kind: EgressKind;
  readonly egress: Egress;
  /** Absent: no datagrams leave but DNS and NTP, which are answered here. */
  readonly openDatagrams?: OpenDatagrams;
  /** Tells how it is, now and whenever that changes. */
  start(tell: (state: NetworkState, failure?: Failure, retryInMs?: number) => void): void;
  reconnect(): void;
  close(): void;
}

export interface PageUplinkParts {
  readonly clock: Clock;
  readonly way: PageWay;
  /** A DNS message in, an answer out; null where nobody answers. */
  readonly resolve: (message: Uint8Array) => Promise<Uint8Array | null>;
  /** 32 bytes for initial sequence numbers. */
  readonly secret: Uint8Array;
}

/** The same stack that the Tunnel object runs, in this page: an uplink for sites without such objects. */
export class PageUplink implements Uplink {
  readonly #parts: PageUplinkParts;
  readonly #events: UplinkEvents;
  readonly #host: StackHost;
  /** Of the clock, but never going back. */
  #nowMs = 0;
  #frames: Uint8Array[] = [];
  #heldBytes = 0;
  #isTurnComing = false;
  #isClosed = false;
  #cancelTimer: (() => void) | undefined;
  readonly rttMs = null;

  constructor(parts: PageUplinkParts, events: UplinkEvents) {
    this.#parts = parts;
    this.#events = events;
    const now = (): number => (this.#nowMs = Math.max(this.#nowMs, parts.clock.nowMs()));
    const silence = (message: Uint8Array) => headerAnswer(message, dnsCodes.serverFailure);
    const names = new Names(async (message) => (await parts.resolve(message)) ?? silence(message), now);
    this.#host = new StackHost({
      flowBytes: largeLan.sendBufferBytes,
      // Whether a relay lets anybody to its own loopback is the relay's to say.
      makeStack: (world) =>
        lanStack(world, {
          config: { ...largeLan, secret: parts.secret, epochMs: 0 },
          hasHost: true,
          takesQuic: parts.way.openDatagrams !== undefined,
        }),
      egress: parts.way.egress,
      openDatagrams: localDatagrams(names, now, parts.way.openDatagrams ?? noDatagrams(now)),
      resolve: watchNames(parts.resolve, (failing) => this.#soon(() => events.notice(namesNotice(failing)))),
      transmit: (frame) => this.#transmit(frame),
      isRoomy: () => this.#heldBytes < ROOMY_BYTES,
      onFlow: (event) => this.#soon(() => events.notice(noticeOf(event, parts.way.kind))),
      onWork: () => this.#turnSoon(),
      now,
    });
  }

  /** The guest's TCP keeps to the stack's windows, which are all the room there is. */
  get hasRoom(): boolean {
    return !this.#isClosed;
  }

  start(): void {
    this.#parts.way.start((...told) => this.#soon(() => this.#events.state(...told)));
  }

  send(frame: Uint8Array): void {
    if (!this.#isClosed) this.#host.onFrame(frame);
  }

  flush(): void {
    if (this.#isClosed) return;
    this.#host.settle();
    this.#arm();
  }

  consumed(frame: Uint8Array): void {
    this.#heldBytes -= frame.length;
    if (this.#host.isWaiting && this.#heldBytes < ROOMY_BYTES) this.#turnSoon();
  }

  reconnect(): void {
    if (!this.#isClosed) this.#parts.way.reconnect();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#host.close();
    this.#parts.way.close();
  }

  #transmit(frame: Uint8Array): void {
    if (this.#heldBytes + frame.length > LIMIT_BYTES) return;
    this.#heldBytes += frame.length;
    this.#frames.push(frame);
    this.#turnSoon();
  }

  /** What the service hears is never said inside one of its own calls. */
  #soon(tell: () => void): void {
    void Promise.resolve().then(() => {
      if (!this.#isClosed) tell();
    });
  }

  #turnSoon(): void {
    if (this.#isTurnComing) return;
    this.#isTurnComing = true;
    this.#soon(() => {
      this.#isTurnComing = false;
      this.flush();
      const frames = this.#frames;
      this.#frames = [];
      if (frames.length > 0) this.#events.frames(frames);
    });
  }

  #arm(): void {
    this.#cancelTimer?.();
    const at = this.#host.stack.pollAt();
    const wait = at === undefined ? undefined : Math.max(0, at - this.#parts.clock.nowMs());
    this.#cancelTimer = wait === undefined ? undefined : this.#parts.clock.after(wait, () => this.flush());
  }
}
