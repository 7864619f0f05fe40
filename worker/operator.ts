import { Hono } from "hono";
import { createMiddleware } from "hono/factory";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { HangUpList, HangUpReach, OpenTunnels } from "#protocol/operator.ts";
import type { App } from "./app.ts";
import { registerNames } from "../durable-objects/policy/registers.ts";
import { EVERYBODY, readSubject } from "../durable-objects/policy/subjects.ts";
import { boundedJson } from "./body.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { hasBearer } from "./publisher.ts";

const SENTENCE = "The operator has switched the internet off.";
const MAX_SENTENCE_CHARS = 120;
const MAX_MINUTES = 60 * 24 * 366;

const subject = z.string().check(z.minLength(1), z.maxLength(1300));
const Wish = z.strictObject({
  subject,
  sentence: z._default(z.string().check(z.minLength(1), z.maxLength(MAX_SENTENCE_CHARS)), SENTENCE),
  /** Absent: until it is taken back. */
  minutes: z.optional(z.number().check(z.int(), z.minimum(1), z.maximum(MAX_MINUTES))),
});
const operatorsOnly = createMiddleware<App>(async (c, next) => {
  const { VIRGA_OPERATOR_TOKEN } = c.env as unknown as { readonly VIRGA_OPERATOR_TOKEN?: string };
  const isOperator = await hasBearer(c.req.header("authorization"), VIRGA_OPERATOR_TOKEN);
  return isOperator ? next() : refuse(c, { code: "unauthorized" });
});

const registers = (env: Env) => registerNames.map((name) => env.REGISTER.getByName(name));
const rfc3339 = (ms: number): string => new Date(ms).toISOString();
const security = [{ operator: [] }];

/** For those who run the site and know VIRGA_OPERATOR_TOKEN: who is connected, and the kill switch. */
export const operator = new Hono<App>()
  .use(operatorsOnly)
  .get(
    "/tunnels",
    describeRoute({
      operationId: "listTunnels",
      security,
      responses: answers({ 200: ["Open tunnels and rooms", OpenTunnels] }, "unauthorized", "bad-request"),
    }),
    validator("query", z.object({ subject: z.optional(subject) }), refuseInvalid),
    async (c) => {
      const wanted = readSubject(c.req.valid("query").subject ?? EVERYBODY);
      if (wanted === null) return refuse(c, { code: "bad-request", problem: "This names nobody." });
      const lists = await Promise.all(registers(c.env).map((register) => register.open(wanted)));
      const tunnels = lists.flat().map(({ kind, subjects, gauges, seenAtMs }) => ({
        kind,
        subjects: [...subjects],
        connections: gauges.l2_tcp_conns_active ?? 0,
        sockets: gauges.virga_tunnel_sockets_active ?? 0,
        seenAt: rfc3339(seenAtMs),
      }));
      return c.json({ tunnels }, 200, { "cache-control": "no-store" });
    },
  )
  .get(
    "/hang-ups",
    describeRoute({
      operationId: "listHangUps",
      security,
      responses: answers({ 200: ["Who is not let in", HangUpList] }, "unauthorized"),
    }),
    async (c) => {
      // All registers know them all.
      const hangUps = (await registers(c.env)[0]!.hangUps()).map(({ untilMs, ...row }) => ({
        ...row,
        until: untilMs === null ? null : rfc3339(untilMs),
      }));
      return c.json({ hangUps }, 200, { "cache-control": "no-store" });
    },
  )
  .post(
    "/hang-ups",
    boundedJson(),
    describeRoute({
      operationId: "hangUp",
      security,
      responses: answers({ 200: ["They are told to go", HangUpReach] }, "unauthorized", "bad-request"),
    }),
    validator("json", Wish, refuseInvalid),
    async (c) => {
      const { subject: text, sentence, minutes } = c.req.valid("json");
      const named = readSubject(text);
      if (named === null) return refuse(c, { code: "bad-request", problem: "This names nobody." });
      const untilMs = minutes === undefined ? null : Date.now() + minutes * 60_000;
      const wish = { subject: named, sentence, untilMs };
      const told = await Promise.all(registers(c.env).map((register) => register.hangUp(wish)));
      const sum = (of: "reached" | "left"): number => told.reduce((all, one) => all + one[of], 0);
      return c.json({ reached: sum("reached"), left: sum("left") }, 200, { "cache-control": "no-store" });
    },
  )
  .delete(
    "/hang-ups/:subject",
    describeRoute({
      operationId: "allow",
      security,
      responses: answers({ 204: "They are let in again" }, "unauthorized", "not-found", "bad-request"),
    }),
    validator("param", z.object({ subject }), refuseInvalid),
    async (c) => {
      const named = readSubject(c.req.valid("param").subject);
      if (named === null) return refuse(c, { code: "bad-request", problem: "This names nobody." });
      const allowed = await Promise.all(registers(c.env).map((register) => register.allow(named)));
      if (!allowed.includes(true)) return refuse(c, { code: "not-found", what: `a hang-up of ${named}` });
      return c.body(null, 204);
    },
  );
