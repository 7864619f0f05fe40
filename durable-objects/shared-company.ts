import type { Visit } from "#protocol/visit.ts";
import type { Refused } from "./gateway/flow.ts";
import type { Company, SharedFlow } from "./keeper.ts";
import { sharedSentenceOf } from "./policy/sentences.ts";
import { subjectsOf } from "./policy/subjects.ts";
import type { Presence } from "./presence.ts";
import type { Shares } from "./shares.ts";

const nobodyKnows: Refused = {
  refusal: "prohibited",
  code: "failed",
  sentence: "Whether this may be opened cannot be asked now. Trying again is safe.",
};

/** A session among the others of this Worker: what the register says of it, and what its account and address have left. */
export class SharedCompany implements Company {
  readonly #presence: Presence;
  readonly #shares: Shares;

  constructor(presence: Presence, shares: Shares) {
    this.#presence = presence;
    this.#shares = shares;
  }

  async refuses(visit: Visit): Promise<Refused | null> {
    const inForce = await this.#presence.inForce();
    if (!inForce) return nobodyKnows;
    const subjects = subjectsOf(visit);
    const hangUp = inForce.find(({ subject }) => subjects.includes(subject));
    return hangUp ? { refusal: "prohibited", code: "egress-off", sentence: hangUp.sentence } : null;
  }

  async enter(visit: Visit, isNewHost: boolean): Promise<SharedFlow | Refused> {
    this.#shares.visit = visit;
    const shares = this.#shares.current;
    const refused = await this.#shares.open(shares, isNewHost);
    if (refused) {
      const { code, of } = refused;
      return { refusal: "prohibited", code, sentence: sharedSentenceOf(code, of) };
    }
    this.#presence.opened();
    return {
      dialed: (hasFailed) => {
        for (const { share } of shares) share.dialed(hasFailed);
      },
      carried: (bytes) => {
        let goesOn = true;
        for (const share of shares) if (!share.carried(bytes)) goesOn = false;
        return goesOn;
      },
      closed: () => {
        for (const { share } of shares) share.closed();
        this.#presence.closed();
      },
    };
  }
}
