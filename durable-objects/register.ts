import { DurableObject } from "cloudflare:workers";
import * as z from "zod/mini";
import {
  type Counts,
  type Gauges,
  type Tally,
  noPings,
  objectCounters,
  objectGauges,
} from "./policy/counters.ts";
import { EVERYBODY, Subject } from "./policy/subjects.ts";

/** An object that has said nothing for so long has ended without a word. */
const FORGET_MS = 7 * 86_400_000;
/** Objects that one call hangs up; the caller asks again for the rest. */
const HANG_UPS_PER_CALL = 200;
const HANG_UPS_AT_ONCE = 20;
/** Hang-ups that are in force; an operator who has more says `all`. */
const MAX_HANG_UPS = 10_000;
const LISTED = 500;
/** Of one object: its visitors have few names each, and it has few sockets. */
const MAX_SUBJECTS = 128;

const number = z.number().check(z.minimum(0));
export const Report = z.strictObject({
  kind: z.enum(["tunnel", "lan"]),
  name: z.string().check(z.minLength(1), z.maxLength(128)),
  /** A name for the life of the object's memory: its counters begin at 0 with it. */
  life: z.string().check(z.maxLength(64)),
  /** Who is there; none: the last socket has closed. */
  subjects: z.array(Subject).check(z.maxLength(MAX_SUBJECTS)),
  counts: z.record(z.string(), number),
  gauges: z.record(z.string(), number),
  pings: z.object({ buckets: z.array(number).check(z.maxLength(32)), count: number, sumMs: number }),
});
export type Report = z.infer<typeof Report>;

export interface HangUp {
  readonly subject: string;
  /** What its visitors are told. */
  readonly sentence: string;
  /** Milliseconds since 1970; null: until it is taken back. */
  readonly untilMs: number | null;
}
export interface OpenPlace {
  readonly kind: string;
  readonly name: string;
  readonly seenAtMs: number;
  readonly subjects: readonly string[];
  readonly gauges: Gauges;
}

const schema = `
CREATE TABLE IF NOT EXISTS places (
  kind TEXT NOT NULL, name TEXT NOT NULL, life TEXT NOT NULL, seen_at INTEGER NOT NULL, said TEXT NOT NULL,
  PRIMARY KEY (kind, name)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subjects (
  subject TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (subject, kind, name)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hang_ups (
  subject TEXT PRIMARY KEY, sentence TEXT NOT NULL, until INTEGER) STRICT, WITHOUT ROWID;`;

type Said = Pick<Report, "counts" | "gauges" | "pings">;
const totalsOf = ({ counts, pings }: Said): Map<string, number> =>
  new Map([
    ...Object.entries(counts),
    ...pings.buckets.map((value, at) => [`ping ${at}`, value] as const),
    ["ping count", pings.count],
    ["ping sum", pings.sumMs],
  ]);

/**
 * Which tunnels and rooms are open, what they have carried, and whom an operator has hung up. Objects report while they
 * have connections, so that nobody has to wake a sleeping one to count it; the answer says who of their visitors is not
 * wanted. All of it is in storage: nothing is lost on eviction.
 */
