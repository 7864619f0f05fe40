import { beforeAll, describe, expect, test } from "vitest";
import { builtSite, publisher } from "./built-site.ts";

const site = builtSite();
const SIZE = 100_000;
const disk = Uint8Array.from({ length: SIZE }, (_, at) => (at * 7) % 253);
const at = async (path: string, init?: RequestInit) => fetch(new URL(path, site.url), init);

interface Stream {
  url: string;
  size: number;
  etag: string;
}
const streamUrl = async (delivery: "s3" | "worker"): Promise<Stream> => {
  const path = `/api/images/disk/stream-url?delivery=${delivery}`;
  const response = await at(path, { method: "POST", headers: publisher });
  expect(response.status).toBe(200);
  return (await response.json()) as Stream;
};

beforeAll(async () => {
  const response = await at("/api/publish/raw/disk", { method: "PUT", headers: publisher, body: disk });
  expect([response.status, await response.json()]).toEqual([
    201,
    { sizeBytes: SIZE, etag: expect.any(String) },
  ]);
});

/** Both deliveries must read the same to a storage worker. Written: first and last byte; nothing means 416. */
const ranges: [string, [number, number] | null][] = [
  ["bytes=0-511", [0, 511]],
  ["bytes=99999-", [99_999, 99_999]],
  ["bytes=99000-200000", [99_000, 99_999]],
  ["bytes=-512", [99_488, 99_999]],
  ["bytes=-200000", [0, 99_999]],
  ["bytes=100000-", null],
  ["bytes=-0", null],
];

describe.each(["worker", "s3"] as const)("raw images by %s URL", (delivery) => {
  test("tell size and version", async () => {
    const { url, size, etag } = await streamUrl(delivery);
    expect(size).toBe(SIZE);
    expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
    expect(new URL(url).origin).toBe(site.url.origin);
  });

  test.each(ranges)("%s", async (range, bounds) => {
    const { url, etag } = await streamUrl(delivery);
    const response = await fetch(url, { headers: { range } });
    const bytes = new Uint8Array(await response.arrayBuffer());
    if (!bounds) return expect(response.status).toBe(416);
    const [first, last] = bounds;
    expect(response.status).toBe(206);
    expect(response.headers.get("content-range")).toBe(`bytes ${first}-${last}/${SIZE}`);
    expect(response.headers.get("etag")).toBe(etag);
    expect(response.headers.get("content-encoding")).toBeNull();
    return expect(bytes).toEqual(disk.slice(first, last + 1));
  });

  test("are refused when the signature does not fit", async () => {
    const { url } = await streamUrl(delivery);
    const other = new URL(url);
    other.pathname = other.pathname.replace(/disk$/, "disc");
    const unsigned = new URL(url);
    unsigned.search = "";
    for (const address of [other, unsigned]) {
      const { status } = await fetch(address);
      expect([400, 401, 403]).toContain(status);
    }
  });
});

test("HEAD on our own URL carries the length over the wire", async () => {
  const { url, etag } = await streamUrl("worker");
  const { status, headers } = await fetch(url, { method: "HEAD" });
  expect([status, headers.get("content-length"), headers.get("etag")]).toEqual([200, String(SIZE), etag]);
});

test("several ranges are refused, never answered in one body of many parts", async () => {
  const { url } = await streamUrl("worker");
  const response = await fetch(url, { headers: { range: "bytes=0-1,4-5" } });
  expect([response.status, response.headers.get("content-range")]).toEqual([416, `bytes */${SIZE}`]);
});

test("chunks go out as they were stored, whatever encoding a client likes", async () => {
  const bytes = new TextEncoder().encode("compressible ".repeat(2000));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const hash = Buffer.from(digest).toString("hex");
  const put = await at(`/api/publish/chunks/${hash}`, { method: "PUT", headers: publisher, body: bytes });
  expect(put.status).toBe(201);
  for (const attempt of ["stored", "cached"]) {
    const response = await at(`/api/chunks/${hash}`, { headers: { "accept-encoding": "gzip, br" } });
    expect(response.headers.get("content-encoding"), attempt).toBeNull();
    expect(response.headers.get("content-length"), attempt).toBe(String(bytes.length));
    expect(new Uint8Array(await response.arrayBuffer()), attempt).toEqual(bytes);
  }
});

test("publishing without the token is refused by the built Worker too", async () => {
  const response = await at("/api/publish/missing", { method: "POST", body: "{}" });
  expect([response.status, await response.json()]).toEqual([401, { code: "unauthorized" }]);
});
