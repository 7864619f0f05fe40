import type { Endpoint } from "../net/world.ts";
import {
  type DatagramEgress,
  type DatagramEvent,
  type DatagramSink,
  type NamedEndpoint,
  type OpenDatagrams,
  type Refused,
  noUdp,
} from "./flow.ts";
import type { Admission, DatagramGatekeeper, FlowEnd } from "./guarded-egress.ts";

/** A conversation without a datagram for so long is over: as long as the relay keeps the port (§7 of its protocol). */
const IDLE_MS = 60_000;
/** A refusal is remembered for so long, so that neither the gatekeeper nor the page hears of every datagram. */
const REFUSED_MS = 10_000;
/** Of all doors together; the one that was silent longest goes first. */
const MAX_CONVERSATIONS = 1024;
/** Datagrams that wait while the gatekeeper thinks. */
const MAX_WAITING = 8;

interface Conversation {
  readonly key: string;
  readonly from: Endpoint;
  readonly to: NamedEndpoint;
  readonly door: Door;
  state: "asking" | "open" | "refused";
  why: Refused | undefined;
  waiting: Uint8Array[];
  admission: Admission | undefined;
  activeMs: number;
  sentBytes: number;
  receivedBytes: number;
}
interface Door {
  readonly sink: DatagramSink;
  readonly next: DatagramEgress;
  readonly id: number;
}

const keyOf = (id: number, guest: Endpoint, address: string, port: number): string =>
  `${id} ${guest.address} ${guest.port} ${address} ${port}`;

/**
 * Every datagram that leaves passes here: the gatekeeper is asked for each conversation (one port of the guest with one of
 * the world), its bytes are counted, its end after a minute of silence is told. What nobody was written to does not answer.
 */
export class GuardedDatagrams {
  readonly #gatekeeper: DatagramGatekeeper;
  readonly #next: OpenDatagrams;
  readonly #now: () => number;
  /** By what the guest calls the other end; the longest silent first. */
  readonly #conversations = new Map<string, Conversation>();
  /** By the address that was let through, where it is another one. */
  readonly #byAddress = new Map<string, Conversation>();
  #doors = 0;

  constructor(gatekeeper: DatagramGatekeeper, next: OpenDatagrams, now: () => number) {
    this.#gatekeeper = gatekeeper;
    this.#next = next;
    this.#now = now;
  }

  /** Conversations, with those that are refused for the moment. */
  get count(): number {
    return this.#conversations.size;
  }

