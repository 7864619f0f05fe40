import { type Context, Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { ChunkHash } from "#protocol/ids.ts";
import { BootEntry } from "#protocol/machine-definition.ts";
import { noneMatchNames } from "./byte-range.ts";
import { Trace } from "#protocol/store-api.ts";
import type { App } from "./app.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { limits } from "./limits.ts";
import { keys } from "./store.ts";

const byHash = validator("param", z.object({ hash: ChunkHash }), refuseInvalid);
const IMMUTABLE = "public, max-age=31536000, immutable, no-transform";

const describe = (operationId: string, what: string) =>
  describeRoute({
    operationId,
    responses: answers(
      { 200: `The bytes of the ${what}, named by their SHA-256; never changes`, 304: "The caller has it" },
      "not-found",
      "bad-request",
    ),
  });

/** Content-addressed chunks: cached forever, and served without waking any object. */
export const chunks = new Hono<App>().get("/:hash", describe("getChunk", "chunk"), byHash, async (c) => {
  const { hash } = c.req.valid("param");
  return immutable(c, keys.chunk(hash), hash);
});

export const manifests = new Hono<App>().get(
  "/:hash",
  describe("getManifest", "manifest"),
  byHash,
  async (c) => {
    const { hash } = c.req.valid("param");
    return immutable(c, keys.manifest(hash), hash);
  },
);

/** Reads through the cache of this data centre. Whoever names the right ETag has the bytes already. */
async function immutable(c: Context<App>, key: string, hash: string): Promise<Response> {
  const etag = `"${hash}"`;
  const headers = { "cache-control": IMMUTABLE, etag };
  const known = c.req.header("if-none-match");
  const missing = () => refuse(c, { code: "not-found", what: key });
  if (known?.trim() === "*") return (await c.env.STORE.head(key)) ? c.body(null, 304, headers) : missing();
  if (noneMatchNames(known, etag)) return c.body(null, 304, headers);
  // By path alone: neither a query nor a Range header may split the cache, or make it answer 206.
  const cacheKey = new Request(new URL(c.req.path, c.req.url));
  const cached = await caches.default.match(cacheKey);
  if (cached) return new Response(cached.body, cached);
  const object = await c.env.STORE.get(key);
  if (!object) return missing();
  const response = new Response(object.body, {
    headers: {
      ...headers,
      "content-type": "application/octet-stream",
      "content-length": String(object.size),
    },
  });
  c.executionCtx.waitUntil(caches.default.put(cacheKey, response.clone()));
  return response;
}

const byBoot = validator("param", z.object({ manifest: ChunkHash, boot: BootEntry.shape.id }), refuseInvalid);

/** The first-touch order of earlier boots: a hint for prefetch, replaced when a better one is recorded. */
export const traces = new Hono<App>().get(
  "/:manifest/:boot",
  describeRoute({
    operationId: "getTrace",
    responses: answers(
      {
        200: ["Chunk numbers in the order that earlier boots touched them", Trace],
        304: "The caller has it",
      },
      "not-found",
      "bad-request",
    ),
  }),
  byBoot,
  async (c) => {
    const { manifest, boot } = c.req.valid("param");
    const object = await c.env.STORE.get(keys.trace(manifest, boot));
    if (!object) return refuse(c, { code: "not-found", what: `traces/${manifest}/${boot}` });
    const headers = {
      "cache-control": `public, max-age=${limits.traceSeconds}, no-transform`,
      etag: object.httpEtag,
    };
    if (noneMatchNames(c.req.header("if-none-match"), object.httpEtag)) return c.body(null, 304, headers);
    return c.body(object.body, 200, {
      ...headers,
      "content-type": "application/json",
      "content-length": String(object.size),
    });
  },
);
