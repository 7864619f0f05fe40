import { type Context, Hono } from "hono";
import { describeRoute } from "hono-openapi";
import * as z from "zod/mini";
import { headerAnswer } from "../durable-objects/net/dns-answer.ts";
import { DnsCache } from "../durable-objects/net/dns-cache.ts";
import { dnsCodes, readDns } from "../durable-objects/net/dns-message.ts";
import { Resolver } from "../durable-objects/net/dns.ts";
import type { App } from "./app.ts";
import { fromBase64Url } from "./base64url.ts";
import { boundedBody } from "./body.ts";
import { dnsJson, dnsQuestion } from "./dns-json.ts";
import { askUpstreams } from "./doh.ts";
import { gatewayAnswers, refuseGateway } from "./gateway-failures.ts";
import { type GatewaySettings, gatewaySettings } from "./gateway-settings.ts";
import { limits } from "./limits.ts";
import { count } from "./metrics.ts";
import { judgeOrigin, ownOrigin } from "./origins.ts";
import { readSession, sessionCookie } from "./session-token.ts";
import { visitorRate } from "./visitor-rate.ts";

/** DNS over HTTPS for pages with a session (RFC 8484), with the rules and the cache of the guests' resolver. */
const TYPE = "application/dns-message";
/** Of this isolate. Answers are the same for everybody, so visitors share it. */
const cache = new DnsCache();

type Refusal = 400 | 413 | 415 | 429;

/** A refusal that is a DNS message all the same: clients of this format read nothing else. */
function refuseDns(c: Context, status: Refusal, code: number): Response {
  return c.body(headerAnswer(new Uint8Array(12), code), status, { "content-type": TYPE });
}

/** Undefined: the caller may ask. */
async function refuseStranger(c: Context<App>, settings: GatewaySettings): Promise<Response | undefined> {
  c.header("cache-control", "no-store");
  const { raw } = c.req;
  const cookie = sessionCookie(raw.headers.get("cookie"));
  if (!(await readSession(settings.sessionSecret, cookie ?? "", Date.now())))
    return refuseGateway(c, "unauthorized", "POST /session gives a session");
  const own = ownOrigin(raw, settings.trustsProxy).origin;
  // A page's own GET carries no Origin.
  const verdict = judgeOrigin(raw.headers.get("origin"), own, settings.origins);
  return verdict === "denied" ? refuseGateway(c, "forbidden", "this origin is not allowed") : undefined;
}

/** One resolver per request: what one visitor's request waits for is not another's to finish. */
async function resolve(settings: GatewaySettings, question: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  count("dns_queries_total");
  let upstream: { query: number; message: Uint8Array<ArrayBuffer> } | undefined;
  let answer: Uint8Array | undefined;
  const resolver = new Resolver({
    cache,
    resolve: (query, message) => void (upstream = { query, message: message.slice() }),
  });
  resolver.ask(question, Date.now(), (message) => void (answer = message), "https");
  if (resolver.counts.cacheHits > 0) count("dns_cache_hits_total");
  if (upstream) {
    count("dns_cache_misses_total");
    const message = await askUpstreams(settings.dohUpstreams, upstream.message);
    resolver.onAnswer(upstream.query, message, Date.now());
  }
  return (answer ?? headerAnswer(new Uint8Array(12), dnsCodes.formatError)).slice();
}

/** The question of a GET or a POST, or why it is none. */
async function questionOf(request: Request): Promise<Uint8Array | Refusal> {
  if (request.method === "POST") {
    if (request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() !== TYPE) return 415;
    const body = await boundedBody(request, limits.dnsQueryBytes);
    return body.ok ? body.value : 413;
  }
  const text = new URL(request.url).searchParams.get("dns");
  if (text === null) return 400;
  if (text.length > Math.ceil((limits.dnsQueryBytes * 4) / 3)) return 413;
  return fromBase64Url(text) ?? 400;
}

async function query(c: Context<App>): Promise<Response> {
  const settings = gatewaySettings(c.env);
  const refused = await refuseStranger(c, settings);
  if (refused) return refused;
  const question = await questionOf(c.req.raw);
  if (typeof question === "number") return refuseDns(c, question, dnsCodes.formatError);
  if (!(await visitorRate(c, "DNS_RATE"))) return refuseDns(c, 429, dnsCodes.serverFailure);
  // What has no header, or is an answer, cannot be answered.
  if (question.length < 12 || (question[2]! & 0x80) !== 0) return refuseDns(c, 400, dnsCodes.formatError);
  const answer = await resolve(settings, question);
  // Nobody was asked about what is no question; the body says so with the asker's id.
  const status = readDns(question) || opcodeOf(question) !== 0 ? 200 : 400;
  return c.body(answer, status, { "content-type": TYPE });
}

const opcodeOf = (message: Uint8Array): number => (message[2]! >> 3) & 15;

const describeQuery = (operationId: string) =>
  describeRoute({
    operationId,
    responses: {
      ...gatewayAnswers(
        { 200: { description: "The answer, RCODE included; SERVFAIL if no upstream answers", type: TYPE } },
        "unauthorized",
        "forbidden",
      ),
      400: { description: "Not a question: FORMERR", content: { [TYPE]: {} } },
      413: { description: "Longer than 4,096 bytes: FORMERR", content: { [TYPE]: {} } },
      415: { description: "Another content type: FORMERR", content: { [TYPE]: {} } },
      429: { description: "Too many: SERVFAIL", content: { [TYPE]: {} } },
    },
  });

const Answer = z.object({
  Status: z.number(),
  Question: z.array(z.object({ name: z.string(), type: z.number() })),
  Answer: z.optional(
    z.array(z.object({ name: z.string(), type: z.number(), TTL: z.number(), data: z.string() })),
  ),
});

export const dns = new Hono<App>()
  .get("/dns-query", describeQuery("getDns"), (c) => query(c))
  .post("/dns-query", describeQuery("postDns"), (c) => query(c))
  .get(
    "/dns-json",
    describeRoute({
      operationId: "getDnsJson",
      responses: gatewayAnswers(
        { 200: { description: "The answer", type: "application/dns-json", schema: Answer } },
        "bad_request",
        "unauthorized",
        "forbidden",
        "too_many_requests",
      ),
    }),
    async (c) => {
      const settings = gatewaySettings(c.env);
      const refused = await refuseStranger(c, settings);
      if (refused) return refused;
      const question = dnsQuestion(c.req.query("name") ?? "", c.req.query("type") ?? "A");
      if (!question || !c.req.query("name"))
        return refuseGateway(c, "bad_request", "name and type are needed");
      if (!(await visitorRate(c, "DNS_RATE"))) return refuseGateway(c, "too_many_requests");
      const message = readDns(await resolve(settings, question));
      if (!message) return refuseGateway(c, "internal_error");
      return c.body(JSON.stringify(dnsJson(message)), 200, { "content-type": "application/dns-json" });
    },
  );
