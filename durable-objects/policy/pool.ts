import * as z from "zod/mini";
import type { ProfileLimits } from "./config.ts";
import { SCAN_ATTEMPTS, SCAN_RATIO, TokenBucket } from "./quota.ts";

/**
 * What one account or one address may use, whatever number of tunnels it has. Tunnels borrow from it in slices, so that
 * they need not ask for every connection; what is lent for connections, hosts and bytes is spent whether it is used or not,
 * and a place for an open flow comes back by itself when its tunnel has not asked for it again in time. So a tunnel that is
 * lost costs its account at most one slice, and never gives it more.
 */
const LEND_MS = 60_000;
const MINUTE_MS = 60_000;
const DAY_SECONDS = 86_400;
/** Tunnels of one account or address at a time; more get nothing. */
const MAX_HOLDERS = 1024;
const SLICES = 16;
const MAX_BYTE_SLICE = 64 * 2 ** 20;

/** A tunnel's question: what it has, what it needs, and how its dials went since the last one. */
export const Claim = z.strictObject({
  holder: z.string().check(z.minLength(1), z.maxLength(160)),
  /** Flows that are open there. */
  flows: z.number().check(z.int(), z.minimum(0), z.maximum(1_000_000)),
  /** What has run low. */
  wants: z.strictObject({ connections: z.boolean(), hosts: z.boolean(), bytes: z.boolean() }),
  /** Bytes beyond the last slice, which went while the next one was on its way. */
  owedBytes: z.number().check(z.int(), z.minimum(0)),
  attempts: z.number().check(z.int(), z.minimum(0)),
  failures: z.number().check(z.int(), z.minimum(0)),
});
export type Claim = z.infer<typeof Claim>;

/** What is lent. Flows are all that the tunnel may have open until `untilMs` from now; the rest is added to what it has. */
export interface Grant {
  readonly flows: number;
  readonly connections: number;
  readonly hosts: number;
  readonly bytes: number;
  readonly lendMs: number;
  /** So many failures look like a scan: nobody dials for so long. 0: no. */
  readonly brokenMs: number;
}

/** How much of each is lent at once. */
export function sliceOf(limits: ProfileLimits): Pick<Grant, "flows" | "connections" | "hosts" | "bytes"> {
  const part = (whole: number, most = Infinity) => Math.min(Math.ceil(whole / SLICES), most);
  return {
    flows: part(limits.flows),
    connections: part(limits.burst),
    hosts: part(limits.hosts),
    bytes: part(limits.bytes, MAX_BYTE_SLICE),
  };
}

const Bucket = z.strictObject({ tokens: z.number(), atMs: z.number() });
/** What the object keeps in its storage. */
export const PoolState = z.strictObject({
  connections: Bucket,
  hosts: Bucket,
  bytes: Bucket,
  holders: z.array(z.strictObject({ holder: z.string(), flows: z.number(), untilMs: z.number() })),
  window: z.strictObject({ atMs: z.number(), attempts: z.number(), failures: z.number() }),
  brokenUntilMs: z.number(),
});
export type PoolState = z.infer<typeof PoolState>;

interface Holder {
  readonly flows: number;
  readonly untilMs: number;
}

/** The lender's side. Pure; times in milliseconds of a clock that may go on while the object sleeps. */
export class Pool {
  readonly #limits: ProfileLimits;
  readonly #connections: TokenBucket;
  readonly #hosts: TokenBucket;
  readonly #bytes: TokenBucket;
  /** Bounded by `MAX_HOLDERS`. */
  readonly #holders = new Map<string, Holder>();
  #window = { atMs: 0, attempts: 0, failures: 0 };
  #brokenUntilMs = 0;

  constructor(limits: ProfileLimits, state?: PoolState) {
    this.#limits = limits;
    this.#connections = new TokenBucket(limits.connections, limits.burst, state?.connections);
    this.#hosts = new TokenBucket(limits.hosts / 60, limits.hosts, state?.hosts);
    this.#bytes = new TokenBucket(limits.bytes / DAY_SECONDS, limits.bytes, state?.bytes);
    if (!state) return;
    for (const { holder, ...lent } of state.holders) this.#holders.set(holder, lent);
    this.#window = state.window;
    this.#brokenUntilMs = state.brokenUntilMs;
  }

  state(): PoolState {
    return {
      connections: this.#connections.state,
      hosts: this.#hosts.state,
      bytes: this.#bytes.state,
      holders: Array.from(this.#holders, ([holder, lent]) => ({ holder, ...lent })),
      window: this.#window,
      brokenUntilMs: this.#brokenUntilMs,
    };
  }

  lend(claim: Claim, nowMs: number): Grant {
    this.#judge(claim, nowMs);
    this.#bytes.charge(claim.owedBytes, nowMs);
    const slice = sliceOf(this.#limits);
    const { wants } = claim;
    return {
      flows: this.#lendFlows(claim, slice.flows, nowMs),
      connections: wants.connections ? this.#connections.takeUpTo(slice.connections, nowMs) : 0,
      hosts: wants.hosts ? this.#hosts.takeUpTo(slice.hosts, nowMs) : 0,
      bytes: wants.bytes ? this.#bytes.takeUpTo(slice.bytes, nowMs) : 0,
      lendMs: LEND_MS,
      brokenMs: Math.max(this.#brokenUntilMs - nowMs, 0),
    };
  }

  /** What is open there counts even where there is no room for it; beyond that as much of a slice as is left. */
  #lendFlows({ holder, flows }: Claim, slice: number, nowMs: number): number {
    let others = 0;
    for (const [name, lent] of this.#holders) {
      if (lent.untilMs <= nowMs) this.#holders.delete(name);
      else if (name !== holder) others += lent.flows;
    }
    if (!this.#holders.has(holder) && this.#holders.size >= MAX_HOLDERS) return 0;
    const lent = Math.max(flows, Math.min(flows + slice, this.#limits.flows - others));
    if (lent > 0) this.#holders.set(holder, { flows: lent, untilMs: nowMs + LEND_MS });
    else this.#holders.delete(holder);
    return lent;
  }

  #judge({ attempts, failures }: Claim, nowMs: number): void {
    const isOver = nowMs - this.#window.atMs >= MINUTE_MS;
    const before = isOver ? { atMs: nowMs, attempts: 0, failures: 0 } : this.#window;
    const { atMs } = before;
    this.#window = { atMs, attempts: before.attempts + attempts, failures: before.failures + failures };
    const { attempts: all, failures: bad } = this.#window;
    if (failures > 0 && all >= SCAN_ATTEMPTS && bad / all >= SCAN_RATIO)
      this.#brokenUntilMs = nowMs + MINUTE_MS;
  }
}
