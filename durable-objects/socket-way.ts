import type { Egress as EgressObject } from "./egress.ts";
import { DialQueue } from "./gateway/dial-queue.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./gateway/flow.ts";
import { Dialler, MAX_PENDING_DIALS, forgotten, tooMany, turnOf } from "./sockets.ts";
import { type Pipe, StreamFlow } from "./stream-flow.ts";

/** Dials that wait for a shard; a guest's stack has at most 1,024 flows, a multiplexer as many streams. */
const MAX_WAITING_DIALS = 4096;
/** How long a dial waits for its turn here before a shard takes it: turns come quickly unless somebody does not answer. */
const PATIENCE_MS = 50;

/**
 * `connect()`, from this object while its dials have their turns soon, else from a shard: both are equally fast (ADR 13),
 * but an object that is awake costs as much again as the Tunnel, and streams by RPC as much memory again as a socket. What
 * no shard can dial at once waits here, where it can still be given up.
 */
export class SocketWay implements Egress {
  readonly #dialler = new Dialler();
  readonly #namespace: DurableObjectNamespace<EgressObject>;
  readonly #shards: number;
  readonly #nearFlows: number;
  readonly #far: DialQueue;
  /** By what name the shards know this object, for their turns. */
  readonly #name = crypto.randomUUID();
  #near = 0;
  #turn = Math.floor(Math.random() * 1024);
  /** For `/metrics`. */
  readonly dials = { near: 0, sharded: 0 };

  /** `nearFlows`: how many sockets this object holds by itself. */
  constructor(namespace: DurableObjectNamespace<EgressObject>, shards: number, nearFlows: number) {
    this.#namespace = namespace;
    this.#shards = shards;
    this.#nearFlows = nearFlows;
    this.#far = new DialQueue(MAX_PENDING_DIALS * shards, MAX_WAITING_DIALS, false);
  }

  /** Dials that wait for their turn here. */
  get waiting(): number {
    return this.#far.waitingCount + this.#dialler.load.waiting;
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    return new StreamFlow(sink, (unwanted) => this.#dial(to, unwanted));
  }

  async #dial(to: Destination, unwanted: AbortSignal): Promise<Pipe | Refused> {
    if (this.#shards === 0) return this.#dialNear(to, unwanted);
    if (this.#near >= this.#nearFlows) return this.#dialFar(to, unwanted);
    const pipe = await this.#dialNear(to, unwanted, PATIENCE_MS);
    return pipe === tooMany ? this.#dialFar(to, unwanted) : pipe;
  }

  async #dialFar({ host, port }: Destination, unwanted: AbortSignal): Promise<Pipe | Refused> {
    const turn = await turnOf(this.#far, "", unwanted);
    if (turn === null) return tooMany;
    try {
      if (unwanted.aborted) return forgotten;
      this.dials.sharded++;
      const shard = this.#namespace.getByName(`egress-${this.#turn++ % this.#shards}`);
      return await shard.dial(host, port, this.#name);
    } finally {
      turn.leave();
    }
  }

  async #dialNear(
    { host, port }: Destination,
    unwanted: AbortSignal,
    patienceMs?: number,
  ): Promise<Pipe | Refused> {
    this.#near++;
    const pipe = await this.#dialler.dial(host, port, { unwanted, patienceMs });
    if (pipe !== tooMany) this.dials.near++;
    if ("refusal" in pipe) {
      this.#near--;
      return pipe;
    }
    const close = (): void => {
      this.#near--;
      pipe.close?.();
    };
    return { ...pipe, close };
  }
}
