import { type Context, Hono } from "hono";
import { describeRoute } from "hono-openapi";
import * as z from "zod/mini";
import { aeroL2Limits } from "#protocol/aero-l2.ts";
import { tcpMuxLimits } from "#protocol/tcp-mux.ts";
import type { App } from "./app.ts";
import { boundedBody } from "./body.ts";
import { gatewayAnswers, refuseGateway } from "./gateway-failures.ts";
import { type GatewaySettings, gatewaySettings } from "./gateway-settings.ts";
import { limits } from "./limits.ts";
import { judgeOrigin, ownOrigin } from "./origins.ts";
import { RELAY_TOKEN_SECONDS, mintRelayToken } from "./relay-token.ts";
import {
  SESSION_SECONDS,
  type Session,
  jsonOf,
  mintSession,
  readSession,
  sessionCookie,
  setCookie,
} from "./session-token.ts";
import { visitorRate } from "./visitor-rate.ts";

/** Sessions of the gateway and the document that tells a client where everything is and how much of it there may be. */

const RelayToken = z.object({
  authMode: z.enum(["none", "api_key", "jwt"]),
  token: z.optional(z.string()),
  expiresAt: z.optional(z.string()),
});
const count = z.number();
const Discovery = z.object({
  session: z.object({ expiresAt: z.string() }),
  endpoints: z.record(z.string(), z.string()),
  limits: z.object({
    tcp: z.object({
      maxConnections: count,
      maxMessageBytes: count,
      connectTimeoutMs: count,
      idleTimeoutMs: count,
    }),
    dns: z.object({ maxQueryBytes: count }),
    l2: z.object({ maxFramePayloadBytes: count, maxControlPayloadBytes: count }),
  }),
  udpRelay: z.optional(
    z.object({ baseUrl: z.string(), endpoints: z.record(z.string(), z.string()), ...RelayToken.shape }),
  ),
});
const Hello = z.looseObject({ origin: z.optional(z.string()), clientVersion: z.optional(z.string()) });

const rfc3339 = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** A visitor's session goes on, with a new end, if the cookie is good; else a new one begins. */
async function openSession(c: Context<App>, settings: GatewaySettings): Promise<Session> {
  const nowMs = Date.now();
  const cookie = sessionCookie(c.req.header("cookie") ?? null);
  const old = await readSession(settings.sessionSecret, cookie ?? "", nowMs);
  const session: Session = {
    sid: old?.sid ?? crypto.randomUUID(),
    profile: old?.profile ?? "anonymous",
    ...(old?.account !== undefined && { account: old.account }),
    expires: Math.floor(nowMs / 1000) + SESSION_SECONDS,
  };
  const isSecure = ownOrigin(c.req.raw, settings.trustsProxy).protocol === "https:";
  c.header("set-cookie", setCookie(await mintSession(settings.sessionSecret, session), isSecure));
  c.header("cache-control", "no-store");
  return session;
}

/** A foreign page may not open sessions in the name of a visitor. */
const isForeign = (c: Context<App>, settings: GatewaySettings): boolean =>
  judgeOrigin(
    c.req.header("origin") ?? null,
    ownOrigin(c.req.raw, settings.trustsProxy).origin,
    settings.origins,
  ) === "denied";

async function relayToken(settings: GatewaySettings, { sid }: Session, origin: string | undefined) {
  const { authMode, key } = settings.udpRelay!;
  if (authMode === "none") return { authMode } as const;
  if (key === "") throw new Error("VIRGA_UDP_RELAY_KEY is needed for this VIRGA_UDP_RELAY_AUTH");
  if (authMode === "api_key") return { authMode, token: key } as const;
  const iat = Math.floor(Date.now() / 1000);
  const exp = iat + RELAY_TOKEN_SECONDS;
  const token = await mintRelayToken(key, { sid, iat, exp, ...(origin !== undefined && { origin }) });
  return { authMode, token, expiresAt: rfc3339(exp) } as const;
}

