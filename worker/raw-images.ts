import { Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { RawId } from "#protocol/ids.ts";
import type { App } from "./app.ts";
import { matchNames, noneMatchNames, parseRange, rangeStillHolds } from "./byte-range.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { limits } from "./limits.ts";
import { type RawGrant, isSigned, sign } from "./signed-url.ts";
import { keys } from "./store.ts";

/** What a signed URL carries in its query. The ETag goes without its quotes. */
const Query = z.object({
  etag: z.string().check(z.regex(/^[0-9A-Za-z-]{1,128}$/)),
  size: z.string().check(z.regex(/^\d{1,15}$/)),
  expires: z.string().check(z.regex(/^\d{1,12}$/)),
  signature: z.string().check(z.maxLength(64)),
});

/** The path and query under which `rawImages` answers for this grant. */
export async function signedPath(secret: string, grant: RawGrant): Promise<string> {
  const query = new URLSearchParams({
    etag: grant.etag.replaceAll('"', ""),
    size: String(grant.sizeBytes),
    expires: String(grant.expires),
    signature: await sign(secret, grant),
  });
  return `/api/raw/${encodeURIComponent(grant.id)}?${query.toString()}`;
}

/**
 * A raw image by signed URL, in single ranges (RFC 9110 §14). The size is signed, so a range is judged before the store
 * is asked; the ETag is signed and asked for, so bytes of two versions never mix.
 */
export const rawImages = new Hono<App>().get(
  "/:id",
  describeRoute({
    operationId: "readRawImage",
    responses: answers(
      { 200: "The whole image", 206: "One range of it", 304: "The caller has it" },
      "unauthorized",
      "expired",
      "not-found",
      "image-changed",
      "out-of-range",
      "bad-request",
    ),
  }),
  validator("param", z.object({ id: RawId }), refuseInvalid),
  validator("query", Query, refuseInvalid),
  async (c) => {
    const query = c.req.valid("query");
    const etag = `"${query.etag}"`;
    const sizeBytes = Number(query.size);
    const grant = { id: c.req.valid("param").id, etag, sizeBytes, expires: Number(query.expires) };
    if (!(await isSigned(c.env.VIRGA_SIGNING_KEY, grant, query.signature)))
      return refuse(c, { code: "unauthorized" });
    if (grant.expires * 1000 <= Date.now()) return refuse(c, { code: "expired" });
    if (!matchNames(c.req.header("if-match"), etag))
      return refuse(c, { code: "image-changed", what: grant.id });
    const headers = {
      "accept-ranges": "bytes",
      "cache-control": "private, no-store, no-transform",
      "content-type": "application/octet-stream",
      etag,
    };
    if (noneMatchNames(c.req.header("if-none-match"), etag)) return c.body(null, 304, headers);
    const key = keys.raw(grant.id);
    if (c.req.method === "HEAD") {
      const object = await c.env.STORE.head(key);
      if (object?.httpEtag !== etag) return refuse(c, gone(object, grant.id));
      return c.body(null, 200, { ...headers, "content-length": String(sizeBytes) });
    }
    const asked = rangeStillHolds(c.req.header("if-range"), etag) ? c.req.header("range") : undefined;
    const range = parseRange(asked, sizeBytes, limits.rangeBytes);
    if (range.kind === "unsatisfiable") {
      c.header("content-range", `bytes */${sizeBytes}`);
      return refuse(c, { code: "out-of-range", sizeBytes });
    }
    const [first, last] = range.kind === "part" ? [range.first, range.last] : [0, sizeBytes - 1];
    const length = last - first + 1;
    const object = await c.env.STORE.get(key, {
      onlyIf: { etagMatches: query.etag },
      ...(length > 0 && { range: { offset: first, length } }),
    });
    if (!object || !("body" in object)) return refuse(c, gone(object, grant.id));
    if (range.kind === "whole")
      return c.body(object.body, 200, { ...headers, "content-length": String(length) });
    const contentRange = `bytes ${first}-${last}/${sizeBytes}`;
    return c.body(object.body, 206, {
      ...headers,
      "content-length": String(length),
      "content-range": contentRange,
    });
  },
);

/** Why the version that was signed cannot be read. */
const gone = (object: R2Object | null, id: string) =>
  object
    ? ({ code: "image-changed", what: id } as const)
    : ({ code: "not-found", what: `raw/${id}` } as const);
