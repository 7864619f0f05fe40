import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { sign } from "../../worker/signed-url.ts";
import { signedPath } from "../../worker/raw-images.ts";
import { emptySite, get, outcome, post, publisher, send } from "./site.ts";

emptySite();
const SIZE = 10_000;
const disk = Uint8Array.from({ length: SIZE }, (_, at) => at % 251);
const secret = "local-signing-key-not-for-deployment";
const definition = {
  version: 1,
  memoryMiB: 64,
  boot: [],
  disks: [{ kind: "raw", imageId: "disk.img", sizeBytes: SIZE }],
};
let etag = "";
let signed = "";

/** Everything after the origin of a signed URL. */
const pathOf = (url: string): string => url.slice(new URL(url).origin.length);

beforeEach(async () => {
  etag = (await env.STORE.put("raw/disk.img", disk))!.httpEtag;
  const expires = Math.floor(Date.now() / 1000) + 60;
  signed = await signedPath(secret, { id: "disk.img", etag, sizeBytes: SIZE, expires });
});

describe("ranges", () => {
  const parts: [string, number, number][] = [
    ["bytes=0-0", 0, 0],
    ["bytes=0-511", 0, 511],
    ["bytes=9999-9999", 9999, 9999],
    ["bytes=9000-", 9000, 9999],
    ["bytes=0-", 0, 9999],
    ["bytes=9990-20000", 9990, 9999],
    ["bytes=-1", 9999, 9999],
    ["bytes=-10000", 0, 9999],
    ["bytes=-99999", 0, 9999],
    ["Bytes = 5-6 ", 5, 6],
  ];
  test.each(parts)("%s", async (range, first, last) => {
    const response = await get(signed, { range });
    expect(response.status).toBe(206);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-range": `bytes ${first}-${last}/${SIZE}`,
      "content-length": String(last - first + 1),
      "content-type": "application/octet-stream",
      "cache-control": "private, no-store, no-transform",
      "accept-ranges": "bytes",
      etag,
    });
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(disk.slice(first, last + 1));
  });

  test.each([
    "bytes=10000-",
    "bytes=10000-10001",
    "bytes=5-4",
    "bytes=-0",
    "bytes=-",
    "bytes=",
    "bytes=a-b",
    "bytes=0x0-1",
    "bytes=0-1,2-3",
    "bytes=0-1, 2-3",
    "bytes=0-9999999999999999999999",
    "bytes=1.5-3",
    "bytes 0-1",
    "nonsense",
  ])("%s cannot be satisfied", async (range) => {
    const response = await get(signed, { range });
    expect(response.headers.get("content-range")).toBe(`bytes */${SIZE}`);
    expect(await outcome(response)).toEqual([416, { code: "out-of-range", sizeBytes: SIZE }]);
  });

  test("in other units are ignored", async () => {
    const response = await get(signed, { range: "lines=0-1" });
    expect([response.status, response.headers.get("content-range")]).toEqual([200, null]);
    expect((await response.arrayBuffer()).byteLength).toBe(SIZE);
  });

  test("of an empty image cannot be satisfied; the whole of it can be read", async () => {
    const empty = await env.STORE.put("raw/empty", "");
    const grant = { id: "empty", etag: empty!.httpEtag, sizeBytes: 0, expires: 4_000_000_000 };
    const path = await signedPath(secret, grant);
    expect((await get(path, { range: "bytes=0-" })).status).toBe(416);
    expect((await get(path, { range: "bytes=-1" })).status).toBe(416);
    const whole = await get(path);
    expect([whole.status, await whole.text()]).toEqual([200, ""]);
  });
});

