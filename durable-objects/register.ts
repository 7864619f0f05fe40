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
/** What is only counted is stored so often: a written row costs as much as six reports. */
const STORE_MS = 300_000;
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
CREATE TABLE IF NOT EXISTS hang_ups (
  subject TEXT PRIMARY KEY, sentence TEXT NOT NULL, until INTEGER) STRICT, WITHOUT ROWID;`;

type Said = Pick<Report, "counts" | "gauges" | "pings">;
const nothingSaid: Said = { counts: {}, gauges: {}, pings: noPings() };

/** What is added up, by its name in the totals. */
const summed = ({ counts, pings }: Said): (readonly [string, number])[] => [
  ...objectCounters.map((name) => [name, counts[name] ?? 0] as const),
  ...pings.buckets.map((value, at) => [`ping ${at}`, value] as const),
  ["ping count", pings.count],
  ["ping sum", pings.sumMs],
];
/** Adds what an object has counted since `before`. */
function addTo(totals: Map<string, number>, said: Said, before: Said): void {
  const old = new Map(summed(before));
  for (const [name, value] of summed(said)) {
    const more = value - (old.get(name) ?? 0);
    if (more > 0) totals.set(name, (totals.get(name) ?? 0) + more);
  }
}

/** An object as it is known in memory. */
interface Place {
  readonly life: string;
  readonly subjects: string;
  readonly latest: Said;
  /** What storage knows of it, whose sums are in the stored totals. */
  readonly stored: Said;
  readonly storedAtMs: number;
}

/**
 * Which tunnels and rooms are open, what they have carried, and whom an operator has hung up. Objects report while they
 * have connections, so that nobody has to wake a sleeping one to count it; the answer says who of their visitors is not
 * wanted. Reports are sums since an object woke, so that storage may lag behind: what eviction takes away from a register
 * comes again with the next report. Who is there, and who is hung up, is stored at once.
 */
export class Register extends DurableObject<Env> {
  readonly #sql = this.ctx.storage.sql;
  readonly #totals: Map<string, number>;
  /** Objects that have spoken since the register woke, while they have sockets. */
  readonly #places = new Map<string, Place>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sql.exec(schema);
    const totals = z.array(z.tuple([z.string(), z.number()])).safeParse(ctx.storage.kv.get("totals"));
    this.#totals = new Map(totals.data ?? []);
  }

  /** What is in force against the visitors of this object. */
  report(untrusted: Report): HangUp[] {
    const report = Report.parse(untrusted);
    const { kind, name, life, counts, gauges, pings } = report;
    const key = `${kind} ${name}`;
    const known = this.#places.get(key) ?? this.#stored(kind, name);
    // An object that has lost its memory begins at 0 again.
    if (known && known.life !== life) addTo(this.#totals, known.latest, known.stored);
    const isSame = known?.life === life;
    const latest: Said = { counts, gauges, pings };
    const subjects = report.subjects.join("\n");
    const stored = isSame ? known.stored : nothingSaid;
    const isLate = !isSame || Date.now() - known.storedAtMs >= STORE_MS || known.subjects !== subjects;
    if (isLate) this.#store(report, latest, stored);
    const storedAtMs = isLate ? Date.now() : known.storedAtMs;
    if (subjects === "") this.#places.delete(key);
    else this.#places.set(key, { life, subjects, latest, stored: isLate ? latest : stored, storedAtMs });
    return this.#inForce().filter(({ subject }) => report.subjects.includes(subject));
  }

  #stored(kind: string, name: string): Place | undefined {
    const query = "SELECT life, said FROM places WHERE kind = ? AND name = ?";
    const [row] = this.#sql.exec<{ life: string; said: string }>(query, kind, name).toArray();
    if (!row) return undefined;
    const said = JSON.parse(row.said) as Said;
    return { life: row.life, subjects: "?", latest: said, stored: said, storedAtMs: 0 };
  }

  /** The row of an object without sockets stays until it is forgotten: its memory may last and its counters go on. */
  #store({ kind, name, life, subjects }: Report, latest: Said, stored: Said): void {
    addTo(this.#totals, latest, stored);
    this.ctx.storage.kv.put("totals", [...this.#totals]);
    const said = JSON.stringify(latest);
    this.#sql.exec(
      "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?)",
      kind,
      name,
      life,
      Date.now(),
      said,
    );
    this.#sql.exec("DELETE FROM subjects WHERE kind = ? AND name = ?", kind, name);
    for (const subject of new Set(subjects))
      this.#sql.exec("INSERT INTO subjects VALUES (?, ?, ?)", subject, kind, name);
    this.#forget();
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
    const totals = new Map(this.#totals);
    for (const { latest, stored } of this.#places.values()) addTo(totals, latest, stored);
    const counts: Counts = {};
    for (const name of objectCounters) counts[name] = totals.get(name) ?? 0;
    const pings = noPings();
    pings.buckets = pings.buckets.map((_, at) => totals.get(`ping ${at}`) ?? 0);
    pings.count = totals.get("ping count") ?? 0;
    pings.sumMs = totals.get("ping sum") ?? 0;
    const gauges: Gauges = {};
    let objects = 0;
    type Row = { kind: string; name: string; said: string };
    const open =
      "SELECT kind, name, said FROM places WHERE (kind, name) IN (SELECT kind, name FROM subjects)";
    for (const { kind, name, said } of this.#sql.exec<Row>(open)) {
      objects++;
      const { gauges: known } = this.#places.get(`${kind} ${name}`)?.latest ?? (JSON.parse(said) as Said);
      for (const gauge of objectGauges) gauges[gauge] = (gauges[gauge] ?? 0) + (known[gauge] ?? 0);
    }
    return { counts, gauges, pings, objects };
  }

  /** Objects with visitors, those that spoke last first; of one subject, or all. */
  open(subject: string = EVERYBODY): OpenPlace[] {
    const query = `SELECT kind, name, seen_at AS seenAtMs, said FROM places
      WHERE EXISTS (SELECT 1 FROM subjects s WHERE s.subject = ? AND s.kind = places.kind AND s.name = places.name)
      ORDER BY seen_at DESC LIMIT ${LISTED}`;
    type Row = { kind: string; name: string; seenAtMs: number; said: string };
    return Array.from(this.#sql.exec<Row>(query, subject), ({ said, ...place }) => ({
      ...place,
      gauges: (this.#places.get(`${place.kind} ${place.name}`)?.latest ?? (JSON.parse(said) as Said)).gauges,
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
    this.#places.delete(`${kind} ${name}`);
    // A room may go on without this visitor; an object that has others left says so with its next report.
    this.#sql.exec("DELETE FROM subjects WHERE subject = ? AND kind = ? AND name = ?", subject, kind, name);
  }

  /** Lets them in again. False: nobody had hung them up. */
  allow(subject: string): boolean {
    return this.#sql.exec("DELETE FROM hang_ups WHERE subject = ?", subject).rowsWritten > 0;
  }
}
