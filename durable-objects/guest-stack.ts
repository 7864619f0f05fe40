import type { Lan } from "./gateway/l2-guest.ts";
import { lanStack } from "./gateway/lan-stack.ts";
import type { Dhcp } from "./net/dhcp.ts";
import type { NetworkStack, World } from "./net/world.ts";

const SECRET_BYTES = 32;

/** The gateway of one LAN with its services. Its clock is `Date.now`. `hasHost`: the dialling machine's loopback has a name. */
export function guestStack(world: World, lan: Lan, hasHost: boolean, dhcp?: Dhcp): NetworkStack {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return lanStack(world, { config: { ...lan, secret, epochMs: 0 }, hasHost, dhcp });
}