const relayEndpoints = {
  webrtcSignal: "/webrtc/signal",
  webrtcOffer: "/webrtc/offer",
  webrtcIce: "/webrtc/ice",
  udp: "/udp",
} as const;

async function discovery(settings: GatewaySettings, session: Session, origin: string | undefined) {
  const { basePath, udpRelay } = settings;
  return {
    session: { expiresAt: rfc3339(session.expires) },
    endpoints: {
      tcp: `${basePath}/tcp`,
      tcpMux: `${basePath}/tcp-mux`,
      dnsQuery: `${basePath}/dns-query`,
      dnsJson: `${basePath}/dns-json`,
      l2: `${basePath}/l2`,
      udpRelayToken: `${basePath}/udp-relay/token`,
    },
    limits: {
      tcp: {
        maxConnections: limits.tcpConnections,
        maxMessageBytes: tcpMuxLimits.messageBytes,
        connectTimeoutMs: tcpMuxLimits.connectTimeoutMs,
        idleTimeoutMs: tcpMuxLimits.idleTimeoutMs,
      },
      dns: { maxQueryBytes: limits.dnsQueryBytes },
      l2: aeroL2Limits,
    },
    ...(udpRelay && {
      udpRelay: {
        baseUrl: udpRelay.url,
        endpoints: relayEndpoints,
        ...(await relayToken(settings, session, origin)),
      },
    }),
  };
}

const json = "application/json";

export const sessions = new Hono<App>()
  .get(
    "/session",
    describeRoute({
      operationId: "touchSession",
      responses: gatewayAnswers(
        { 200: { description: "The cookie is set", type: json, schema: z.object({ ok: z.literal(true) }) } },
        "forbidden",
      ),
    }),
    async (c) => {
      const settings = gatewaySettings(c.env);
      if (isForeign(c, settings)) return refuseGateway(c, "forbidden", "this origin is not allowed");
      await openSession(c, settings);
      return c.json({ ok: true as const }, 200);
    },
  )
  .post(
    "/session",
    describeRoute({
      operationId: "createSession",
      responses: gatewayAnswers(
        { 201: { description: "Where things are, and a cookie", type: json, schema: Discovery } },
        "bad_request",
        "forbidden",
      ),
    }),
    async (c) => {
      const settings = gatewaySettings(c.env);
      if (isForeign(c, settings)) return refuseGateway(c, "forbidden", "this origin is not allowed");
      const body = await boundedBody(c.req.raw, limits.sessionBytes);
      const isHello = body.ok && (body.value.length === 0 || Hello.safeParse(jsonOf(body.value)).success);
      if (!isHello) return refuseGateway(c, "bad_request", "the body must be a JSON object, or empty");
      const session = await openSession(c, settings);
      return c.json(await discovery(settings, session, c.req.header("origin")), 201);
    },
  )
  .post(
    "/udp-relay/token",
    describeRoute({
      operationId: "createRelayToken",
      responses: gatewayAnswers(
        { 200: { description: "A token for the relay", type: json, schema: RelayToken } },
        "not_found",
        "forbidden",
        "unauthorized",
        "too_many_requests",
      ),
    }),
    async (c) => {
      const settings = gatewaySettings(c.env);
      if (!settings.udpRelay) return refuseGateway(c, "not_found", "no UDP relay is configured");
      const own = ownOrigin(c.req.raw, settings.trustsProxy).origin;
      if (judgeOrigin(c.req.header("origin") ?? null, own, settings.origins) !== "ok")
        return refuseGateway(c, "forbidden", "Origin is missing or not allowed");
      const cookie = sessionCookie(c.req.header("cookie") ?? null);
      const session = await readSession(settings.sessionSecret, cookie ?? "", Date.now());
      if (!session) return refuseGateway(c, "unauthorized", "POST /session gives a session");
      if (!(await visitorRate(c, "RELAY_RATE", session.sid))) return refuseGateway(c, "too_many_requests");
      c.header("cache-control", "no-store");
      return c.json(await relayToken(settings, session, c.req.header("origin")), 200);
    },
  );
