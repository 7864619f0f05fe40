import { type Failure, type Outcome, fail } from "../protocol/failure.ts";
import type { StorageState } from "../protocol/storage-messages.ts";
import type { Urgency } from "./chunk-store.ts";
import type { Clock } from "./clock.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export interface Attempt {
  readonly urgency: Urgency;
  /** True after a wrong answer. */
  readonly bypassCaches: boolean;
  readonly signal: AbortSignal;
}

/** Something to fetch. Two with the same name are one request. */
export interface Load {
  readonly name: string;
  /** One try. Its bytes are verified; a failure says whether trying again can help. */
  run(attempt: Attempt): Promise<Outcome<Bytes>>;
  /**
   * True when somebody wants to hear of a failure that only a person can mend (a disk being opened). Otherwise the load
   * waits for `retry`: a guest read is late, never wrong.
   */
  readonly impatient?: boolean;
}

export interface FetcherLimits {
  /** Requests at once. Browsers open six connections to an origin over HTTP/1.1. */
  readonly concurrency: number;
  /** Of those, for guesses: some connections stay free for what the guest will ask for next. */
  readonly aheadConcurrency: number;
  /** Tries before a wrong or refused answer waits for a person. */
  readonly tries: number;
  readonly firstBackOffMs: number;
  readonly maxBackOffMs: number;
}

export const FETCHER_LIMITS: FetcherLimits = {
  concurrency: 6,
  aheadConcurrency: 4,
  tries: 5,
  firstBackOffMs: 500,
  maxBackOffMs: 30_000,
};

export interface Condition {
  readonly state: StorageState;
  readonly failure?: Failure;
  /** When the next try is due, Infinity while one is under way; absent while a failure waits for `retry`. */
  readonly retryAtMs?: number;
}

interface Job {
  readonly load: Load;
  urgency: Urgency;
  phase: "queued" | "running" | "backing-off" | "stuck";
  tries: number;
  /** Tries that a wrong or refused answer ended; what the network ended does not count. */
  refusals: number;
  failure?: Failure;
  retryAtMs: number;
  cancelRetry: () => void;
  bypassCaches: boolean;
  readonly abort: AbortController;
  readonly settled: Promise<Outcome<Bytes>>;
  readonly settle: (outcome: Outcome<Bytes>) => void;
}

/** What trying again can do about a failure. */
function remedy(failure: Failure): "wait" | "refetch" | "ask" | "none" {
  switch (failure.code) {
    case "offline":
      return "wait";
    case "corrupt":
      return "refetch";
    case "not-found":
    case "unauthorized":
    case "expired":
      return "ask";
    default:
      return "none";
  }
}

/**
 * All requests of this tab: what the guest waits for first, guesses when nothing else is asked for. Failures of the
 * network are tried again for ever, each wait longer than the last; wrong answers are fetched anew past every cache a
 * few times. After that the load waits for a person.
 */
export class Fetcher {
  readonly #jobs = new Map<string, Job>();
  readonly #limits: FetcherLimits;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  /** Guesses wait while the network is known to be gone. */
  #offline = false;
  #closed = false;

  constructor(clock: Clock, onChange: () => void = () => {}, limits: FetcherLimits = FETCHER_LIMITS) {
    this.#clock = clock;
    this.#onChange = onChange;
    this.#limits = limits;
  }

