import type { RefusalCode } from "#protocol/tunnel-notices.ts";
import type { Visit } from "#protocol/visit.ts";
import type { Allowance } from "./allowance.ts";
import { type EgressConfig, closedConfig, limitsOfMany, readEgressConfig } from "./policy/config.ts";
import type { Claim, Grant } from "./policy/pool.ts";
import { Share } from "./policy/share.ts";
import { addressGroup } from "./policy/subjects.ts";

/** What a visitor shares with others, for sentences. */
export type Shared = "account" | "address";
export interface SharedRefusal {
  readonly code: RefusalCode;
  readonly of: Shared;
}

type Lend = (claim: Claim) => Promise<Grant>;

/** The part of one account's or one address's allowance that one object has borrowed, and the way to its lender. */
export class BorrowedShare {
  readonly of: Shared;
  readonly share: Share;
  readonly #lend: Lend;
  #asking: Promise<void> | undefined;

  constructor(of: Shared, share: Share, lend: Lend) {
    this.of = of;
    this.share = share;
    this.#lend = lend;
  }

  /** One question at a time; whoever wants to know meanwhile waits for the same answer. */
  ask(): Promise<void> {
    this.#asking ??= this.#askOnce().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #askOnce(): Promise<void> {
    try {
      this.share.onGrant(await this.#lend(this.share.claim()), Date.now());
    } catch {
      this.share.onSilence(Date.now());
    }
  }

  async open(isNewHost: boolean): Promise<SharedRefusal | undefined> {
    for (let tries = 0; ; tries++) {
      const verdict = this.share.open(isNewHost, Date.now());
      if (verdict === undefined) {
        this.#askAhead();
        return undefined;
      }
      if (verdict !== "ask") return { code: verdict, of: this.of };
      // Others that waited may have taken what was lent: each time some of them get through.
      if (tries === MAX_TRIES) return { code: "too-many-connections", of: this.of };
      await this.ask();
    }
  }

  carried(bytes: number): boolean {
    const goesOn = this.share.carried(bytes);
    if (!this.#asking) this.#askAhead();
    return goesOn;
  }

  #askAhead(): void {
    if (this.share.isLow(Date.now())) void this.ask();
  }
}
const MAX_TRIES = 64;

/** What the visitor of an object shares with other objects: with those of the same account, and of the same address. */
export class Shares {
  readonly #namespace: DurableObjectNamespace<Allowance>;
  readonly #config: Pick<EgressConfig, "limits" | "sessionsPer">;
  readonly #holder: string;
  /** The visitor's own; older ones live on in the flows that were opened with them. */
  #current: readonly BorrowedShare[] = [];
  #key = "";

  /** `rules`: the variables of the Worker; without any, the defaults. `holder` names the object. */
  constructor(namespace: DurableObjectNamespace<Allowance>, rules: object, holder: string) {
    this.#namespace = namespace;
    const config = readEgressConfig(rules as Readonly<Record<string, unknown>>);
    this.#config = config.ok ? config.value : closedConfig;
    this.#holder = holder;
  }

  get current(): readonly BorrowedShare[] {
    return this.#current;
  }

  set visit({ account, address, profile }: Visit) {
    const group = addressGroup(address);
    const names: (readonly [Shared, string])[] = [];
    if (account !== undefined) names.push(["account", `account ${account}`]);
    // An anonymous visitor's flood leaves room for those behind the same address who have signed in.
    if (group !== null) names.push(["address", `address ${profile} ${group}`]);
    const key = JSON.stringify([profile, names]);
    if (key === this.#key) return;
    this.#key = key;
    this.#current = names.flatMap(([of, name]) => {
      const sessions = this.#config.sessionsPer[of];
      if (sessions === 0) return [];
      const limits = limitsOfMany(this.#config.limits[profile], sessions);
      const lender = this.#namespace.getByName(name);
      return [new BorrowedShare(of, new Share(this.#holder, limits), (claim) => lender.lend(claim, limits))];
    });
  }

  /** The flow counts in all of them, or in none. */
  async open(shares: readonly BorrowedShare[], isNewHost: boolean): Promise<SharedRefusal | undefined> {
    for (const [at, share] of shares.entries()) {
      const refused = await share.open(isNewHost);
      if (!refused) continue;
      for (const earlier of shares.slice(0, at)) earlier.share.closed();
      return refused;
    }
    return undefined;
  }

  /** Places for flows that stay open are asked for again before they are void. */
  renew(): void {
    for (const share of this.#current) if (share.share.isExpiring(Date.now())) void share.ask();
  }
}
