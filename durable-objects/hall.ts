import type { Visit } from "#protocol/visit.ts";
import { DohClient } from "./doh.ts";
import { type AeroOptions, aeroDefaults } from "./gateway/aero-carrier.ts";
import type { Carrier } from "./gateway/carrier.ts";
import type { Egress, OpenDatagrams } from "./gateway/flow.ts";
import { noDatagrams } from "./gateway/guarded-datagrams.ts";
import { countedDatagrams, noDatagramCounts } from "./gateway/counted-datagrams.ts";
import { GuardedEgress } from "./gateway/guarded-egress.ts";
import { L2Guest, type Lan, virgaLan } from "./gateway/l2-guest.ts";
import { localDatagrams } from "./gateway/local-datagrams.ts";
import { Names } from "./gateway/names.ts";
import { namesNotice, noticeOf } from "./gateway/flow-notice.ts";
import { watchNames } from "./gateway/name-watch.ts";
import type { StackHostParts } from "./gateway/stack-host.ts";
import { Unanswered } from "./gateway/unanswered.ts";
import { VirgaCarrier } from "./gateway/virga-carrier.ts";
import type { Dhcp } from "./net/dhcp.ts";
import { dnsCodes } from "./net/dns-message.ts";
import type { HeldTogether } from "./net/world.ts";
import { Keeper } from "./keeper.ts";
import type { Counts } from "./policy/counters.ts";
import type { PortsParts } from "./published-ports.ts";
import type { Presence } from "./presence.ts";
import { SharedCompany } from "./shared-company.ts";
import { Shares } from "./shares.ts";
import { guestStack } from "./guest-stack.ts";
import { readSettings } from "./settings.ts";
import { FetchWay } from "./fetch-way.ts";
import { RelayWay } from "./relay-way.ts";
import { SocketWay } from "./socket-way.ts";
import { UdpRelayWay, udpRelayOf } from "./udp-relay-way.ts";

export interface HallParts {
  readonly env: Env;
  readonly afterTurn: () => void;
  /** False closes every way out, whatever the operator allows. */
  readonly isOpen: boolean;
  readonly presence: Presence;
  /** Names the object to those that it borrows from. */
  readonly holder: string;
}

/** What every door of a session leads to: one policy, one way to names, one egress. */
export class Hall {
  readonly egress: Egress;
  readonly openDatagrams: OpenDatagrams;
  readonly hasUdp: boolean;
  readonly unanswered: Unanswered;
  readonly limits: { readonly streams: number; readonly aero: AeroOptions };
  readonly #afterTurn: () => void;
  readonly #doh: DohClient;
  readonly #keeper: Keeper;
  readonly #connect: SocketWay;
  readonly #datagrams: UdpRelayWay | undefined;
  readonly #shares: Shares;

  readonly #counts = { dnsQueries: 0, dnsFailures: 0, ...noDatagramCounts() };

  /** Of all LANs of this object. */
  readonly #held: HeldTogether = { send: 0, receive: 0 };

  constructor({ env, afterTurn, isOpen, presence, holder }: HallParts) {
    const settings = readSettings(env);
    this.#afterTurn = afterTurn;
    this.#doh = new DohClient(settings.VIRGA_DOH_UPSTREAMS);
    const names = new Names((message) => this.#ask(message), Date.now);
    const relay = settings.VIRGA_RELAY_URL;
    const rules = isOpen ? env : {};
    const shares = new Shares(env.ALLOWANCE, rules, holder);
    this.#shares = shares;
    this.#connect = new SocketWay(env.EGRESS, settings.VIRGA_EGRESS_SHARDS, settings.VIRGA_EGRESS_NEAR_FLOWS);
    const company = new SharedCompany(presence, shares);
    this.#keeper = new Keeper(rules, settings, names, { fetch: true, relay: relay !== "" }, company);
    this.egress = new GuardedEgress(this.#keeper, {
      connect: this.#connect,
      fetch: new FetchWay(),
      ...(relay !== "" && { relay: new RelayWay(relay, settings.VIRGA_RELAY_TOKEN) }),
    });
    const udpRelay = udpRelayOf(settings);
    this.#datagrams = udpRelay ? new UdpRelayWay(udpRelay, this.#keeper) : undefined;
    this.hasUdp = udpRelay !== null;
    const further = this.#datagrams?.open ?? noDatagrams(Date.now);
    this.openDatagrams = countedDatagrams(localDatagrams(names, Date.now, further), this.#counts);
    this.unanswered = new Unanswered(settings.VIRGA_EGRESS_UNANSWERED);
    this.limits = {
      streams: 1024,
      aero: {
        ...aeroDefaults,
        pingMs: settings.VIRGA_L2_PING_MS,
        idleMs: settings.VIRGA_L2_IDLE_MS,
        quotaBytes: settings.VIRGA_L2_QUOTA_BYTES,
        framesPerSecond: settings.VIRGA_L2_FRAMES_PER_SECOND,
      },
    };
  }

  async #ask(message: Uint8Array): Promise<Uint8Array> {
    this.#counts.dnsQueries++;
    const answer = await this.#doh.ask(message);
    // The response code is the last four bits of the flags (RFC 1035 §4.1.1).
    if ((answer[3]! & 15) === dnsCodes.serverFailure) this.#counts.dnsFailures++;
    return answer;
  }

