import type { Egress as EgressObject } from "./egress.ts";
import { DialQueue } from "./gateway/dial-queue.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./gateway/flow.ts";
import { Dialler, MAX_PENDING_DIALS, forgotten, tooMany, turnOf } from "./sockets.ts";
import { type Pipe, StreamFlow } from "./stream-flow.ts";

/** Dials that wait for a shard; a guest's stack has at most 1,024 flows, a multiplexer as many streams. */
const MAX_WAITING_DIALS = 4096;

/**
 * `connect()`, from this object while few connections are being made here, else from a shard: both are equally fast
 * (ADR 13), and an object of its own that is awake costs as much again as the Tunnel. What no shard can dial at once waits
 * here, where it can still be given up.
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
    const isNear = this.#dialler.isFree && this.#near < this.#nearFlows;
    return isNear || this.#shards === 0 ? this.#dialNear(to, unwanted) : this.#dialFar(to, unwanted);
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

  async #dialNear({ host, port }: Destination, unwanted: AbortSignal): Promise<Pipe | Refused> {
    this.dials.near++;
    this.#near++;
    const pipe = await this.#dialler.dial(host, port, "", unwanted);
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
