import type { Egress as EgressObject } from "./egress.ts";
import type { Destination, Egress, FlowSink, Outflow, Refused } from "./gateway/flow.ts";
import { Dialler } from "./sockets.ts";
import { type Pipe, StreamFlow } from "./stream-flow.ts";

/**
 * `connect()`, from this object while few connections are being made here, else from a shard: both are equally fast
 * (ADR 13), and an object of its own that is awake costs as much again as the Tunnel.
 */
export class SocketWay implements Egress {
  readonly #dialler = new Dialler();
  readonly #namespace: DurableObjectNamespace<EgressObject>;
  readonly #shards: number;
  readonly #nearFlows: number;
  #near = 0;
  #turn = Math.floor(Math.random() * 1024);
  /** For `/metrics`. */
  readonly dials = { near: 0, sharded: 0 };

  /** `nearFlows`: how many sockets this object holds by itself. */
  constructor(namespace: DurableObjectNamespace<EgressObject>, shards: number, nearFlows: number) {
    this.#namespace = namespace;
    this.#shards = shards;
    this.#nearFlows = nearFlows;
  }

  dial(to: Destination, sink: FlowSink): Outflow {
    return new StreamFlow(sink, () => this.#dial(to));
  }

  async #dial({ host, port }: Destination): Promise<Pipe | Refused> {
    const isNear = this.#dialler.isFree && this.#near < this.#nearFlows;
    if (!isNear && this.#shards > 0) {
      this.dials.sharded++;
      return this.#namespace.getByName(`egress-${this.#turn++ % this.#shards}`).dial(host, port);
    }
    this.dials.near++;
    this.#near++;
    const pipe = await this.#dialler.dial(host, port);
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
