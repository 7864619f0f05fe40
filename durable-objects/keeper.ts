import type { Profile, RefusalCode, TunnelNotice } from "#protocol/tunnel-notices.ts";
import type { Visit } from "#protocol/visit.ts";
import type { Destination, Refused } from "./gateway/flow.ts";
import type { Admission, DatagramGatekeeper, Gatekeeper } from "./gateway/guarded-egress.ts";
import { HOST_ALIAS, LOOPBACK } from "./gateway/host-alias.ts";
import type { Names } from "./gateway/names.ts";
import { parseIp } from "./net/ip-text.ts";
import type { Refusal } from "./net/world.ts";
import { isIn } from "./policy/cidr.ts";
import { type AuditRecord, auditLine } from "./policy/audit.ts";
import { type EgressConfig, closedConfig, readEgressConfig } from "./policy/config.ts";
import { Quota, TokenBucket } from "./policy/quota.ts";
import { sentenceOf } from "./policy/sentences.ts";
import { addressGroup } from "./policy/subjects.ts";
import { type Ways, judgeAsked, vet } from "./policy/vet.ts";
import type { Settings } from "./settings.ts";

const loopback = parseIp(LOOPBACK)!;
const nobody: Visit = { door: "raw", sid: "", profile: "anonymous", address: "" };

/** What the guest's stack does about a refusal: what policy and platform forbid is said to be forbidden. */
const refusalOf: Partial<Record<RefusalCode, Refusal>> = {
  refused: "refused",
  timeout: "timeout",
  unreachable: "unreachable",
  failed: "unreachable",
  "name-not-found": "unreachable",
};
const refuse = (code: RefusalCode): Refused => ({
  refusal: refusalOf[code] ?? "prohibited",
  code,
  sentence: sentenceOf(code),
});

/** A flow that counts in what its visitor shares with others. */
export interface SharedFlow {
  dialed(hasFailed: boolean): void;
  /** False: what is shared is used up. */
  carried(bytes: number): boolean;
  closed(): void;
}
/** What a session is not alone in: the operator's word of this moment, and what its account and its address may use. */
export interface Company {
  /** Null: this visitor is wanted. */
  refuses(visit: Visit): Promise<Refused | null>;
  enter(visit: Visit, isNewHost: boolean): Promise<SharedFlow | Refused>;
}
const noShare: SharedFlow = { dialed: () => {}, carried: () => true, closed: () => {} };
/** Where there is one operator and one visitor. */
const alone: Company = { refuses: () => Promise.resolve(null), enter: () => Promise.resolve(noShare) };

/** Lines about refusals: so many at once, and as many per minute. What is not written is counted in the next line. */
const REFUSAL_LINES = 60;
type Outcome = AuditRecord["outcome"];

/** Which bound a refusal is about. */
const bounds: Partial<Record<RefusalCode, Extract<TunnelNotice, { type: "quota" }>["of"]>> = {
  "too-many-flows": "flows",
  "too-many-connections": "connections",
  "too-many-hosts": "hosts",
  "too-many-bytes": "bytes",
  "looks-like-a-scan": "scan",
};
/** A page is told of the same bound so often at most. */
const TELL_MS = 2000;

/** The operator's policy for one session: judges, counts, and writes a line per connection into the Worker's log. */
export class Keeper implements Gatekeeper, DatagramGatekeeper {
  readonly #settings: Settings;
  readonly #config: EgressConfig;
  readonly #names: Names;
  readonly #ways: Ways;
  readonly #company: Company;
  readonly #refusalLines = new TokenBucket(REFUSAL_LINES / 60, REFUSAL_LINES);
  #unwritten = 0;
  readonly #toldAtMs = new Map<string, number>();
  #visit = nobody;
  #quota: Quota;
  /** For `/metrics`. */
  readonly counts = { admitted: 0, denied: 0, failed: 0, blockedByName: 0, blockedByAddress: 0 };