  readonly open: OpenDatagrams = (sink) => {
    const id = ++this.#doors;
    const next = this.#next({
      onReply: (from, to, payload) => this.#onReply(id, from, to, payload),
      onEvent: (event) => this.#onEvent(id, event),
    });
    const door: Door = { sink, next, id };
    return {
      send: (from, to, payload) => this.#send(door, from, to, payload),
      unheard: (from, to) => {
        const conversation = this.#find(id, from, to);
        if (conversation?.state === "open") this.#end(conversation);
      },
      close: () => this.#close(door),
    };
  };

  /** Ends what has been silent for too long. Wanted now and then while `count` is not 0. */
  onTime(): void {
    const now = this.#now();
    for (const conversation of this.#conversations.values()) {
      const silence = now - conversation.activeMs;
      if (silence < REFUSED_MS) return;
      if (conversation.state === "refused" || silence >= IDLE_MS) this.#end(conversation);
    }
  }

  #close(door: Door): void {
    for (const conversation of this.#conversations.values())
      if (conversation.door === door) this.#end(conversation, false);
    door.next.close();
  }

  #send(door: Door, from: Endpoint, to: NamedEndpoint, payload: Uint8Array): Refused | null {
    const key = keyOf(door.id, from, to.address, to.port);
    const known = this.#conversations.get(key);
    const isStale = known?.state === "refused" && this.#now() - known.activeMs >= REFUSED_MS;
    if (known && isStale) this.#end(known);
    if (!known || isStale) return this.#begin(door, key, from, to, payload);
    if (known.state === "refused") return known.why ?? null;
    this.#touch(known);
    if (known.state === "open") {
      const refused = this.#pass(known, payload);
      // The first refusal of a conversation is an event, whenever it is known.
      if (refused)
        void Promise.resolve().then(() =>
          door.sink.onEvent({ kind: "refused", from: known.from, to: known.to, why: refused }),
        );
      return null;
    }
    // What the host gave is a view on its frame.
    if (known.waiting.length < MAX_WAITING) known.waiting.push(payload.slice());
    return null;
  }

  #touch(conversation: Conversation): void {
    conversation.activeMs = this.#now();
    this.#conversations.delete(conversation.key);
    this.#conversations.set(conversation.key, conversation);
  }

  #begin(door: Door, key: string, from: Endpoint, to: NamedEndpoint, payload: Uint8Array): null {
    this.onTime();
    if (this.#conversations.size >= MAX_CONVERSATIONS) {
      const [oldest] = this.#conversations.values();
      if (oldest) this.#end(oldest);
    }
    const conversation: Conversation = {
      key,
      from: { ...from },
      to: { ...to },
      door,
      state: "asking",
      why: undefined,
      waiting: [payload.slice()],
      admission: undefined,
      activeMs: this.#now(),
      sentBytes: 0,
      receivedBytes: 0,
    };
    this.#conversations.set(key, conversation);
    const { address, port, name } = to;
    this.#gatekeeper.admitDatagrams({ host: address, port, ...(name !== undefined && { name }) }).then(
      (verdict) => this.#decide(conversation, verdict),
      (error: unknown) =>
        this.#decide(conversation, {
          refusal: "unreachable",
          code: "failed",
          sentence: String(error).slice(0, 200),
        }),
    );
    return null;
  }

  #decide(conversation: Conversation, verdict: Admission | Refused): void {
    const isGone = this.#conversations.get(conversation.key) !== conversation;
    if ("refusal" in verdict) return isGone ? undefined : this.#refuse(conversation, verdict);
    verdict.onDialled(null);
    if (isGone) return verdict.onClosed(0, 0, "done");
    const { door, from, to } = conversation;
    conversation.state = "open";
    conversation.admission = verdict;
    if (verdict.host !== to.address)
      this.#byAddress.set(keyOf(door.id, from, verdict.host, to.port), conversation);
    door.sink.onEvent({ kind: "opened", from, to });
    for (const payload of conversation.waiting.splice(0)) {
      const refused = conversation.state === "open" ? this.#pass(conversation, payload) : null;
      if (refused) door.sink.onEvent({ kind: "refused", from, to, why: refused });
    }
    return undefined;
  }

  /** Counts, and sends on. What the next way refuses is remembered as the gatekeeper's refusals are. */
  #pass(conversation: Conversation, payload: Uint8Array): Refused | null {
    const { admission, from, to, door } = conversation;
    if (!admission) return null;
    if (!admission.onBytes(payload.length)) {
      this.#settle(conversation, "too-many-bytes");
      this.#end(conversation);
      return noBytes;
    }
    conversation.sentBytes += payload.length;
    const refused = door.next.send(from, { ...to, address: admission.host }, payload);
    if (refused) this.#forbid(conversation, refused);
    return refused;
  }

  #refuse(conversation: Conversation, why: Refused): void {
    const { from, to, door } = conversation;
    this.#forbid(conversation, why);
    door.sink.onEvent({ kind: "refused", from, to, why });
  }

  #forbid(conversation: Conversation, why: Refused): void {
    this.#settle(conversation);
    conversation.state = "refused";
    conversation.why = why;
    conversation.waiting = [];
    this.#touch(conversation);
  }

  #settle(conversation: Conversation, why: FlowEnd = "done"): void {
    const { admission, door, from, to, sentBytes, receivedBytes } = conversation;
    conversation.admission = undefined;
    if (!admission) return;
    this.#byAddress.delete(keyOf(door.id, from, admission.host, to.port));
    admission.onClosed(sentBytes, receivedBytes, why);
  }

  #end(conversation: Conversation, tells = true): void {
    const { door, from, to, sentBytes, receivedBytes, state, key } = conversation;
    this.#conversations.delete(key);
    this.#settle(conversation);
    if (tells && state === "open")
      void Promise.resolve().then(() =>
        door.sink.onEvent({ kind: "closed", from, to, sentBytes, receivedBytes }),
      );
  }

  #find(id: number, guest: Endpoint, world: Endpoint): Conversation | undefined {
    const key = keyOf(id, guest, world.address, world.port);
    return this.#byAddress.get(key) ?? this.#conversations.get(key);
  }

  #onReply(id: number, from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const conversation = this.#find(id, to, from);
    if (conversation?.state !== "open") return;
    if (!conversation.admission?.onBytes(payload.length)) {
      this.#settle(conversation, "too-many-bytes");
      return this.#end(conversation);
    }
    conversation.receivedBytes += payload.length;
    this.#touch(conversation);
    const { address, port } = conversation.to;
    conversation.door.sink.onReply({ address, port }, conversation.from, payload);
  }

  #onEvent(id: number, event: DatagramEvent): void {
    if (event.kind !== "refused") return;
    const conversation = this.#find(id, event.from, event.to);
    if (conversation?.state === "open") this.#refuse(conversation, event.why);
  }
}

const noBytes: Refused = {
  refusal: "prohibited",
  code: "too-many-bytes",
  sentence: "The allowance of bytes is used up.",
};

/** Where no relay is configured: every conversation is refused in the same words. */
export const noDatagrams = (now: () => number): OpenDatagrams =>
  new GuardedDatagrams(
    { admitDatagrams: () => Promise.resolve(noUdp) },
    () => ({ send: () => noUdp, close: () => {} }),
    now,
  ).open;
