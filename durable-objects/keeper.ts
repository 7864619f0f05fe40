import type { Profile, RefusalCode, TunnelNotice } from "#protocol/tunnel-notices.ts";
import type { Visit } from "#protocol/visit.ts";
import type { Destination, Refused } from "./gateway/flow.ts";
import type { Admission, DatagramGatekeeper, Gatekeeper } from "./gateway/guarded-egress.ts";
import { HOST_ALIAS, LOOPBACK } from "./gateway/host-alias.ts";
import type { Names } from "./gateway/names.ts";
import { parseIp } from "./net/ip-text.ts";
import type { Refusal } from "./net/world.ts";
import { isIn } from "./policy/cidr.ts";
import { auditLine } from "./policy/audit.ts";
import { type EgressConfig, closedConfig, readEgressConfig } from "./policy/config.ts";
import { Quota } from "./policy/quota.ts";
import { sentenceOf } from "./policy/sentences.ts";
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

/** The operator's policy for one session: judges, counts, and writes a line per connection into the Worker's log. */
export class Keeper implements Gatekeeper, DatagramGatekeeper {
  readonly #settings: Settings;
  readonly #config: EgressConfig;
  readonly #names: Names;
  readonly #ways: Ways;
  #visit = nobody;
  #quota: Quota;
  /** For `/metrics`. */
  readonly counts = { admitted: 0, denied: 0, failed: 0 };

  constructor(env: object, settings: Settings, names: Names, ways: Ways) {
    this.#settings = settings;
    this.#names = names;
    this.#ways = ways;
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

  async #admit(to: Destination, protocol: "tcp" | "udp"): Promise<Admission | Refused> {
    const verdict = await this.#judge(to, protocol === "udp" ? { fetch: false, relay: true } : this.#ways);
    if ("code" in verdict) {
      this.counts.denied++;
      this.#log(to, "none", verdict.code, protocol, { atMs: Date.now(), sentBytes: 0, receivedBytes: 0 });
      return refuse(verdict.code);
    }
    this.counts.admitted++;
    const via = protocol === "udp" ? "relay" : verdict.via;
    const { address } = verdict;
    const startMs = Date.now();
    const quota = this.#quota;
    let outcome: RefusalCode | "done" = "done";
    return {
      via,
      host: address,
      port: to.port,
      ...(to.name !== undefined && { name: to.name }),
      onDialled: (refused) => {
        quota.dialed(refused !== null, Date.now());
        if (!refused) return;
        this.counts.failed++;
        outcome = refused.code;
      },
      onBytes: (count) => quota.carried(count, Date.now()),
      onClosed: (sentBytes, receivedBytes) => {
        quota.closed();
        this.#log({ ...to, host: address }, via, outcome, protocol, {
          atMs: startMs,
          sentBytes,
          receivedBytes,
        });
      },
    };
  }

  /** Whether a datagram may leave; null: yes. Where there is a way for datagrams at all. */
  judgeDatagram(address: string, port: number): Refused | null {
    const verdict = vet(this.#config, { port }, [address], this.#visit.profile, {
      fetch: false,
      relay: true,
    });
    return verdict.ok ? null : refuse(verdict.code);
  }

  async #judge(
    to: Destination,
    ways: Ways,
  ): Promise<{ address: string; via: Admission["via"] } | { code: RefusalCode }> {
    const isLiteral = parseIp(to.host) !== null;
    const name = isLiteral ? to.name : to.host;
    const target = { port: to.port, ...(name !== undefined && { name }) };
    const { profile } = this.#visit;
    // A name that is forbidden is not even asked for.
    const early = judgeAsked(this.#config, target, profile, ways);
    if (early) return { code: early };
    const literal = to.host === HOST_ALIAS && this.hasHost ? LOOPBACK : to.host;
    const addresses = isLiteral ? [literal] : await this.#names.addresses(to.host);
    const verdict = vet(this.#config, target, addresses, profile, ways);
    if (!verdict.ok) return { code: verdict.code };
    const code = this.#quota.open(verdict.address, Date.now());
    if (code) return { code };
    const via = ways.relay && this.#settings.VIRGA_RELAY_FOR === "all" ? "relay" : verdict.via;
    return { address: verdict.address, via };
  }

  #log(
    to: Destination,
    via: Admission["via"] | "none",
    outcome: RefusalCode | "done",
    protocol: "tcp" | "udp",
    span: { readonly atMs: number; readonly sentBytes: number; readonly receivedBytes: number },
  ): void {
    if (this.#settings.VIRGA_AUDIT === "off") return;
    const { sid, profile, address, door } = this.#visit;
    const line = auditLine({
      ...span,
      durationMs: Date.now() - span.atMs,
      session: sid,
      ...(address !== "" && { visitor: address }),
      profile,
      by: door,
      ...(protocol === "udp" && { protocol }),
      ...(to.name !== undefined && { name: to.name }),
      address: to.host,
      port: to.port,
      via,
      outcome,
    });
    console.log(line);
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