describe("conditions", () => {
  const range = "bytes=1-2";
  const cases: [string, Record<string, string>, number][] = [
    ["If-Range with this ETag", { range, "if-range": "ETAG" }, 206],
    ["If-Range with another ETag", { range, "if-range": '"other"' }, 200],
    ["If-Range with a weak ETag", { range, "if-range": "W/ETAG" }, 200],
    ["If-Range with a date", { range, "if-range": "Sat, 21 Nov 2026 00:00:00 GMT" }, 200],
    ["If-None-Match with this ETag", { range, "if-none-match": "ETAG" }, 304],
    ["If-None-Match with a weak one", { "if-none-match": 'W/ETAG, "other"' }, 304],
    ["If-None-Match with any", { "if-none-match": "*" }, 304],
    ["If-None-Match with another", { range, "if-none-match": '"other"' }, 206],
    ["If-Match with this ETag", { range, "if-match": "ETAG" }, 206],
    ["If-Match with another", { range, "if-match": '"other"' }, 412],
    ["If-Match with a weak one", { range, "if-match": "W/ETAG" }, 412],
  ];
  test.each(cases)("%s", async (_name, headers, status) => {
    const filled = Object.entries(headers).map(([name, value]) => [name, value.replace("ETAG", etag)]);
    const response = await get(signed, Object.fromEntries(filled) as Record<string, string>);
    expect(response.status).toBe(status);
    await response.arrayBuffer();
  });

  test("HEAD tells size and version, whatever range it names", async () => {
    const response = await send("HEAD", signed, undefined, { range });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe(String(SIZE));
    expect([response.headers.get("etag"), response.headers.get("accept-ranges")]).toEqual([etag, "bytes"]);
    expect(await response.text()).toBe("");
  });

  test("a replaced image is never mixed with the one that was signed", async () => {
    await env.STORE.put("raw/disk.img", new Uint8Array(SIZE));
    const changed = [412, { code: "image-changed", what: "disk.img" }];
    expect(await outcome(await get(signed, { range }))).toEqual(changed);
    expect((await send("HEAD", signed)).status).toBe(412);
    await env.STORE.delete("raw/disk.img");
    expect((await get(signed, { range })).status).toBe(404);
    expect((await send("HEAD", signed)).status).toBe(404);
  });
});

describe("signatures", () => {
  test("cover the id, the version, the size and the end", async () => {
    const url = new URL(signed, "http://localhost");
    const changed: [string, string][] = [
      ["etag", "0".repeat(32)],
      ["size", "20000"],
      ["expires", "4000000000"],
    ];
    for (const [key, value] of changed) {
      const other = new URL(url);
      other.searchParams.set(key, value);
      expect(await outcome(await get(other.pathname + other.search)), key).toEqual([
        401,
        { code: "unauthorized" },
      ]);
    }
    expect((await get(signed.replace("disk.img", "disk.imh"))).status).toBe(401);
  });

  test("have one form", async () => {
    const url = new URL(signed, "http://localhost");
    const good = url.searchParams.get("signature")!;
    const other = good.at(-1) === "A" ? "E" : "A";
    const unused = good.slice(0, -1) + String.fromCharCode(good.charCodeAt(42) + 1);
    for (const signature of [
      "",
      "x",
      `${good}=`,
      `${good}A`,
      good.slice(0, -1) + other,
      unused,
      good.replace(/./, "+"),
    ]) {
      url.searchParams.set("signature", signature);
      expect((await get(url.pathname + url.search)).status, signature).toBe(401);
    }
    for (const key of ["etag", "size", "expires", "signature"]) {
      const less = new URL(signed, "http://localhost");
      less.searchParams.delete(key);
      expect((await get(less.pathname + less.search)).status, key).toBe(400);
    }
  });

  test("run out", async () => {
    const now = Math.floor(Date.now() / 1000);
    const path = await signedPath(secret, { id: "disk.img", etag, sizeBytes: SIZE, expires: now });
    expect(await outcome(await get(path))).toEqual([403, { code: "expired" }]);
  });

  test("need a real secret", async () => {
    const grant = { id: "disk.img", etag, sizeBytes: SIZE, expires: 1 };
    for (const weak of ["", "short"]) await expect(sign(weak, grant)).rejects.toThrow("VIRGA_SIGNING_KEY");
  });

  test("are those of RFC 2104 over five lines", async () => {
    const grant = { id: "a", etag: '"b"', sizeBytes: 3, expires: 2_000_000_000 };
    expect(await sign("0123456789abcdef", grant)).toBe("6gBDZub8_aZ8UDqrjpXRjnuJcD_780qoDYYNABM9Im0");
  });
});

