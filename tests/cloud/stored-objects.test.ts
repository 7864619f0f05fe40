import { describe, expect, test } from "vitest";
import { emptySite, get, outcome, post, publisher, putChunk, send, sha256 } from "./site.ts";

emptySite();
const bytes = crypto.getRandomValues(new Uint8Array(5000));

describe("chunks", () => {
  test("are immutable octets under their hash", async () => {
    const hash = await putChunk(bytes);
    const response = await get(`/api/chunks/${hash}`);
    expect(response.status).toBe(200);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "cache-control": "public, max-age=31536000, immutable, no-transform",
      "content-type": "application/octet-stream",
      "content-length": "5000",
      "cross-origin-resource-policy": "same-origin",
      etag: `"${hash}"`,
    });
    expect(response.headers.get("content-encoding")).toBeNull();
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  });

  test("come from the cache the second time, whole even for a Range", async () => {
    const hash = await putChunk(bytes);
    await (await get(`/api/chunks/${hash}?a=1`)).arrayBuffer();
    const again = await get(`/api/chunks/${hash}?a=2`, { range: "bytes=0-9" });
    expect(again.status).toBe(200);
    expect((await again.arrayBuffer()).byteLength).toBe(5000);
    expect(again.headers.get("etag")).toBe(`"${hash}"`);
  });

  test("answer HEAD and conditional GET", async () => {
    const hash = await putChunk(bytes);
    const head = await send("HEAD", `/api/chunks/${hash}`);
    expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([200, "5000", ""]);
    for (const tag of [`"${hash}"`, `W/"${hash}"`, `"x", "${hash}"`, "*"]) {
      const response = await get(`/api/chunks/${hash}`, { "if-none-match": tag });
      expect([response.status, await response.text()], tag).toEqual([304, ""]);
      expect(response.headers.get("cache-control"), tag).toContain("immutable");
    }
    expect((await get(`/api/chunks/${hash}`, { "if-none-match": '"other"' })).status).toBe(200);
  });

  test("that are not there are a failure that nobody keeps", async () => {
    const hash = "0".repeat(64);
    const response = await get(`/api/chunks/${hash}`, { "if-none-match": "*" });
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await outcome(response)).toEqual([404, { code: "not-found", what: `chunks/${hash}` }]);
  });

  test.each(["x", "A".repeat(64), `${"0".repeat(64)}0`, "..%2fmanifests%2fx", "%00", "%ff"])(
    "have no other names: %s",
    async (name) => {
      const response = await get(`/api/chunks/${name}`);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code: "bad-request" });
    },
  );
});

describe("traces", () => {
  const manifest = "a".repeat(64);
  const path = `/api/traces/${manifest}/shell`;

  const put = async (value: unknown) =>
    post(`/api/publish/traces/${manifest}/shell`, value, { ...publisher }, "PUT");

  test("are kept for a minute and may be replaced", async () => {
    for (const chunks of [[1, 2], [3]]) expect((await put({ version: 1, chunks })).status).toBe(201);
    const response = await get(path);
    expect(response.headers.get("cache-control")).toBe("public, max-age=60, no-transform");
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual({ version: 1, chunks: [3] });
    const known = await get(path, { "if-none-match": response.headers.get("etag")! });
    expect([known.status, await known.text()]).toEqual([304, ""]);
  });

  test("hold chunk numbers and are bounded", async () => {
    for (const value of [
      {},
      { version: 2, chunks: [] },
      { version: 1, chunks: [-1] },
      { version: 1, chunks: ["1"] },
    ])
      expect((await put(value)).status, JSON.stringify(value)).toBe(400);
    expect((await put({ version: 1, chunks: Array(65537).fill(1) })).status).toBe(400);
    expect((await put({ version: 1, chunks: Array(600_000).fill(1) })).status).toBe(413);
    expect((await get(path)).status).toBe(404);
  });

  test("belong to a manifest and a boot entry by name", async () => {
    expect((await get(path)).status).toBe(404);
    expect((await get(`/api/traces/${manifest}/Shell`)).status).toBe(400);
    expect((await get("/api/traces/x/shell")).status).toBe(400);
  });
});

test("manifests are served like chunks", async () => {
  const hash = await sha256(bytes);
  expect(await outcome(await get(`/api/manifests/${hash}`))).toEqual([
    404,
    { code: "not-found", what: `manifests/${hash}` },
  ]);
});