export class Register extends DurableObject<Env> {
  readonly #sql = this.ctx.storage.sql;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql.exec(schema);
  }

  /** What is in force against the visitors of this object. */
  report(untrusted: Report): HangUp[] {
    const report = Report.parse(untrusted);
    const { kind, name, life, subjects } = report;
    const [last] = this.#sql
      .exec<{ life: string; said: string }>(
        "SELECT life, said FROM places WHERE kind = ? AND name = ?",
        kind,
        name,
      )
      .toArray();
    this.#count(report, last?.life === life ? (JSON.parse(last.said) as Said) : undefined);
    this.#sql.exec("DELETE FROM subjects WHERE kind = ? AND name = ?", kind, name);
    // The row of an object without sockets stays until its memory is gone: its counters may go on.
    const { counts, gauges, pings } = report;
    this.#sql.exec(
      "INSERT OR REPLACE INTO places (kind, name, life, seen_at, said) VALUES (?, ?, ?, ?, ?)",
      kind,
      name,
      life,
      Date.now(),
      JSON.stringify({ counts, gauges, pings } satisfies Said),
    );
    for (const subject of subjects)
      this.#sql.exec(
        "INSERT OR IGNORE INTO subjects (subject, kind, name) VALUES (?, ?, ?)",
        subject,
        kind,
        name,
      );
    this.#forget();
    return this.#inForce().filter(({ subject }) => subjects.includes(subject));
  }

  /** Adds what an object has counted since it spoke last. */
  #count(said: Said, last: Said | undefined): void {
    const before = last ? totalsOf(last) : new Map<string, number>();
    const known: ReadonlySet<string> = new Set(objectCounters);
    for (const [name, value] of totalsOf(said)) {
      const more = value - (before.get(name) ?? 0);
      if (more <= 0 || !(known.has(name) || name.startsWith("ping "))) continue;
      const add =
        "INSERT INTO totals (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2";
      this.#sql.exec(add, name, more);
    }
  }

  #forget(): void {
    const old = Date.now() - FORGET_MS;
    this.#sql.exec(
      "DELETE FROM subjects WHERE (kind, name) IN (SELECT kind, name FROM places WHERE seen_at < ?)",
      old,
    );
    this.#sql.exec("DELETE FROM places WHERE seen_at < ?", old);
  }

  #inForce(): HangUp[] {
    this.#sql.exec("DELETE FROM hang_ups WHERE until <= ?", Date.now());
    return this.#sql
      .exec<{ subject: string; sentence: string; untilMs: number | null }>(
        "SELECT subject, sentence, until AS untilMs FROM hang_ups ORDER BY subject",
      )
      .toArray();
  }

  /** For `/metrics`. */
  tally(): Tally {
    const counts: Counts = {};
    const pings = noPings();
    for (const { name, value } of this.#sql.exec<{ name: string; value: number }>(
      "SELECT name, value FROM totals",
    )) {
      if (name === "ping count") pings.count = value;
      else if (name === "ping sum") pings.sumMs = value;
      else if (name.startsWith("ping ")) pings.buckets[Number(name.slice(5))] = value;
      else counts[name as keyof Counts] = value;
    }
    const gauges: Gauges = {};
    for (const name of objectGauges) {
      const query = "SELECT COALESCE(SUM(json_extract(said, ?)), 0) AS sum FROM places";
      gauges[name] = this.#sql.exec<{ sum: number }>(query, `$.gauges.${name}`).one().sum;
    }
    const query = "SELECT COUNT(DISTINCT kind || name) AS objects FROM subjects";
    return { counts, gauges, pings, objects: this.#sql.exec<{ objects: number }>(query).one().objects };
  }

  /** Objects with visitors, those that spoke last first; of one subject, or all. */
  open(subject: string = EVERYBODY): OpenPlace[] {
    const query = `SELECT kind, name, seen_at AS seenAtMs, said FROM places
      WHERE EXISTS (SELECT 1 FROM subjects s WHERE s.subject = ? AND s.kind = places.kind AND s.name = places.name)
      ORDER BY seen_at DESC LIMIT ${LISTED}`;
    type Row = { kind: string; name: string; seenAtMs: number; said: string };
    return Array.from(this.#sql.exec<Row>(query, subject), ({ said, ...place }) => ({
      ...place,
      gauges: (JSON.parse(said) as Said).gauges,
      subjects: this.#subjectsOf(place.kind, place.name),
    }));
  }

  #subjectsOf(kind: string, name: string): string[] {
    const query = "SELECT subject FROM subjects WHERE kind = ? AND name = ? AND subject <> ?";
    return Array.from(
      this.#sql.exec<{ subject: string }>(query, kind, name, EVERYBODY),
      (row) => row.subject,
    );
  }

  /** Whom the operator does not want. */
  hangUps(): HangUp[] {
    return this.#inForce();
  }

  /**
   * From now on these visitors are not wanted, and those that are there are told to go. `left`: objects that were not
   * reached yet; call again. What is left ends by itself with its next report.
   */
  async hangUp({
    subject,
    sentence,
    untilMs,
  }: HangUp): Promise<{ readonly reached: number; readonly left: number }> {
    if (!Subject.safeParse(subject).success) throw new RangeError("not a subject");
    const known = this.#inForce();
    if (known.length >= MAX_HANG_UPS && !known.some((row) => row.subject === subject))
      throw new RangeError("too many are hung up");
    this.#sql.exec(
      "INSERT OR REPLACE INTO hang_ups (subject, sentence, until) VALUES (?, ?, ?)",
      subject,
      sentence,
      untilMs,
    );
    const places = this.open(subject).slice(0, HANG_UPS_PER_CALL);
    for (let at = 0; at < places.length; at += HANG_UPS_AT_ONCE)
      await Promise.all(
        places.slice(at, at + HANG_UPS_AT_ONCE).map((place) => this.#tell(place, subject, sentence)),
      );
    return { reached: places.length, left: this.open(subject).length };
  }

  async #tell({ kind, name }: OpenPlace, subject: string, sentence: string): Promise<void> {
    const { LAN, TUNNEL } = this.env;
    const place = kind === "lan" ? LAN.get(LAN.idFromString(name)) : TUNNEL.get(TUNNEL.idFromString(name));
    // An object that fails has lost its sockets with its memory.
    await place.hangUp(subject, sentence).catch(() => {});
    // A room may go on without this visitor; an object that has others left says so with its next report.
    this.#sql.exec("DELETE FROM subjects WHERE subject = ? AND kind = ? AND name = ?", subject, kind, name);
  }

  /** Lets them in again. False: nobody had hung them up. */
  allow(subject: string): boolean {
    return this.#sql.exec("DELETE FROM hang_ups WHERE subject = ?", subject).rowsWritten > 0;
  }
}
