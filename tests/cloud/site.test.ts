import { env } from "cloudflare:workers";
import { expect, test, vi } from "vitest";
import { securityHeaders } from "../../worker/security-headers.ts";
import app from "../../worker/index.ts";
import { emptySite, get, outcome, send } from "./site.ts";

emptySite();

test("health and version", async () => {
  expect(await outcome(await get("/healthz"))).toEqual([200, { ok: true }]);
  const [status, version] = await outcome(await get("/version"));
  expect(status).toBe(200);
  expect(version).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    gitSha: expect.stringMatching(/^[0-9a-f]{40}$|^unknown$/),
    builtAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
  });
});

test("every answer carries the same security headers, failures included", async () => {
  for (const path of [
    "/healthz",
    "/api/images",
    "/api/none",
    "/api/chunks/x",
    "/api/raw/x",
    "/v1/images/x/stream-url",
  ]) {
    const { headers } = await get(path);
    for (const [name, value] of securityHeaders("")) expect(headers.get(name), `${path} ${name}`).toBe(value);
  }
});

test("the policy lets the page reach the configured store, and nothing else", () => {
  const policy = (endpoint: string) => securityHeaders(endpoint).get("Content-Security-Policy");
  expect(policy("https://account.example.com/path")).toContain(
    "connect-src 'self' https://account.example.com;",
  );
  for (const endpoint of ["", "not a url"]) expect(policy(endpoint)).toContain("connect-src 'self';");
  const sources = (list: string) => securityHeaders("", list).get("Content-Security-Policy");
  expect(sources("wss://relay.example:8443 https://*.dns.example")).toContain(
    "connect-src 'self' wss://relay.example:8443 https://*.dns.example;",
  );
  for (const list of ["*", "'unsafe-inline'", "wss://a;script-src", "relay.example"])
    expect(sources(list)).toContain("connect-src 'self';");
  expect(policy("")).not.toMatch(/'unsafe-eval'|\*|http:|script-src[^;]*unsafe-inline/);
});

test("unknown paths and methods are failures, not pages", async () => {
  expect(await outcome(await get("/api/none"))).toEqual([404, { code: "not-found", what: "/api/none" }]);
  expect((await send("DELETE", "/api/images")).status).toBe(404);
});

test("our own mistakes show an incident number, and nothing else", async () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const broken = { ...env, DB: { prepare: () => raise() } } as unknown as Env;
  const raise = (): never => {
    throw new Error("secret-detail");
  };
  const response = await app.request("http://localhost/api/images", {}, broken);
  const text = await response.text();
  const incident = response.headers.get("x-incident");
  expect(response.status).toBe(500);
  expect(JSON.parse(text)).toEqual({ code: "internal", incident });
  expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
  expect(log.mock.calls[0]?.[0]).toContain(incident);
  expect(log.mock.calls[0]?.[0]).toContain("secret-detail");
  log.mockRestore();
});

test("the OpenAPI document lists every route, with schemas", async () => {
  interface Document {
    openapi: string;
    paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
  }
  const [status, document] = (await outcome(await get("/api/openapi.json"))) as [number, Document];
  expect(status).toBe(200);
  expect(document.openapi).toMatch(/^3\.1/);
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => `${method} ${path} ${operationId}`),
  );
  expect(operations.sort()).toMatchInlineSnapshot(`
    [
      "delete /api/operator/hang-ups/{subject} allow",
      "delete /api/ports/{id} unpublishPort",
      "delete /api/publish/raw/{id}/uploads/{uploadId} abortRawUpload",
      "get /api/chunks/{hash} getChunk",
      "get /api/images listImages",
      "get /api/images/{slug} getImage",
      "get /api/lans/{invite} checkInvite",
      "get /api/manifests/{hash} getManifest",
      "get /api/operator/hang-ups listHangUps",
      "get /api/operator/tunnels listTunnels",
      "get /api/ports listPorts",
      "get /api/ports/{id}/open openPort",
      "get /api/raw/{id} readRawImage",
      "get /api/traces/{manifest}/{boot} getTrace",
      "get /dns-json getDnsJson",
      "get /dns-query getDns",
      "get /healthz getHealth",
      "get /metrics getMetrics",
      "get /readyz getReadiness",
      "get /session touchSession",
      "get /v1/images/{id}/stream-url getStreamUrl",
      "get /version getVersion",
      "post /api/images/{id}/stream-url createStreamUrl",
      "post /api/lans makeLan",
      "post /api/operator/hang-ups hangUp",
      "post /api/ports publishPort",
      "post /api/publish/images publishImage",
      "post /api/publish/missing findMissingChunks",
      "post /api/publish/raw/{id}/uploads beginRawUpload",
      "post /api/publish/raw/{id}/uploads/{uploadId}/complete completeRawUpload",
      "post /dns-query postDns",
      "post /session createSession",
      "post /udp-relay/token createRelayToken",
      "put /api/publish/chunks/{hash} putChunk",
      "put /api/publish/manifests/{hash} putManifest",
      "put /api/publish/raw/{id} putRawImage",
      "put /api/publish/raw/{id}/uploads/{uploadId}/parts/{partNumber} putRawPart",
      "put /api/publish/traces/{manifest}/{boot} putTrace",
    ]
  `);
  const listing = document.paths["/api/images"]?.["get"]?.responses["200"];
  expect(JSON.stringify(listing)).toContain("storedBytes");
});