  constructor(env: object, settings: Settings, names: Names, ways: Ways, company: Company = alone) {
    this.#settings = settings;
    this.#names = names;
    this.#ways = ways;
    this.#company = company;
    const config = readEgressConfig(env as Readonly<Record<string, unknown>>);
    if (!config.ok) console.error(JSON.stringify({ egress: "closed", ...config.failure }));
    this.#config = config.ok ? config.value : closedConfig;
    this.#quota = new Quota(this.#config.limits.anonymous);
  }

  /** Whether the loopback of the machine that dials may be reached, under the name of its own that guests know. */
  get hasHost(): boolean {
    const { mode, allow } = this.#config;
    return mode === "on" && allow.some((range) => isIn(range, loopback));
  }
  get profile(): Profile {
    return this.#visit.profile;
  }
  get visit(): Visit {
    return this.#visit;
  }
  /** A visitor who has signed in meanwhile starts with that profile's allowance. */
  set visit(visit: Visit) {
    if (visit.profile !== this.#visit.profile) this.#quota = new Quota(this.#config.limits[visit.profile]);
    this.#visit = visit;
  }

  admit(to: Destination): Promise<Admission | Refused> {
    return this.#admit(to, "tcp");
  }

  /** The same rules for a conversation of datagrams. Always by the relay, which has no platform's limits. */
  admitDatagrams(to: Destination): Promise<Admission | Refused> {
    return this.#admit(to, "udp");
  }

  async #admit(to: Destination, protocol: Protocol): Promise<Admission | Refused> {
    const verdict = await this.#judge(to, protocol === "udp" ? { fetch: false, relay: true } : this.#ways);
    if ("refusal" in verdict) {
      this.#onRefused(to, verdict, protocol);
      return verdict;
    }
    this.counts.admitted++;
    const via = protocol === "udp" ? "relay" : verdict.via;
    const { address, quota, shared } = verdict;
    const startMs = Date.now();
    const visit = this.#visit;
    let refusal: RefusalCode | undefined;
    return {
      via,
      host: address,
      port: to.port,
      ...(to.name !== undefined && { name: to.name }),
      onDialled: (refused) => {
        quota.dialed(refused !== null, Date.now());
        shared.dialed(refused !== null);
        if (!refused) return;
        this.counts.failed++;
        refusal = refused.code;
      },
      onBytes: (count) => {
        const hasOwn = quota.carried(count, Date.now());
        return shared.carried(count) && hasOwn;
      },
      onClosed: (sentBytes, receivedBytes, why) => {
        quota.closed();
        shared.closed();
        const span = { atMs: startMs, sentBytes, receivedBytes, protocol };
        this.#log(visit, { ...to, host: address }, via, refusal ?? why, span);
      },
    };
  }

