import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { readDns } from "../../durable-objects/net/dns-message.ts";
import app from "../../worker/index.ts";
import { readRelayToken } from "../../worker/relay-token.ts";
import { readSession } from "../../worker/session-token.ts";
import { dnsMessage } from "../support/dns.ts";

const site = "https://virga.test";
const secret = "local-session-secret-not-for-deployment";
const ask = async (path: string, init: RequestInit = {}, more: object = {}) =>
  app.request(`${site}${path}`, init, { ...env, ...more });
const cookieOf = (response: Response): string => response.headers.get("set-cookie")!.split(";")[0]!;
const enter = async (): Promise<string> => cookieOf(await ask("/session", { method: "POST" }));
const TYPE = "application/dns-message";
afterEach(() => vi.restoreAllMocks());

describe("POST /session", () => {
  test("gives a cookie and says where things are", async () => {
    const response = await ask("/session", { method: "POST", headers: { origin: site } });
    expect(response.status).toBe(201);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("set-cookie")).toMatch(
      /^aero_session=[\w.-]+; Path=\/; Max-Age=86400; HttpOnly; SameSite=Lax; Secure$/,
    );
    expect(await response.json()).toEqual({
      session: { expiresAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) },
      endpoints: {
        tcp: "/tcp",
        tcpMux: "/tcp-mux",
        dnsQuery: "/dns-query",
        dnsJson: "/dns-json",
        l2: "/l2",
        udpRelayToken: "/udp-relay/token",
      },
      limits: {
        tcp: {
          maxConnections: 64,
          maxMessageBytes: 1_048_576,
          connectTimeoutMs: 10_000,
          idleTimeoutMs: 300_000,
        },
        dns: { maxQueryBytes: 4096 },
        l2: { maxFramePayloadBytes: 2048, maxControlPayloadBytes: 256 },
      },
    });
  });

  test("keeps the session of a good cookie and begins a new one for a bad one", async () => {
    const cookie = await enter();
    const again = await ask("/session", { method: "POST", headers: { cookie } });
    const sid = async (pair: string) =>
      (await readSession(secret, pair.slice("aero_session=".length), Date.now()))?.sid;
    expect(await sid(cookieOf(again))).toBe(await sid(cookie));
    expect(await sid(cookie)).toMatch(/^[0-9a-f-]{36}$/);
    const other = await ask("/session", { method: "POST", headers: { cookie: `${cookie}x` } });
    expect(await sid(cookieOf(other))).not.toBe(await sid(cookie));
  });

  test.each([
    ["[]", 400],
    ["1", 400],
    ["{", 400],
    ['{"origin":5}', 400],
    [`{"clientVersion":"${"x".repeat(20_000)}"}`, 400],
    ['{"clientVersion":"1","more":true}', 201],
    ["{}", 201],
  ])("with the body %s", async (body, status) => {
    const response = await ask("/session", { method: "POST", body });
    expect(response.status).toBe(status);
    if (status === 400) expect(await response.json()).toMatchObject({ error: "bad_request" });
  });

  test("not for a foreign page, and http has no Secure", async () => {
    const foreign = await ask("/session", { method: "POST", headers: { origin: "https://evil.test" } });
    expect([foreign.status, await foreign.json(), foreign.headers.get("set-cookie")]).toEqual([
      403,
      { error: "forbidden", message: "this origin is not allowed" },
      null,
    ]);
    const plain = await app.request("http://localhost/session", {}, env);
    expect([plain.status, await plain.json()]).toEqual([200, { ok: true }]);
    expect(plain.headers.get("set-cookie")).not.toContain("Secure");
  });

  test("paths come below the public URL, and a relay is told with a token for this page", async () => {
    const response = await ask(
      "/session",
      { method: "POST", headers: { origin: site } },
      {
        VIRGA_PUBLIC_URL: "https://virga.test/gate/",
        VIRGA_UDP_RELAY_URL: "https://relay.test/",
        VIRGA_UDP_RELAY_KEY: "relay",
      },
    );
    const { endpoints, udpRelay } = (await response.json()) as {
      endpoints: { l2: string };
      udpRelay: { baseUrl: string; authMode: string; token: string };
    };
    expect(endpoints.l2).toBe("/gate/l2");
    expect(udpRelay).toMatchObject({ baseUrl: "https://relay.test", authMode: "jwt" });
    const claims = await readRelayToken("relay", udpRelay.token, Date.now(), { origin: site });
    expect(claims).toMatchObject({ origin: site });
  });
});

