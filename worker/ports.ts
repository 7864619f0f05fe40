import { Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { MachineMac, PortAccess, PortId, PublishedPort } from "#protocol/published-port.ts";
import type { App } from "./app.ts";
import { boundedJson } from "./body.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { gatewaySettings } from "./gateway-settings.ts";
import { readInvite } from "./lans.ts";
import { limits } from "./limits.ts";
import { judgeOrigin, ownOrigin } from "./origins.ts";
import { PASS_PARAMETER, linkPass, ticketPass } from "./port-pass.ts";
import { portUrl } from "./port-place.ts";
import { type PortRow, deletePort, placeOfPort, portsOf, savePort } from "./ports-table.ts";
import { type Session, readSession, sessionCookie } from "./session-token.ts";

const Publication = z.object({
  port: z.number().check(z.int(), z.minimum(1), z.maximum(65_535)),
  access: PortAccess,
  /** Whose port it is; absent: the one machine of the session. */
  machine: z.optional(MachineMac),
  /** The invite of the room that the machine is in; absent: none. */
  lan: z.optional(z.string().check(z.maxLength(128))),
});
type Publication = z.infer<typeof Publication>;
const Listing = z.object({ ports: z.array(PublishedPort) });
const params = validator("param", z.object({ id: PortId }), refuseInvalid);

/** 100 bits of chance as a label of a host name. */
function freshId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(20));
  return Array.from(bytes, (byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte & 31]).join("");
}

/** The session whose machine's ports are meant. Only the app's own pages may ask: a guest's page is a stranger here. */
async function ownerOf(request: Request, env: Env): Promise<Session | null> {
  const settings = gatewaySettings(env);
  const own = ownOrigin(request, settings.trustsProxy);
  const origin = request.headers.get("origin");
  if (origin !== null && judgeOrigin(origin, own.origin, { allowed: [], isOpen: false }) !== "ok")
    return null;
  const cookie = sessionCookie(request.headers.get("cookie"));
  return readSession(settings.sessionSecret, cookie ?? "", Date.now());
}

async function viewOf(env: Env, appUrl: URL, row: PortRow): Promise<PublishedPort> {
  const { id, port, access, machine } = row;
  const url = portUrl(appUrl, env.VIRGA_PORTS_HOST, id);
  if (access === "link")
    url.searchParams.set(PASS_PARAMETER, await linkPass(gatewaySettings(env).sessionSecret, id));
  const whose = machine === "" ? {} : { machine };
  return { id, port, access, ...whose, url: url.href, openPath: `/api/ports/${id}/open` };
}

/** The row of a port that is to be published; null: its room is none that this visitor may be in. */
async function rowOf(env: Env, sid: string, wish: Publication): Promise<PortRow | null> {
  const { port, access, machine = "", lan } = wish;
  const invite = lan === undefined ? null : readInvite(lan);
  const isIn = invite !== null && (await env.LAN.getByName(invite.id).admits(invite.secret));
  if (lan !== undefined && !isIn) return null;
  const row = { id: freshId(), sid, machine, address: "", room: isIn ? invite.id : "", port, access };
  const address = machine === "" ? null : await placeOfPort(env, row).locate(machine);
  return { ...row, address: address ?? "" };
}

/** The page's panel learns of a change by its tunnel, wherever it was made. */
async function announce(request: Request, env: Env, sid: string): Promise<PublishedPort[]> {
  const appUrl = ownOrigin(request, gatewaySettings(env).trustsProxy);
  const ports = await Promise.all((await portsOf(env.DB, sid)).map((row) => viewOf(env, appUrl, row)));
  await env.TUNNEL.getByName(sid).announcePorts(
    ports.map(({ id, port, access, url }) => ({ id, port, access, url })),
  );
  return ports;
}

/** Ports of the visitor's own machine, published on URLs. */
export const ports = new Hono<App>()
  .get(
    "/",
    describeRoute({
      operationId: "listPorts",
      responses: answers({ 200: ["The published ports", Listing] }, "unauthorized"),
    }),
    async (c) => {
      const owner = await ownerOf(c.req.raw, c.env);
      if (!owner) return refuse(c, { code: "unauthorized" });
      const appUrl = ownOrigin(c.req.raw, gatewaySettings(c.env).trustsProxy);
      const rows = await portsOf(c.env.DB, owner.sid);
      c.header("cache-control", "no-store");
      return c.json({ ports: await Promise.all(rows.map((row) => viewOf(c.env, appUrl, row))) }, 200);
    },
  )
  .post(
    "/",
    boundedJson(),
    describeRoute({
      operationId: "publishPort",
      responses: answers(
        { 201: ["Where the port answers", PublishedPort] },
        "unauthorized",
        "not-found",
        "bad-request",
        "too-many-requests",
      ),
    }),
    validator("json", Publication, refuseInvalid),
    async (c) => {
      const owner = await ownerOf(c.req.raw, c.env);
      if (!owner) return refuse(c, { code: "unauthorized" });
      const wish = await rowOf(c.env, owner.sid, c.req.valid("json"));
      if (!wish) return refuse(c, { code: "not-found", what: "a network with this invite" });
      const row = await savePort(c.env.DB, wish);
      if (!row)
        return refuse(c, { code: "bad-request", problem: `At most ${limits.portsPerSession} ports.` });
      const published = await announce(c.req.raw, c.env, owner.sid);
      return c.json(
        published.find(({ id }) => id === row.id)!,
        201,
      );
    },
  )
  .delete(
    "/:id",
    describeRoute({
      operationId: "unpublishPort",
      responses: answers({ 204: "It is not reachable any more" }, "unauthorized", "not-found", "bad-request"),
    }),
    params,
    async (c) => {
      const owner = await ownerOf(c.req.raw, c.env);
      if (!owner) return refuse(c, { code: "unauthorized" });
      const { id } = c.req.valid("param");
      const row = await deletePort(c.env.DB, owner.sid, id);
      if (!row) return refuse(c, { code: "not-found", what: `the port ${id}` });
      await placeOfPort(c.env, row).stopPort(id);
      await announce(c.req.raw, c.env, owner.sid);
      return c.body(null, 204);
    },
  )
  .get(
    "/:id/open",
    describeRoute({
      operationId: "openPort",
      responses: answers(
        { 303: "To the port, with a ticket for its owner" },
        "unauthorized",
        "not-found",
        "bad-request",
      ),
    }),
    params,
    async (c) => {
      const owner = await ownerOf(c.req.raw, c.env);
      if (!owner) return refuse(c, { code: "unauthorized" });
      const { id } = c.req.valid("param");
      const row = (await portsOf(c.env.DB, owner.sid)).find((known) => known.id === id);
      if (!row) return refuse(c, { code: "not-found", what: `the port ${id}` });
      const settings = gatewaySettings(c.env);
      const url = portUrl(ownOrigin(c.req.raw, settings.trustsProxy), c.env.VIRGA_PORTS_HOST, id);
      url.searchParams.set(PASS_PARAMETER, await ticketPass(settings.sessionSecret, id, Date.now()));
      c.header("cache-control", "no-store");
      return c.redirect(url.href, 303);
    },
  );
