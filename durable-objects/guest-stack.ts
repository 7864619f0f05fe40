import type { Lan } from "./gateway/l2-guest.ts";
import { Dhcp } from "./net/dhcp.ts";
import { Resolver } from "./net/dns.ts";
import { Ntp } from "./net/ntp.ts";
import { Stack } from "./net/stack.ts";
import type { NetworkStack, World } from "./net/world.ts";

const SECRET_BYTES = 32;

/** The gateway of one LAN with its services. Its clock is `Date.now`. */
export function guestStack(world: World, lan: Lan): NetworkStack {
  const dhcp = new Dhcp(lan);
  const dns = new Resolver({
    gateway: lan.gateway,
    domain: lan.domain,
    resolve: (query, message) => world.resolve(query, message),
    hosts: (nowMs) => dhcp.leases(nowMs),
  });
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return new Stack({ ...lan, secret, epochMs: 0 }, { dhcp, dns, udp: [new Ntp(0)] }, world);
}
