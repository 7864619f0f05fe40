import { DurableObject } from "cloudflare:workers";
import type { Refused } from "./gateway/flow.ts";
import { Dialler } from "./sockets.ts";
import type { Pipe } from "./stream-flow.ts";

/**
 * A shard of the way out: dials for Tunnel objects that have too many connections under way, and hands the socket's
 * streams over by RPC, which carries back-pressure in both directions. Several Tunnels share a shard; it applies no policy,
 * as only objects of this Worker can call it, with addresses that theirs has let through. No Tunnel can keep it busy alone.
 * Lost on eviction: its sockets. Their Tunnels see broken streams and answer the guests with RST.
 */
export class Egress extends DurableObject<Env> {
  readonly #dialler = new Dialler(true);

  /** `caller`: whose dial it is; callers take turns. */
  async dial(address: string, port: number, caller: string): Promise<Omit<Pipe, "close"> | Refused> {
    const answer = await this.#dialler.dial(address, port, { caller });
    return "refusal" in answer ? answer : { readable: answer.readable, writable: answer.writable };
  }

  /** For `/metrics` and tests. */
  load(): Dialler["load"] {
    return this.#dialler.load;
  }
}
