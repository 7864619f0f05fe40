import { DurableObject } from "cloudflare:workers";
import { Claim, type Grant, Pool, PoolState } from "./policy/pool.ts";
import type { ProfileLimits } from "./policy/config.ts";

/**
 * What one account or one address may use, all its tunnels together: lends to them in slices. Everything it has lent is in
 * storage, so that eviction forgives nobody anything. Its limits come with the question, from tunnels of the same Worker.
 */
export class Allowance extends DurableObject<Env> {
  #pool: { readonly key: string; readonly pool: Pool } | undefined;

  lend(claim: Claim, limits: ProfileLimits): Grant {
    const key = JSON.stringify(limits);
    if (this.#pool?.key !== key) {
      const stored = PoolState.safeParse(this.ctx.storage.kv.get("pool"));
      this.#pool = { key, pool: new Pool(limits, stored.data) };
    }
    const { pool } = this.#pool;
    const grant = pool.lend(Claim.parse(claim), Date.now());
    this.ctx.storage.kv.put("pool", pool.state());
    return grant;
  }
}
