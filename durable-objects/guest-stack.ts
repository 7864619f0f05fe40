import { HOST_ALIAS, HOST_NAME } from "./gateway/host-alias.ts";
import type { Lan } from "./gateway/l2-guest.ts";
import { Dhcp } from "./net/dhcp.ts";
import { Resolver } from "./net/dns.ts";
import { Ntp } from "./net/ntp.ts";
import { Stack } from "./net/stack.ts";
import type { NetworkStack, World } from "./net/world.ts";

const SECRET_BYTES = 32;

const host = { hostName: HOST_NAME, address: HOST_ALIAS };

/** The gateway of one LAN with its services. Its clock is `Date.now`. `hasHost`: the dialling machine's loopback has a name. */
export function guestStack(
  world: World,
  lan: Lan,
  hasHost: boolean,
  dhcp: Dhcp = new Dhcp(lan),
): NetworkStack {
  const dns = new Resolver({
    gateway: lan.gateway,
    domain: lan.domain,
    resolve: (query, message) => world.resolve(query, message),
    hosts: (nowMs) => [...(hasHost ? [host] : []), ...dhcp.leases(nowMs)],
  });
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return new Stack({ ...lan, secret, epochMs: 0 }, { dhcp, dns, udp: [new Ntp(0)] }, world);
}