describe("POST /udp-relay/token", () => {
  const relay = { VIRGA_UDP_RELAY_URL: "https://relay.test", VIRGA_UDP_RELAY_KEY: "relay" };
  const post = async (headers: Record<string, string>, more: object = relay) => {
    const response = await ask("/udp-relay/token", { method: "POST", headers }, more);
    const { error } = await response.json<{ error?: string }>();
    return [response.status, error ?? "token"];
  };
  test("checks the relay, the page, the session and the rate, in this order", async () => {
    const cookie = await enter();
    expect(await post({ origin: site, cookie }, {})).toEqual([404, "not_found"]);
    expect(await post({ cookie })).toEqual([403, "forbidden"]);
    expect(await post({ cookie, origin: "https://evil.test" })).toEqual([403, "forbidden"]);
    expect(await post({ origin: site })).toEqual([401, "unauthorized"]);
    const full = { limit: async () => ({ success: false }) };
    expect(await post({ origin: site, cookie }, { ...relay, RELAY_RATE: full })).toEqual([
      429,
      "too_many_requests",
    ]);
    expect(await post({ origin: site, cookie })).toEqual([200, "token"]);
  });

  test("a relay with a key, and one without", async () => {
    const headers = { origin: site, cookie: await enter() };
    const body = async (mode: string) => {
      const response = await ask(
        "/udp-relay/token",
        { method: "POST", headers },
        { ...relay, VIRGA_UDP_RELAY_AUTH: mode },
      );
      expect(response.headers.get("cache-control")).toBe("no-store");
      return response.json();
    };
    expect(await body("api_key")).toEqual({ authMode: "api_key", token: "relay" });
    expect(await body("none")).toEqual({ authMode: "none" });
  });
});

/** Stands in for the upstreams: answers by URL, counts what it is asked. */
function upstreams(answer: (url: string, question: Uint8Array) => Response | Promise<Response>) {
  return vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const body = init?.body as Uint8Array;
    return answer(new Request(input).url, body);
  });
}
const reply = (question: Uint8Array, parts: Parameters<typeof dnsMessage>[0] = {}): Response => {
  const { question: asked } = readDns(question)!;
  const name = new TextDecoder("latin1").decode(asked.name);
  const labels: string[] = [];
  for (let at = 0; name.charCodeAt(at) !== 0; at += 1 + name.charCodeAt(at))
    labels.push(name.slice(at + 1, at + 1 + name.charCodeAt(at)));
  const echo = { id: 0, flags: 0x8180, name: labels.join("."), type: asked.type };
  return new Response(dnsMessage({ ...echo, ...parts }), { headers: { "content-type": TYPE } });
};
const address = { type: 1, ttl: 60, data: [192, 0, 2, 1] };
const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const code = async (response: Response): Promise<number> =>
  new Uint8Array(await response.arrayBuffer())[3]! & 15;

