import { Worker } from "node:worker_threads";
import type { Outlet } from "../../durable-objects/gateway/carrier.ts";
import type { Client } from "./credentials.ts";
import type { UdpSessions } from "./udp-sessions.ts";
import {
  type FromThread,
  type ThreadStart,
  type ToThread,
  UNDER_WAY_BYTES,
  Way,
  type WebRtcOptions,
} from "./webrtc-messages.ts";

export const MAX_SDP_BYTES = 64 * 1024;
const THREAD_MIB = 256;

/** What carries datagrams behind a channel: the door of `/udp`, without its texts. */
export interface ChannelDoor {
  onMessage(message: Uint8Array): void;
  onClosed(): void;
}
type OpenDoor = (client: Client, outlet: Outlet) => ChannelDoor;

export type Answer =
  /** `end` ends the session. */
  | { readonly ok: true; readonly sdp: string; readonly end: () => void }
  | {
      readonly ok: false;
      readonly code: "too_many_sessions" | "session_already_active" | "bad_message" | "internal_error";
    };

interface Session {
  readonly client: Client;
  readonly leave: () => void;
  answered: ((answer: Answer) => void) | undefined;
  door: ChannelDoor | undefined;
}
const noOffer: Answer = { ok: false, code: "bad_message" };
const hasFailed: Answer = { ok: false, code: "internal_error" };

/**
 * Datagrams by WebRTC (§7 of the relay's protocol): a browser's offer is answered, and its channel `udp`, unordered and never
 * repeated, carries the framing of `/udp`. A datagram that is lost holds up none behind it, which a WebSocket cannot do.
 *
 * The relay contacts nobody: it throws away the addresses in the offer and answers who comes to its own, so that an offer
 * cannot make it knock at strangers' doors. The library runs in a thread of its own (`webrtc-thread.ts`).
 */
export class WebRtcCarrier {
  readonly #options: WebRtcOptions;
  readonly #places: UdpSessions;
  readonly #open: OpenDoor;
  readonly #sessions = new Map<number, Session>();
  #next = 1;
  #thread: { readonly worker: Worker; readonly underWay: Int32Array } | undefined;

  private constructor(options: WebRtcOptions, places: UdpSessions, open: OpenDoor) {
    this.#options = options;
    this.#places = places;
    this.#open = open;
  }

  /** Throws in words where the library is not installed: it is optional. */
  static async load(options: WebRtcOptions, places: UdpSessions, open: OpenDoor): Promise<WebRtcCarrier> {
    try {
      import.meta.resolve("werift");
    } catch {
      throw new Error("WebRTC needs the package werift, which is not installed here.");
    }
    return new WebRtcCarrier(options, places, open);
  }

  /** Answers an offer for a client that has been let in. The session ends with its connection. */
  async answer(sdp: string, client: Client): Promise<Answer> {
    const place = this.#places.enter(client);
    if (typeof place === "string") return { ok: false, code: place };
    const id = this.#next++;
    const session: Session = { client, leave: place.leave, answered: undefined, door: undefined };
    const answer = new Promise<Answer>((resolve) => (session.answered = resolve));
    this.#sessions.set(id, session);
    this.#say({ type: "offer", session: id, sdp });
    return answer;
  }

  #say(message: ToThread): void {
    this.#thread ??= this.#start();
    this.#thread.worker.postMessage(message);
  }

  /** A thread that has ended takes its sessions with it; the next offer starts another. */
  #start(): { readonly worker: Worker; readonly underWay: Int32Array } {
    const start: ThreadStart = { options: this.#options, underWay: new SharedArrayBuffer(8) };
    const worker = new Worker(new URL("./webrtc-thread.ts", import.meta.url), {
      workerData: start,
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MIB },
    });
    worker.unref();
    const thread = { worker, underWay: new Int32Array(start.underWay) };
    worker.on("message", (message: FromThread) => this.#onMessage(message, thread.underWay));
    worker.on("error", (error) => console.error(JSON.stringify({ webRtc: "ended", problem: String(error) })));
    worker.on("exit", () => {
      if (this.#thread === thread) this.#thread = undefined;
      for (const id of this.#sessions.keys()) this.#end(id, hasFailed);
    });
    return thread;
  }

  #onMessage(message: FromThread, underWay: Int32Array): void {
    if (message.type === "datagram") Atomics.sub(underWay, Way.fromThread, message.bytes.length);
    const session = this.#sessions.get(message.session);
    if (!session) return;
    const end = (): void => {
      if (this.#sessions.has(message.session)) this.#say({ type: "close", session: message.session });
    };
    switch (message.type) {
      case "answer":
        session.answered?.(message.sdp === null ? noOffer : { ok: true, sdp: message.sdp, end });
        session.answered = undefined;
        return;
      case "open":
        session.door = this.#open(session.client, this.#outlet(message.session, underWay));
        return;
      case "datagram":
        return session.door?.onMessage(message.bytes);
      case "closed":
        return this.#end(message.session);
      default:
        message satisfies never;
    }
  }

  #outlet(id: number, underWay: Int32Array): Outlet {
    return {
      send: (message) => {
        // Texts are for WebSockets.
        if (typeof message === "string" || Atomics.load(underWay, Way.toThread) > UNDER_WAY_BYTES) return;
        Atomics.add(underWay, Way.toThread, message.length);
        this.#say({ type: "datagram", session: id, bytes: message });
      },
      close: () => this.#say({ type: "close", session: id }),
    };
  }

  #end(id: number, instead: Answer = noOffer): void {
    const session = this.#sessions.get(id);
    if (!session) return;
    this.#sessions.delete(id);
    session.leave();
    session.answered?.(instead);
    session.door?.onClosed();
  }

  async close(): Promise<void> {
    await this.#thread?.worker.terminate();
  }
}
