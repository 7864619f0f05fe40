import { type Context, Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { RawId } from "#protocol/ids.ts";
import type { App } from "./app.ts";
import { boundedJson, declaredLength } from "./body.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { limits } from "./limits.ts";
import { keys } from "./store.ts";

const UploadId = z.string().check(z.minLength(1), z.maxLength(1024));
const PartNumber = z.coerce.number().check(z.int(), z.minimum(1), z.maximum(limits.rawParts));
const Part = z.strictObject({
  partNumber: z.number().check(z.int(), z.minimum(1), z.maximum(limits.rawParts)),
  etag: z.string().check(z.minLength(1), z.maxLength(limits.partEtagChars)),
});
const Parts = z.strictObject({
  parts: z.array(Part).check(
    z.minLength(1),
    z.maxLength(limits.rawParts),
    z.refine((parts) => new Set(parts.map((part) => part.partNumber)).size === parts.length, {
      error: "a part occurs twice",
    }),
  ),
});
const Uploaded = z.object({ sizeBytes: z.number(), etag: z.string() });
const Begun = z.object({ uploadId: z.string(), partBytes: z.number() });

const byId = validator("param", z.object({ id: RawId }), refuseInvalid);
const byUpload = validator("param", z.object({ id: RawId, uploadId: UploadId }), refuseInvalid);
const byPart = validator(
  "param",
  z.object({ id: RawId, uploadId: UploadId, partNumber: PartNumber }),
  refuseInvalid,
);
const octets = { httpMetadata: { contentType: "application/octet-stream" } } as const;

/** What R2 says of an upload that is not there, a part that it does not know, parts too small or of different sizes. */
const CALLERS_MISTAKE = /NoSuchUpload|InvalidPart|EntityTooSmall|\((?:10011|10024|10025|10048)\)/;

async function orRefuse<T extends Response>(c: Context, work: () => Promise<T>) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || !CALLERS_MISTAKE.test(error.message)) throw error;
    return refuse(c, { code: "bad-request", problem: "The store does not take this upload or part." });
  }
}

/** Raw images of a publisher: one body, or parts of the same size. Streamed through; never held here. */
export const rawUploads = new Hono<App>()
  .put(
    "/:id",
    describeRoute({
      operationId: "putRawImage",
      security: [{ publisher: [] }],
      responses: answers({ 201: ["Stored", Uploaded] }, "unauthorized", "bad-request", "too-large"),
    }),
    byId,
    async (c) => {
      const length = declaredLength(c.req.raw, limits.rawBytes);
      if (!length.ok) return refuse(c, length.failure);
      const object = await c.env.STORE.put(keys.raw(c.req.valid("param").id), c.req.raw.body ?? "", octets);
      return c.json({ sizeBytes: object.size, etag: object.httpEtag }, 201);
    },
  )
  .post(
    "/:id/uploads",
    describeRoute({
      operationId: "beginRawUpload",
      security: [{ publisher: [] }],
      responses: answers(
        { 201: ["An upload to send parts to; all but the last as large as `partBytes`", Begun] },
        "unauthorized",
        "bad-request",
      ),
    }),
    byId,
    async (c) => {
      const upload = await c.env.STORE.createMultipartUpload(keys.raw(c.req.valid("param").id), octets);
      return c.json({ uploadId: upload.uploadId, partBytes: limits.rawPartBytes }, 201);
    },
  )
  .put(
    "/:id/uploads/:uploadId/parts/:partNumber",
    describeRoute({
      operationId: "putRawPart",
      security: [{ publisher: [] }],
      responses: answers(
        { 201: ["Stored until the upload is completed", Part] },
        "unauthorized",
        "bad-request",
        "too-large",
      ),
    }),
    byPart,
    async (c) => {
      const length = declaredLength(c.req.raw, limits.rawPartBytes);
      if (!length.ok) return refuse(c, length.failure);
      const { id, uploadId, partNumber } = c.req.valid("param");
      const upload = c.env.STORE.resumeMultipartUpload(keys.raw(id), uploadId);
      return orRefuse(c, async () => c.json(await upload.uploadPart(partNumber, c.req.raw.body ?? ""), 201));
    },
  )
  .post(
    "/:id/uploads/:uploadId/complete",
    describeRoute({
      operationId: "completeRawUpload",
      security: [{ publisher: [] }],
      responses: answers({ 200: ["The whole object", Uploaded] }, "unauthorized", "bad-request"),
    }),
    byUpload,
    boundedJson(limits.partListBytes),
    validator("json", Parts, refuseInvalid),
    async (c) => {
      const { id, uploadId } = c.req.valid("param");
      const parts = c.req.valid("json").parts.toSorted((a, b) => a.partNumber - b.partNumber);
      const upload = c.env.STORE.resumeMultipartUpload(keys.raw(id), uploadId);
      return orRefuse(c, async () => {
        const object = await upload.complete(parts);
        return c.json({ sizeBytes: object.size, etag: object.httpEtag }, 200);
      });
    },
  )
  .delete(
    "/:id/uploads/:uploadId",
    describeRoute({
      operationId: "abortRawUpload",
      security: [{ publisher: [] }],
      responses: answers({ 204: "Its parts are forgotten" }, "unauthorized", "bad-request"),
    }),
    byUpload,
    async (c) => {
      const { id, uploadId } = c.req.valid("param");
      const upload = c.env.STORE.resumeMultipartUpload(keys.raw(id), uploadId);
      return orRefuse(c, async () => {
        await upload.abort();
        return c.body(null, 204);
      });
    },
  );