describe("DNS over HTTPS", () => {
  const get = async (question: Uint8Array, cookie: string, more = {}) =>
    ask(`/dns-query?dns=${base64url(question)}`, { headers: { cookie } }, more);
  const post = async (body: Uint8Array<ArrayBuffer>, cookie: string, type = TYPE) =>
    ask("/dns-query", { method: "POST", body, headers: { cookie, "content-type": type } });

  test("GET and POST ask upstream once and keep the asker's id", async () => {
    const fetches = upstreams((_, question) => reply(question, { answers: [address] }));
    const cookie = await enter();
    const first = await get(dnsMessage({ id: 7, name: "once.test" }), cookie);
    expect([first.status, first.headers.get("content-type"), first.headers.get("cache-control")]).toEqual([
      200,
      TYPE,
      "no-store",
    ]);
    const second = await post(dnsMessage({ id: 8, name: "ONCE.test" }), cookie);
    const read = readDns(new Uint8Array(await second.arrayBuffer()))!;
    expect([read.id, read.records.length]).toEqual([8, 1]);
    expect(fetches).toHaveBeenCalledTimes(1);
    expect(fetches.mock.calls[0]![0]).toBe("https://cloudflare-dns.com/dns-query");
  });

  test("the next upstream is asked when one fails, and SERVFAIL comes in a 200 when all do", async () => {
    const cookie = await enter();
    const asked: string[] = [];
    upstreams((url, question) => {
      asked.push(url);
      return asked.length === 1 ? new Response("", { status: 500 }) : reply(question, { answers: [address] });
    });
    const more = { VIRGA_DOH_UPSTREAMS: "https://one.test/q https://two.test/q" };
    expect(await code(await get(dnsMessage({ name: "second.test" }), cookie, more))).toBe(0);
    expect(asked).toEqual(["https://one.test/q", "https://two.test/q"]);
    vi.restoreAllMocks();
    upstreams(() => Promise.reject(new Error("down")));
    const dead = await get(dnsMessage({ name: "dead.test" }), cookie, more);
    expect([dead.status, await code(dead)]).toEqual([200, 2]);
  });

  test("an upstream that talks nonsense is SERVFAIL", async () => {
    const cookie = await enter();
    upstreams(() => new Response("x".repeat(100)));
    expect(await code(await get(dnsMessage({ name: "nonsense.test" }), cookie))).toBe(2);
    vi.restoreAllMocks();
    upstreams(() => new Response("x", { headers: { "content-length": "70000" } }));
    expect(await code(await get(dnsMessage({ name: "giant.test" }), cookie))).toBe(2);
  });

  test("an answer over 4,096 bytes is cut", async () => {
    const answers = Array.from({ length: 300 }, () => address);
    upstreams((_, question) => reply(question, { answers }));
    const response = await get(dnsMessage({ name: "big.test" }), await enter());
    const bytes = new Uint8Array(await response.arrayBuffer());
    expect(bytes.length).toBeLessThan(512);
    expect(bytes[2]! & 2).toBe(2);
  });

  test.each([
    ["ANY", { type: 255 }],
    ["PTR of a private address", { name: "1.1.168.192.in-addr.arpa", type: 12 }],
  ])("%s is refused without asking anybody", async (_, parts) => {
    const fetches = upstreams(() => new Response());
    expect(await code(await get(dnsMessage(parts), await enter()))).toBe(5);
    expect(fetches).not.toHaveBeenCalled();
  });

  test.each([
    ["no question", "", 400],
    ["padding", "?dns=AAAA====", 400],
    ["the other alphabet", "?dns=AA+A", 400],
    ["bits behind the end", "?dns=AB", 400],
    ["eleven bytes", `?dns=${"A".repeat(15)}`, 400],
    ["an answer", `?dns=${Buffer.from(dnsMessage({ flags: 0x8180 })).toString("base64url")}`, 400],
    ["half a question", `?dns=${Buffer.from(dnsMessage({}).subarray(0, 20)).toString("base64url")}`, 400],
    ["more than 4,096 bytes", `?dns=${"A".repeat(5464)}`, 413],
  ])("%s is answered with FORMERR", async (_, query, status) => {
    const response = await ask(`/dns-query${query}`, { headers: { cookie: await enter() } });
    expect([response.status, response.headers.get("content-type"), await code(response)]).toEqual([
      status,
      TYPE,
      1,
    ]);
  });

  test("POST: another type is 415, too much is 413, too many is 429", async () => {
    const cookie = await enter();
    const wrong = await post(dnsMessage({}), cookie, "text/plain");
    expect([wrong.status, await code(wrong)]).toEqual([415, 1]);
    const long = await post(new Uint8Array(4097), cookie);
    expect([long.status, await code(long)]).toEqual([413, 1]);
    const full = { DNS_RATE: { limit: async () => ({ success: false }) } };
    const many = await get(dnsMessage({}), cookie, full);
    expect([many.status, many.headers.get("content-type"), await code(many)]).toEqual([429, TYPE, 2]);
  });

  test("strangers and foreign pages get JSON", async () => {
    const path = `/dns-query?dns=${base64url(dnsMessage({}))}`;
    const stranger = await ask(path);
    expect([stranger.status, await stranger.json()]).toMatchObject([401, { error: "unauthorized" }]);
    const foreign = await ask(path, { headers: { cookie: await enter(), origin: "https://evil.test" } });
    expect([foreign.status, await foreign.json()]).toMatchObject([403, { error: "forbidden" }]);
  });

  test("as JSON", async () => {
    const data = [4, 0x61, 0x22, 0x5c, 0xff, 1, 0x62];
    upstreams((_, question) =>
      reply(question, {
        answers: [
          { type: 5, ttl: 30, data: [3, 99, 100, 110, 0] },
          { name: "cdn", type: 16, ttl: 20, data },
          { name: "cdn", type: 15, ttl: 20, data: [0, 10, 0xc0, 12] },
          { name: "cdn", type: 65_000, ttl: 20, data: [1, 2] },
        ],
      }),
    );
    const response = await ask("/dns-json?name=www.mirror.test&type=TXT", {
      headers: { cookie: await enter() },
    });
    expect(response.headers.get("content-type")).toBe("application/dns-json");
    expect(await response.json()).toEqual({
      Status: 0,
      TC: false,
      RD: true,
      RA: true,
      AD: false,
      CD: false,
      Question: [{ name: "www.mirror.test.", type: 16 }],
      Answer: [
        { name: "www.mirror.test.", type: 5, TTL: 30, data: "cdn." },
        { name: "cdn.", type: 16, TTL: 20, data: String.raw`"a\"\\\255" "b"` },
        { name: "cdn.", type: 15, TTL: 20, data: "10 www.mirror.test." },
        { name: "cdn.", type: 65_000, TTL: 20, data: String.raw`\# 2 0102` },
      ],
    });
  });

  test.each([
    "/dns-json",
    "/dns-json?name=a..b",
    "/dns-json?name=a.test&type=WORDS",
    "/dns-json?name=a.test&type=65536",
  ])("%s is a bad request", async (path) => {
    const response = await ask(path, { headers: { cookie: await enter() } });
    expect([response.status, await response.json()]).toMatchObject([400, { error: "bad_request" }]);
  });
});

describe("operation", () => {
  test("ready until it drains", async () => {
    expect((await ask("/readyz")).status).toBe(200);
    const draining = await ask("/readyz", {}, { VIRGA_DRAINING: "1" });
    expect([draining.status, await draining.json()]).toEqual([
      503,
      { error: "unavailable", message: "draining", retryable: true },
    ]);
  });

  test("metrics count", async () => {
    await ask("/healthz");
    const response = await ask("/metrics");
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    const text = await response.text();
    expect(text).toMatch(/^http_requests_total\{method="GET",status="200"\} \d+$/m);
    expect(text).toMatch(/^http_request_duration_seconds_bucket\{le="\+Inf"\} [1-9]\d*$/m);
    expect(text).toMatch(/^dns_queries_total \d+$/m);
    for (const line of text.trimEnd().split("\n"))
      expect(line).toMatch(/^(# TYPE \S+ (counter|gauge|histogram)|\S+ \S+)$/);
  });

  test("without a secret nothing is minted", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
    const response = await ask("/session", { method: "POST" }, { VIRGA_SESSION_SECRET: "" });
    expect([response.status, response.headers.get("set-cookie")]).toEqual([500, null]);
    expect(log).toHaveBeenCalledOnce();
  });
});
