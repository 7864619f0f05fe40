import type { Visit } from "#protocol/visit.ts";
import { DohClient } from "./doh.ts";
import { type AeroOptions, aeroDefaults } from "./gateway/aero-carrier.ts";
import type { Carrier } from "./gateway/carrier.ts";
import type { Egress, OpenDatagrams } from "./gateway/flow.ts";
import { noDatagrams } from "./gateway/guarded-datagrams.ts";
import { GuardedEgress } from "./gateway/guarded-egress.ts";
import { L2Guest, type Lan, virgaLan } from "./gateway/l2-guest.ts";
import { localDatagrams } from "./gateway/local-datagrams.ts";
import { Names } from "./gateway/names.ts";
import { noticeOf } from "./gateway/flow-notice.ts";
import type { StackHostParts } from "./gateway/stack-host.ts";
import { VirgaCarrier } from "./gateway/virga-carrier.ts";
import type { Dhcp } from "./net/dhcp.ts";
import { Keeper } from "./keeper.ts";
import { guestStack } from "./guest-stack.ts";
import { readSettings } from "./settings.ts";
import { FetchWay } from "./fetch-way.ts";
import { RelayWay } from "./relay-way.ts";
import { SocketWay } from "./socket-way.ts";
import { UdpRelayWay, udpRelayOf } from "./udp-relay-way.ts";

/** What every door of a session leads to: one policy, one way to names, one egress. */
export class Hall {
  readonly egress: Egress;
  readonly openDatagrams: OpenDatagrams;
  readonly hasUdp: boolean;
  readonly limits: { readonly streams: number; readonly aero: AeroOptions };
  readonly #afterTurn: () => void;
  readonly #doh: DohClient;
  readonly #keeper: Keeper;
  readonly #connect: SocketWay;
  readonly #datagrams: UdpRelayWay | undefined;

  /** `isOpen`: false closes every way out, whatever the operator allows. */
  constructor(env: Env, afterTurn: () => void, isOpen = true) {
    const settings = readSettings(env);
    this.#afterTurn = afterTurn;
    this.#doh = new DohClient(settings.VIRGA_DOH_UPSTREAMS);
    const names = new Names((message) => this.#doh.ask(message), Date.now);
    const relay = settings.VIRGA_RELAY_URL;
    this.#connect = new SocketWay(env.EGRESS, settings.VIRGA_EGRESS_SHARDS, settings.VIRGA_EGRESS_NEAR_FLOWS);
    this.#keeper = new Keeper(isOpen ? env : {}, settings, names, { fetch: true, relay: relay !== "" });
    this.egress = new GuardedEgress(this.#keeper, {
      connect: this.#connect,
      fetch: new FetchWay(),
      ...(relay !== "" && { relay: new RelayWay(relay, settings.VIRGA_RELAY_TOKEN) }),
    });
    const udpRelay = udpRelayOf(settings);
    this.#datagrams = udpRelay ? new UdpRelayWay(udpRelay, this.#keeper) : undefined;
    this.hasUdp = udpRelay !== null;
    const further = this.#datagrams?.open ?? noDatagrams(Date.now);
    this.openDatagrams = localDatagrams(names, Date.now, further);
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
    const guest: L2Guest<C> = new L2Guest(
      carrier,
      this.stackParts(lan, turn, (event) => notify?.notify(noticeOf(event, "connect"))),
    );
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
      makeStack: (world) =>
        guestStack(world, lan, { hasHost: this.#keeper.hasHost, dhcp, takesQuic: this.hasUdp }),
      egress: this.egress,
      openDatagrams: this.openDatagrams,
      resolve: (message) => this.#doh.ask(message),
      onFlow,
      onWork,
      now: Date.now,
    };
  }

  /** A session has begun or goes on: its page is told who it is here and what that allows. */
  greet(carrier: VirgaCarrier): void {
    for (const notice of this.#keeper.greeting()) carrier.notify(notice);
  }

  metrics() {
    return { ...this.#keeper.counts, ...this.#connect.dials, ...this.#datagrams?.metrics() };
  }
}