describe("stream URLs", () => {
  const shared = async () => {
    const boot = [{ id: "a", label: "A", kernel: "f".repeat(64), commandLine: "" }];
    const image = JSON.stringify({ ...definition, boot });
    await env.DB.batch([
      env.DB.prepare(
        "INSERT INTO images VALUES ('1', 'raw', 'Raw', '', 'ready', 10000, 10000, ?, '2026-11-21')",
      ).bind(image),
      env.DB.prepare("INSERT INTO shared_raw_disks VALUES ('disk.img', 'raw')"),
    ]);
  };

  test("are for what the catalogue shares, and for publishers", async () => {
    const path = "/api/images/disk.img/stream-url";
    const notFound = [404, { code: "not-found", what: "the raw image disk.img" }];
    expect(await outcome(await send("POST", path, undefined, {}))).toEqual(notFound);
    expect((await send("POST", path)).status).toBe(200);
    await shared();
    const response = await send("POST", path, undefined, {});
    expect(response.headers.get("cache-control")).toBe("no-store");
    const answer = (await response.json()) as { url: string; auth: { expiresAt: string } };
    expect(answer).toEqual({
      url: expect.stringMatching(/^http:\/\/localhost:8787\/api\/raw\/disk\.img\?etag=/),
      auth: { type: "url", expiresAt: expect.stringMatching(/Z$/) },
      size: SIZE,
      etag,
    });
    const secondsLeft = (Date.parse(answer.auth.expiresAt) - Date.now()) / 1000;
    expect(secondsLeft).toBeGreaterThan(590);
    expect(secondsLeft).toBeLessThanOrEqual(600);
    expect((await get(pathOf(answer.url), { range: "bytes=0-9" })).status).toBe(206);
  });

  test("of the gateway have its shape, failures too", async () => {
    await shared();
    const [status, answer] = await outcome(await get("/v1/images/disk.img/stream-url"));
    expect([status, answer]).toEqual([
      200,
      expect.objectContaining({ size: SIZE, etag, auth: expect.anything() }),
    ]);
    expect(await outcome(await get("/v1/images/none/stream-url"))).toEqual([
      404,
      { error: { code: "NOT_FOUND", message: expect.any(String) } },
    ]);
  });

  test("presigned by the SDK on wish: SigV4, ten minutes, no checksum parameter", async () => {
    await shared();
    const [status, answer] = await outcome(
      await send("POST", "/api/images/disk.img/stream-url?delivery=s3", undefined, {}),
    );
    expect(status).toBe(200);
    const { pathname, searchParams } = new URL((answer as { url: string }).url);
    expect(pathname).toBe("/cdn-cgi/local/r2/s3/virga-store/raw/disk.img");
    expect(searchParams.get("X-Amz-Expires")).toBe("600");
    expect(searchParams.get("X-Amz-Signature")).toMatch(/^[0-9a-f]{64}$/);
    expect([...searchParams.keys()].filter((name) => /checksum/i.test(name))).toEqual([]);
  });

  test("by S3 are not to be had where none is configured", async () => {
    const { default: app } = await import("../../worker/index.ts");
    const request = new Request("https://virga.example/api/images/disk.img/stream-url?delivery=s3", {
      method: "POST",
      headers: publisher,
    });
    expect(await outcome(await app.request(request, {}, env))).toEqual([
      501,
      { code: "unsupported", feature: "S3_ENDPOINT" },
    ]);
  });

  test("are refused politely when asked for too often", async () => {
    const { default: app } = await import("../../worker/index.ts");
    const limit = vi.fn(async () => ({ success: false }));
    const busy = { ...env, SIGNING_RATE: { limit } } as unknown as Env;
    const request = new Request("https://virga.example/api/images/disk.img/stream-url", {
      method: "POST",
      headers: { "cf-connecting-ip": "192.0.2.1" },
    });
    const response = await app.request(request, {}, busy);
    expect([response.status, response.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(limit).toHaveBeenCalledWith({ key: "192.0.2.1" });
  });

  test.each(["", "%2e%2e", ".hidden", "a%2fb", "x".repeat(129), "a b"])("refuse the id %s", async (id) => {
    const { status } = await send("POST", `/api/images/${id}/stream-url`);
    expect([400, 404]).toContain(status);
  });
});

describe("uploads of raw images", () => {
  test("in one body, which says how long it is", async () => {
    const response = await send("PUT", "/api/publish/raw/one", disk);
    expect(await outcome(response)).toEqual([201, { sizeBytes: SIZE, etag: expect.any(String) }]);
    expect((await env.STORE.head("raw/one"))?.size).toBe(SIZE);
    const endless = new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(65536));
      },
    });
    expect(await outcome(await send("PUT", "/api/publish/raw/two", endless))).toEqual([
      400,
      { code: "bad-request", problem: "Content-Length is needed." },
    ]);
    const huge = await send("PUT", "/api/publish/raw/three", "x", {
      ...publisher,
      "content-length": "95000001",
    });
    expect([400, 413]).toContain(huge.status);
  });

  test("in parts, in any order", async () => {
    const begun = await send("POST", "/api/publish/raw/big/uploads");
    const { uploadId, partBytes } = (await begun.json()) as { uploadId: string; partBytes: number };
    expect(partBytes).toBeGreaterThanOrEqual(5 * 2 ** 20);
    const upload = `/api/publish/raw/big/uploads/${uploadId}`;
    const first = new Uint8Array(5 * 2 ** 20).fill(1);
    const two = await (await send("PUT", `${upload}/parts/2`, disk)).json();
    const one = await (await send("PUT", `${upload}/parts/1`, first)).json();
    const whole = await post(`${upload}/complete`, { parts: [two, one] });
    expect(await outcome(whole)).toEqual([200, { sizeBytes: first.length + SIZE, etag: expect.any(String) }]);
    const object = await env.STORE.get("raw/big", { range: { offset: first.length, length: 4 } });
    expect(new Uint8Array(await object!.arrayBuffer())).toEqual(disk.slice(0, 4));
  });

  test("that nobody began, with parts that are not there, or given up", async () => {
    expect((await send("PUT", "/api/publish/raw/x/uploads/none/parts/1", disk)).status).toBe(400);
    const begun = await send("POST", "/api/publish/raw/x/uploads");
    const { uploadId } = (await begun.json()) as { uploadId: string };
    const upload = `/api/publish/raw/x/uploads/${uploadId}`;
    expect((await post(`${upload}/complete`, { parts: [{ partNumber: 1, etag: "e" }] })).status).toBe(400);
    const part = { partNumber: 1, etag: "e" };
    for (const parts of [[], [{ partNumber: 0, etag: "e" }], [part, part]])
      expect((await post(`${upload}/complete`, { parts })).status).toBe(400);
    for (const number of ["0", "10001", "x", "1.5"])
      expect((await send("PUT", `${upload}/parts/${number}`, disk)).status, number).toBe(400);
    expect((await send("DELETE", upload)).status).toBe(204);
    expect((await send("PUT", `${upload}/parts/1`, disk)).status).toBe(400);
    expect((await post(`${upload}/complete`, { parts: [{ partNumber: 1, etag: "e" }] })).status).toBe(400);
  });
});