  /** Every so often while connections are open. */
  onPulse(): void {
    this.#shares.renew();
  }

  /** Who the sockets of this session belong to. */
  set visit(visit: Visit) {
    this.#keeper.visit = visit;
  }

  /** A guest with a LAN of its own behind this carrier. */
  guest<C extends Carrier>(carrier: C, lan: Lan = virgaLan): L2Guest<C> {
    const turn = (): void => {
      guest.turn();
      this.#afterTurn();
    };
    const notify = carrier instanceof VirgaCarrier ? carrier : undefined;
    const parts = this.stackParts(lan, turn, (event) => {
      notify?.notify(noticeOf(event, "connect"));
      const bound = event.kind === "refused" ? this.#keeper.quotaNotice(event.why.code) : undefined;
      if (bound) notify?.notify(bound);
    });
    const resolve = watchNames(parts.resolve, (failing) => notify?.notify(namesNotice(failing)));
    const guest: L2Guest<C> = new L2Guest(carrier, { ...parts, resolve });
    return guest;
  }

  /** What a LAN's stack runs on. */
  stackParts(
    lan: Lan,
    onWork: () => void,
    onFlow: StackHostParts["onFlow"],
    dhcp?: Dhcp,
  ): Omit<StackHostParts, "transmit" | "isRoomy"> {
    return {
      flowBytes: lan.sendBufferBytes,
      makeStack: (world) =>
        guestStack(
          world,
          { ...lan, held: this.#held },
          { hasHost: this.#keeper.hasHost, dhcp, takesQuic: this.hasUdp },
        ),
      egress: this.egress,
      openDatagrams: this.openDatagrams,
      resolve: (message) => this.#ask(message),
      onFlow,
      onWork,
      now: Date.now,
    };
  }

  /** A session has begun or goes on: its page is told who it is here and what that allows. */
  greet(carrier: VirgaCarrier): void {
    for (const notice of this.#keeper.greeting()) carrier.notify(notice);
  }

  /** A connection through a published port has ended. */
  get logPort(): PortsParts["onEnd"] {
    return (from, port, end) => this.#keeper.logPort(from, port, end.why, { ...end, protocol: "tcp" });
  }

  metrics() {
    return {
      ...this.#keeper.counts,
      ...this.#connect.dials,
      waitingDials: this.#connect.waiting,
      ...this.#counts,
      ...this.#datagrams?.metrics(),
    };
  }

  /** Conversations of datagrams that are open. */
  get udpFlows(): number {
    return this.#datagrams?.metrics().udpFlows ?? 0;
  }

  /** The same by the names of `/metrics`. */
  counts(): Counts {
    const { denied, failed, blockedByName, blockedByAddress } = this.#keeper.counts;
    const { near, sharded } = this.#connect.dials;
    const { dnsQueries, dnsFailures, refusedDatagrams, datagramFlowLimits } = this.#counts;
    return {
      l2_policy_denied_total: denied,
      l2_tcp_connect_fail_total: failed,
      l2_udp_send_fail_total: refusedDatagrams,
      l2_udp_flow_limit_exceeded_total: datagramFlowLimits,
      l2_dns_queries_total: dnsQueries,
      l2_dns_fail_total: dnsFailures,
      tcp_proxy_blocked_by_host_policy_total: blockedByName,
      tcp_proxy_blocked_by_ip_policy_total: blockedByAddress,
      virga_dials_near_total: near,
      virga_dials_sharded_total: sharded,
    };
  }
}
