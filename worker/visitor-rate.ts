import type { Context } from "hono";
import type { App } from "./app.ts";

/** The rates of wrangler.toml, per address or per key. An operator who takes one out takes the bound out. */
export type Rate = "DNS_RATE" | "RELAY_RATE";

export async function visitorRate(c: Context<App>, rate: Rate, key?: string): Promise<boolean> {
  const limiter = (c.env as unknown as Partial<Record<Rate, RateLimit>>)[rate];
  if (!limiter) return true;
  const { success } = await limiter.limit({ key: key ?? c.req.header("cf-connecting-ip") ?? "local" });
  return success;
}