  #onRefused(to: Destination, { code }: Refused, protocol: Protocol): void {
    this.counts.denied++;
    if (code === "denied-name") this.counts.blockedByName++;
    if (code === "denied-address" || code === "private-address") this.counts.blockedByAddress++;
    if (!this.#refusalLines.take(1, Date.now())) {
      this.#unwritten++;
      return;
    }
    this.#log(this.#visit, to, "none", code, {
      atMs: Date.now(),
      sentBytes: 0,
      receivedBytes: 0,
      protocol,
    });
  }

  /** Whether a datagram may leave; null: yes. Where there is a way for datagrams at all. */
  judgeDatagram(address: string, port: number): Refused | null {
    const verdict = vet(this.#config, { port }, [address], this.#visit.profile, {
      fetch: false,
      relay: true,
    });
    return verdict.ok ? null : refuse(verdict.code);
  }

  async #judge(to: Destination, ways: Ways): Promise<Judged | Refused> {
    const isLiteral = parseIp(to.host) !== null;
    const name = isLiteral ? to.name : to.host;
    const target = { port: to.port, ...(name !== undefined && { name }) };
    const visit = this.#visit;
    // A name that is forbidden is not even asked for.
    const early = judgeAsked(this.#config, target, visit.profile, ways);
    if (early) return refuse(early);
    const unwanted = await this.#company.refuses(visit);
    if (unwanted) return unwanted;
    const literal = to.host === HOST_ALIAS && this.hasHost ? LOOPBACK : to.host;
    const addresses = isLiteral ? [literal] : await this.#names.addresses(to.host);
    const verdict = vet(this.#config, target, addresses, visit.profile, ways);
    if (!verdict.ok) return refuse(verdict.code);
    const { address } = verdict;
    const quota = this.#quota;
    const isNewHost = !quota.knows(address, Date.now());
    const code = quota.open(address, Date.now());
    if (code) return refuse(code);
    const shared = await this.#company.enter(visit, isNewHost);
    if ("refusal" in shared) {
      quota.withdraw(address, isNewHost);
      return shared;
    }
    const via = ways.relay && this.#settings.VIRGA_RELAY_FOR === "all" ? "relay" : verdict.via;
    return { address, via, quota, shared };
  }

  #log(
    who: Who,
    to: Destination,
    via: AuditRecord["via"],
    outcome: Outcome,
    { protocol, ...span }: Span,
  ): void {
    if (this.#settings.VIRGA_AUDIT === "off") return;
    const { sid, account, profile, door } = who;
    const unwritten = this.#unwritten;
    this.#unwritten = 0;
    const visitor = this.#visitorOf(who.address);
    const line = auditLine({
      ...span,
      durationMs: Date.now() - span.atMs,
      session: sid,
      ...(account !== undefined && { account }),
      ...(visitor !== "" && { visitor }),
      profile,
      by: door,
      ...(protocol === "udp" && { protocol }),
      ...(to.name !== undefined && { name: to.name }),
      address: to.host,
      port: to.port,
      via,
      outcome,
      ...(unwritten > 0 && { unwritten }),
    });
    console.log(line);
  }

  /** `short`: what several people share. */
  #visitorOf(address: string): string {
    if (this.#settings.VIRGA_AUDIT !== "short") return address;
    const group = addressGroup(address) ?? "";
    return group.includes(".") ? group.replace(/\.\d+$/, ".0/24") : group;
  }

  /** A connection that came in through a published port has ended. `from`: the browser's address. */
  logPort(from: string, port: number, outcome: Outcome, span: Span): void {
    this.#log({ ...this.#visit, door: "port", address: from }, { host: "", port }, "none", outcome, span);
  }

  /** What a page is told when a bound has been reached; undefined: this code is none, or the page was told just now. */
  quotaNotice(code: RefusalCode): TunnelNotice | undefined {
    const of = bounds[code];
    const now = Date.now();
    if (of === undefined || now - (this.#toldAtMs.get(of) ?? -Infinity) < TELL_MS) return undefined;
    this.#toldAtMs.set(of, now);
    const limits = this.#config.limits[this.#visit.profile];
    const limit = of === "scan" ? 0 : limits[of];
    return { type: "quota", of, limit, retryAfterMs: this.#quota.retryAfterMs(code, now) };
  }

  /** What a page is told when its tunnel opens. */
  greeting(): TunnelNotice[] {
    const { profile } = this.#visit;
    const limits = this.#config.limits[profile];
    const isOpen = this.#config.mode === "on" && this.#config.ports[profile].length > 0;
    return [
      { type: "policy", profile, egress: isOpen ? "connect" : "none", internet: isOpen },
      {
        type: "limits",
        flows: limits.flows,
        connectionsPerSecond: limits.connections,
        bytes: limits.bytes,
        hostsPerMinute: limits.hosts,
        idleTimeoutMs: 0,
      },
    ];
  }
}

interface Who extends Pick<Visit, "sid" | "account" | "profile" | "address"> {
  readonly door: string;
}
interface Span {
  readonly atMs: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly protocol: Protocol;
}
type Protocol = "tcp" | "udp";
/** What has been let through, and where it counts. */
interface Judged {
  readonly address: string;
  readonly via: Admission["via"];
  readonly quota: Quota;
  readonly shared: SharedFlow;
}
