import { Dhcp } from "../net/dhcp.ts";
import { Resolver } from "../net/dns.ts";
import { Ntp } from "../net/ntp.ts";
import { Stack } from "../net/stack.ts";
import type { NetworkStack, StackConfig, World } from "../net/world.ts";
import { HOST_ALIAS, HOST_NAME } from "./host-alias.ts";

const host = { hostName: HOST_NAME, address: HOST_ALIAS };

export interface LanParts {
  /** Its clock's `nowMs` counts from `epochMs`. */
  readonly config: StackConfig;
  /** The dialling machine's loopback has a name. */
  readonly hasHost: boolean;
  readonly dhcp?: Dhcp | undefined;
  /** Datagrams have a way out, so that QUIC is worth trying for the guest. */
  readonly takesQuic?: boolean;
}

/** The gateway of one LAN with its services. */
export function lanStack(
  world: World,
  { config, hasHost, dhcp = new Dhcp(config), takesQuic = false }: LanParts,
): NetworkStack {
  const dns = new Resolver({
    gateway: config.gateway,
    domain: config.domain,
    resolve: (query, message) => world.resolve(query, message),
    hosts: (nowMs) => [...(hasHost ? [host] : []), ...dhcp.leases(nowMs)],
  });
  return new Stack(config, { dhcp, dns, udp: [new Ntp(config.epochMs)] }, world, { takesQuic });
}
