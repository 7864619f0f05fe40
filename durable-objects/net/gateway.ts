import { Dhcp } from "./dhcp.ts";
import { Resolver } from "./dns.ts";
import { Ntp } from "./ntp.ts";
import { Stack } from "./stack.ts";
import type { StackConfig, World } from "./world.ts";

/** The stack with the services of its LAN: DHCP, names from DHCP and from the world, and the time. */
export function makeGateway(config: StackConfig, world: World): Stack {
  const dhcp = new Dhcp(config);
  const dns = new Resolver({
    gateway: config.gateway,
    domain: config.domain,
    resolve: (query, message) => world.resolve(query, message),
    hosts: (nowMs) => dhcp.leases(nowMs),
  });
  return new Stack(config, { dhcp, dns, udp: [new Ntp(config.epochMs)] }, world);
}
