import type { Lan } from "./gateway/l2-guest.ts";
import { type LanParts, lanStack } from "./gateway/lan-stack.ts";
import type { NetworkStack, World } from "./net/world.ts";

const SECRET_BYTES = 32;

/** The gateway of one LAN with its services. Its clock is `Date.now`. */
export function guestStack(world: World, lan: Lan, parts: Omit<LanParts, "config">): NetworkStack {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return lanStack(world, { config: { ...lan, secret, epochMs: 0 }, ...parts });
}
