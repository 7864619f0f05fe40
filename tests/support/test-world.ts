import { createHash, type Hash } from "node:crypto";
import type { Endpoint, FlowId, FlowTarget, NetworkStack, World } from "../../durable-objects/net/world.ts";
import { seededRandom, randomBytes } from "./seeded-random.ts";

/** What the test services send for a request: the same bytes for the same seed. */
export function downloadBody(bytes: number, seed: number): Uint8Array {
  const block = randomBytes(seededRandom(seed + 1), 65_536);
  const body = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += block.length) body.set(block.subarray(0, bytes - at), at);
  return body;
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

interface Flow {
  readonly target: FlowTarget;
  readonly hash: Hash;
  request: string;
  /** What is still to be delivered. */
  waiting: Uint8Array[];
  willEnd: boolean;
  finished: boolean;
  received: number;
}

/**
 * A world of test services behind the stack. Port 7001: "BYTES SEED\n" is answered by that body and FIN; 7002: everything up
 * to FIN is answered by its SHA-256; 7003: echo; 7004 refuses, 7005 is unreachable, 7006 prohibited, 7007 says nothing.
 * UDP to 7010 is echoed, to 7011 nobody listens.
 */
export class TestWorld implements World {
  stack!: NetworkStack;
  now: () => number = () => 0;
  readonly flows = new Map<FlowId, Flow>();
  readonly closings: string[] = [];
  readonly openedFlows: FlowId[] = [];
  onFrame: (frame: Uint8Array) => void = () => {};
  /** What calls of the world lead to is done when the stack has returned. */
  readonly #later: (() => void)[] = [];

  /** Does what the last calls of the stack have asked for. */
  turn(): void {
    for (let next = this.#later.shift(); next; next = this.#later.shift()) next();
  }

  transmit(frame: Uint8Array): void {
    this.onFrame(frame);
  }

  dial(flow: FlowId, target: FlowTarget): void {
    this.#later.push(() => {
      const refusal = ({ 7004: "refused", 7005: "unreachable", 7006: "prohibited" } as const)[target.port];
      if (refusal) return this.stack.refused(flow, refusal, this.now());
      if (target.port === 7007) return undefined;
      this.adopt(flow, target);
      return this.stack.dialed(flow, this.now());
    });
  }

  adopt(flow: FlowId, target: FlowTarget): void {
    const hash = createHash("sha256");
    const fresh = { request: "", waiting: [], willEnd: false, finished: false, received: 0 };
    this.flows.set(flow, { target, hash, ...fresh });
  }

  send(flow: FlowId, bytes: Uint8Array): void {
    const kept = bytes.slice();
    this.#later.push(() => {
      const entry = this.flows.get(flow);
      if (!entry) return;
      entry.received += kept.length;
      this.#take(entry, kept);
      // An echo is written when it has been delivered: a peer that does not read is not read from.
      if (entry.target.port !== 7003) this.stack.written(flow, kept.length, this.now());
      this.#pump(flow, entry);
    });
  }

  #take(entry: Flow, bytes: Uint8Array): void {
    if (entry.target.port === 7003) entry.waiting.push(bytes);
    else if (entry.target.port === 7001) {
      entry.request += Buffer.from(bytes).toString();
      const asked = /^(\d+) (\d+)\n/.exec(entry.request);
      if (!asked) return;
      entry.waiting.push(downloadBody(Number(asked[1]), Number(asked[2])));
      entry.willEnd = true;
    } else entry.hash.update(bytes);
  }

  #pump(flow: FlowId, entry: Flow): void {
    while (entry.waiting.length > 0) {
      const room = this.stack.room(flow);
      if (room === 0) return;
      const first = entry.waiting[0]!;
      const piece = first.subarray(0, room);
      if (piece.length === first.length) entry.waiting.shift();
      else entry.waiting[0] = first.subarray(room);
      this.stack.deliver(flow, piece, this.now());
      if (entry.target.port === 7003) this.stack.written(flow, piece.length, this.now());
    }
    if (entry.willEnd) this.stack.ended(flow, this.now());
  }

  /** From outside: bytes for a flow that the host opened. */
  give(flow: FlowId, bytes: Uint8Array, willEnd: boolean): void {
    const entry = this.flows.get(flow)!;
    entry.waiting.push(bytes);
    entry.willEnd = willEnd;
    this.#pump(flow, entry);
  }

  finish(flow: FlowId): void {
    this.#later.push(() => {
      const entry = this.flows.get(flow);
      if (!entry) return;
      entry.finished = true;
      if (entry.target.port === 7002) entry.waiting.push(Buffer.from(entry.hash.digest("hex")));
      entry.willEnd = true;
      this.#pump(flow, entry);
    });
  }

  closed(flow: FlowId, why: "done" | "reset" | "timeout"): void {
    this.flows.delete(flow);
    this.closings.push(why);
  }
  roomy(flow: FlowId): void {
    this.#later.push(() => {
      const entry = this.flows.get(flow);
      if (entry) this.#pump(flow, entry);
    });
  }
  opened(flow: FlowId): void {
    this.openedFlows.push(flow);
  }
  resolve(): void {}
  datagram(from: Endpoint, to: Endpoint, payload: Uint8Array): void {
    const kept = payload.slice();
    this.#later.push(() => {
      if (to.port === 7010) this.stack.datagram(to, from, kept, this.now());
      else this.stack.unreachable(from, to, "port", this.now());
    });
  }
}