  /** Bytes of a load, now or when they can be had. A guess fails at the first trouble. */
  want(load: Load, urgency: Urgency): Promise<Outcome<Bytes>> {
    if (this.#closed) return Promise.resolve(fail({ code: "offline", what: "a closed disk" }));
    const known = this.#jobs.get(load.name);
    if (known) {
      if (urgency === "demand") known.urgency = "demand";
      this.#pump();
      return known.settled;
    }
    const { promise, resolve } = Promise.withResolvers<Outcome<Bytes>>();
    this.#jobs.set(load.name, {
      load,
      urgency,
      phase: "queued",
      tries: 0,
      refusals: 0,
      retryAtMs: 0,
      cancelRetry: () => {},
      bypassCaches: false,
      abort: new AbortController(),
      settled: promise,
      settle: resolve,
    });
    this.#pump();
    return promise;
  }

  isWanted(name: string): boolean {
    return this.#jobs.has(name);
  }

  /** Tries everything that waits again now: a person asked for it, or the browser says that the network is back. */
  retry(): void {
    for (const job of this.#jobs.values()) {
      if (job.phase === "stuck") job.tries = job.refusals = 0;
      if (job.phase === "running") continue;
      job.cancelRetry();
      job.phase = "queued";
    }
    this.#offline = false;
    this.#pump();
  }

  /** What to tell the person: the worst of what goes on. */
  condition(): Condition {
    const jobs = [...this.#jobs.values()];
    const waiting = jobs.filter((job) => job.urgency === "demand" && job.failure);
    const stuck = waiting.find(({ phase }) => phase === "stuck");
    const worst = stuck ?? waiting.find(({ failure }) => failure?.code === "offline") ?? waiting[0];
    if (!worst?.failure)
      return { state: jobs.some(({ phase }) => phase === "running") ? "fetching" : "idle" };
    const { failure } = worst;
    const state = failure.code === "corrupt" ? "refetching" : "offline";
    if (stuck) return { state, failure };
    const resting = waiting.filter(({ phase }) => phase === "backing-off");
    return { state, failure, retryAtMs: Math.min(Infinity, ...resting.map(({ retryAtMs }) => retryAtMs)) };
  }

  /** Ends everything: who waits gets a failure. */
  close(): void {
    this.#closed = true;
    for (const job of this.#jobs.values()) {
      job.cancelRetry();
      job.abort.abort();
      job.settle(fail({ code: "offline", what: "a closed disk" }));
    }
    this.#jobs.clear();
  }

  /** Starts what may start: demands in the order they came, then guesses. */
  #pump(): void {
    const jobs = [...this.#jobs.values()];
    let running = jobs.filter(({ phase }) => phase === "running").length;
    const queued = (urgency: Urgency) =>
      jobs.filter((job) => job.phase === "queued" && job.urgency === urgency);
    const start = (job: Job): void => {
      running++;
      job.phase = "running";
      void this.#try(job);
    };
    const demands = queued("demand");
    for (const job of demands.slice(0, Math.max(0, this.#limits.concurrency - running))) start(job);
    if (demands.some(({ phase }) => phase === "queued") || this.#offline) return this.#onChange();
    for (const job of queued("ahead").slice(0, Math.max(0, this.#limits.aheadConcurrency - running)))
      start(job);
    this.#onChange();
  }

  async #try(job: Job): Promise<void> {
    job.tries++;
    const { urgency, bypassCaches, abort } = job;
    const outcome = await job.load.run({ urgency, bypassCaches, signal: abort.signal });
    if (this.#closed) return;
    if (outcome.ok) {
      this.#settle(job, outcome);
      if (this.#offline) return this.retry();
    } else this.#onFailure(job, outcome.failure);
    this.#pump();
  }

  #onFailure(job: Job, failure: Failure): void {
    job.failure = failure;
    const help = remedy(failure);
    if (help === "wait") this.#offline = true;
    if (help === "refetch") job.bypassCaches = true;
    if (job.urgency === "ahead") return this.#settle(job, fail(failure));
    if (help !== "wait") job.refusals++;
    if (help === "none" || job.refusals >= this.#limits.tries) {
      if (job.load.impatient) return this.#settle(job, fail(failure));
      job.phase = "stuck";
      return;
    }
    job.phase = "backing-off";
    const delayMs = this.#backOffMs(job.tries);
    job.retryAtMs = this.#clock.nowMs() + delayMs;
    job.cancelRetry = this.#clock.after(delayMs, () => {
      job.phase = "queued";
      this.#pump();
    });
  }

  /** Doubles with every try, and between half of that and all of it, so that many tabs do not come back at once. */
  #backOffMs(tries: number): number {
    const { firstBackOffMs, maxBackOffMs } = this.#limits;
    const full = Math.min(maxBackOffMs, firstBackOffMs * 2 ** Math.min(30, tries - 1));
    return full * (0.5 + this.#clock.random() / 2);
  }

  #settle(job: Job, outcome: Outcome<Bytes>): void {
    this.#jobs.delete(job.load.name);
    job.settle(outcome);
  }
}
