import { beforeAll, describe, expect, test } from "vitest";
import { securityHeaders } from "../../worker/security-headers.ts";
import { connectSources, s3Endpoint } from "../../infra/static-headers.ts";
import { builtSite } from "./built-site.ts";

const site = builtSite();
const policy = securityHeaders(s3Endpoint(), connectSources());
const at = async (path: string, init?: RequestInit) => fetch(new URL(path, site.url), init);

/** Names of the hashed files that the page loads. */
let assets: string[] = [];
beforeAll(async () => {
  const page = await (await at("/")).text();
  assets = [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1]!);
});

describe("every static file and every answer carries the list of security headers", () => {
  test.each(["/", "/m/debian", "/api/images", "/api/none", "/healthz", "/version", "/virga.config.json"])(
    "%s",
    async (path) => {
      const { headers } = await at(path);
      for (const [name, value] of policy) expect(headers.get(name), name).toBe(value);
    },
  );

  test("hashed files", async () => {
    expect(assets.length).toBeGreaterThan(0);
    for (const asset of assets) {
      const { status, headers } = await at(asset);
      expect(status, asset).toBe(200);
      for (const [name, value] of policy) expect(headers.get(name), `${asset} ${name}`).toBe(value);
    }
  });
});

describe("caching", () => {
  test("pages, the service worker and the configuration are asked for again", async () => {
    for (const path of ["/", "/m/debian", "/service-worker.js", "/virga.config.json"])
      expect((await at(path)).headers.get("cache-control"), path).toBe("no-cache");
  });

  test("hashed files are kept", async () => {
    for (const asset of assets)
      expect((await at(asset)).headers.get("cache-control"), asset).toBe(
        "public, max-age=31536000, immutable",
      );
  });

  test("an unchanged page is not sent again", async () => {
    const etag = (await at("/")).headers.get("etag");
    expect(etag).not.toBeNull();
    expect((await at("/", { headers: { "if-none-match": etag! } })).status).toBe(304);
  });
});

test("a machine's address is the app", async () => {
  const [home, machine] = await Promise.all(["/", "/m/debian"].map(async (path) => (await at(path)).text()));
  expect(machine).toBe(home);
});

test("the page has no inline script, which the policy would refuse", async () => {
  const page = await (await at("/")).text();
  expect(page.match(/<script(?![^>]*\ssrc=)[^>]*>/g)).toBeNull();
});

test("the service worker lists files that are there", async () => {
  const script = await (await at("/service-worker.js")).text();
  expect(script).not.toContain("__FILES__");
  const paths = [...new Set(script.match(/"\/[^"]*"/g))].map((quoted) => JSON.parse(quoted) as string);
  const files = paths.filter((path) => path.startsWith("/assets/") || path === "/");
  expect(files.length).toBeGreaterThan(2);
  for (const path of files) {
    const { status, headers } = await at(path);
    expect([status, headers.get("content-type") === null], path).toEqual([200, false]);
  }
});
