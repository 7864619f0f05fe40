import type { HangUp, Register, Report } from "./register.ts";
import type { Counts, Gauges, PingTimes } from "./policy/counters.ts";
import { registerOf } from "./policy/registers.ts";

/** An answer of the register is good for so long; while connections are open it is asked again as often. */
const FRESH_MS = 15_000;
/** The end of the last connection is told at once, or so long after the last report: the one timer of a quiet object. */
const PAUSE_MS = 2000;

export interface PresenceParts {
  readonly kind: "tunnel" | "lan";
  /** Of the object, as `idFromString` takes it. */
  readonly name: string;
  readonly namespace: DurableObjectNamespace<Register>;
  /** Who is there, and what has been counted. */
  readonly describe: () => {
    readonly subjects: readonly string[];
    readonly counts: Counts;
    readonly gauges: Gauges;
    readonly pings: PingTimes;
  };
  /** The operator does not want these visitors. */
  readonly onHangUp: (hangUps: readonly HangUp[]) => void;
  /** Every so often while connections are open. */
  readonly onPulse: () => void;
}

/**
 * What an object and the register tell each other. There is a timer only while connections are open, so that a quiet object
 * may sleep; a dial waits until the register has answered lately.
 */
export class Presence {
  readonly #parts: PresenceParts;
  /** A name for as long as the object's memory lasts: a new one says that it has slept. */
  readonly #life = crypto.randomUUID();
  #asking: Promise<readonly HangUp[] | null> | undefined;
  #answer: readonly HangUp[] = [];
  #answeredAtMs = -Infinity;
  /** How often sockets have come and gone, now and when the answer was asked for. */
  #change = 0;
  #answeredChange = -1;
  #connections = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(parts: PresenceParts) {
    this.#parts = parts;
  }

  /** Tells the register how things stand. Null: it does not answer. Those who ask meanwhile get the same answer. */
  report(): Promise<readonly HangUp[] | null> {
    this.#asking ??= this.#report().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  async #report(): Promise<readonly HangUp[] | null> {
    const { kind, name, namespace, onHangUp } = this.#parts;
    const change = this.#change;
    try {
      this.#answer = await namespace.getByName(registerOf(kind, name)).report(this.#describe());
      this.#answeredAtMs = Date.now();
      this.#answeredChange = change;
      if (this.#answer.length > 0) onHangUp(this.#answer);
      return this.#answer;
    } catch (error) {
      console.error(JSON.stringify({ register: "silent", problem: String(error).slice(0, 200) }));
      return null;
    }
  }

  #describe(): Report {
    const { kind, name, describe } = this.#parts;
    const { subjects, counts, gauges, pings } = describe();
    return {
      kind,
      name,
      life: this.#life,
      subjects: [...subjects],
      // One for each life of an object.
      counts: { ...counts, virga_objects_woken_total: 1 },
      gauges: { ...gauges },
      pings: { ...pings, buckets: [...pings.buckets] },
    };
  }

  /** A socket has come or gone. What was asked before that says nothing about it. */
  async changed(): Promise<void> {
    this.#change++;
    await this.inForce();
  }

  /** What is in force against visitors of this object; null: nobody knows. */
  async inForce(): Promise<readonly HangUp[] | null> {
    if (this.#asking) await this.#asking;
    const isFresh = this.#answeredChange === this.#change && Date.now() - this.#answeredAtMs < FRESH_MS;
    return isFresh ? this.#answer : this.report();
  }

  opened(): void {
    this.#connections++;
    if (this.#timer === undefined) this.#arm(FRESH_MS);
  }
  closed(): void {
    if (--this.#connections > 0) return;
    clearTimeout(this.#timer ?? null);
    this.#timer = undefined;
    const sinceMs = Date.now() - this.#answeredAtMs;
    if (sinceMs >= PAUSE_MS) void this.report();
    else this.#arm(PAUSE_MS - sinceMs);
  }

  #arm(delayMs: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.report();
      if (this.#connections === 0) return;
      this.#parts.onPulse();
      this.#arm(FRESH_MS);
    }, delayMs);
  }
}
