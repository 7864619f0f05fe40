import { Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import type { App } from "./app.ts";
import { toBase64Url } from "./base64url.ts";
import { boundedJson } from "./body.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { judgeOrigin, ownOrigin } from "./origins.ts";
import { readSession, sessionCookie } from "./session-token.ts";

const LanWish = z.object({
  /** Whether the room's gateway leads to the internet, by the rules for the one who makes it. */
  internet: z._default(z.boolean(), false),
  delayMs: z._default(z.number().check(z.minimum(0), z.maximum(10_000)), 0),
  /** 0 to 1. */
  loss: z._default(z.number().check(z.minimum(0), z.maximum(1)), 0),
  /** Per machine; 0: as fast as it goes. */
  bytesPerSecond: z._default(z.number().check(z.minimum(0), z.maximum(1e9)), 0),
  /** Of the chance that loses frames. */
  seed: z._default(z.number().check(z.int(), z.minimum(0), z.maximum(0xffff_ffff)), 1),
});
const MadeLan = z.object({
  /** `<room>.<secret>`: whoever has it may join. It cannot be asked for again. */
  invite: z.string(),
  tunnelPath: z.string(),
});

/** `<room>.<secret>`. Null: it cannot be one. */
export function readInvite(invite: string): { readonly id: string; readonly secret: string } | null {
  const parts = /^([0-9a-f]{32})\.([A-Za-z0-9_-]{22,64})$/.exec(invite);
  return parts && { id: parts[1]!, secret: parts[2]! };
}

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Rooms that several visitors' machines share. */
export const lans = new Hono<App>()
  .get(
    "/:invite",
    describeRoute({
      operationId: "checkInvite",
      responses: answers({ 204: "It leads into a room" }, "not-found", "too-many-requests"),
    }),
    async (c) => {
      // A refused upgrade tells a page nothing: it asks here why.
      const key = `invite ${c.req.header("cf-connecting-ip") ?? "local"}`;
      if (!(await c.env.TUNNEL_RATE.limit({ key })).success)
        return refuse(c, { code: "too-many-requests", retryAfterSeconds: 60 });
      const invite = readInvite(c.req.param("invite"));
      const admits = invite && (await c.env.LAN.getByName(invite.id).admits(invite.secret));
      return admits
        ? c.body(null, 204)
        : refuse(c, { code: "not-found", what: "a network with this invite" });
    },
  )
  .post(
    "/",
    boundedJson(),
    describeRoute({
      operationId: "makeLan",
      responses: answers(
        { 201: ["The room, and how to join it", MadeLan] },
        "unauthorized",
        "bad-request",
        "too-many-requests",
      ),
    }),
    validator("json", LanWish, refuseInvalid),
    async (c) => {
      const settings = gatewaySettings(c.env);
      const origin = c.req.header("origin");
      const own = ownOrigin(c.req.raw, settings.trustsProxy).origin;
      const isForeign =
        origin !== undefined && judgeOrigin(origin, own, { allowed: [], isOpen: false }) !== "ok";
      const cookie = sessionCookie(c.req.header("cookie") ?? null);
      const owner = isForeign ? null : await readSession(settings.sessionSecret, cookie ?? "", Date.now());
      if (!owner) return refuse(c, { code: "unauthorized" });
      if (!(await c.env.TUNNEL_RATE.limit({ key: `lan ${owner.sid}` })).success)
        return refuse(c, { code: "too-many-requests", retryAfterSeconds: 60 });
      const id = hex(crypto.getRandomValues(new Uint8Array(16)));
      const secret = toBase64Url(crypto.getRandomValues(new Uint8Array(24)));
      const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret));
      const { sid, profile, account } = owner;
      const plan = {
        ...c.req.valid("json"),
        secretHash: hex(new Uint8Array(digest)),
        owner: sid,
        profile,
        address: (c.req.header("cf-connecting-ip") ?? "").slice(0, 64),
        ...(account !== undefined && { account }),
      };
      await c.env.LAN.getByName(id).make(plan);
      const invite = `${id}.${secret}`;
      return c.json({ invite, tunnelPath: `/l2?lan=${invite}` }, 201, { "cache-control": "no-store" });
    },
  );
