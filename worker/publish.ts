import { type Context, Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { type Failure, type Outcome, fail, ok } from "#protocol/failure.ts";
import { ChunkHash, Slug } from "#protocol/ids.ts";
import { BootEntry, CatalogueEntry, MachineDefinition } from "#protocol/machine-definition.ts";
import { decodeManifest, hashText } from "#protocol/manifest.ts";
import { Trace } from "#protocol/store-api.ts";
import type { App } from "./app.ts";
import { boundedBody, boundedJson } from "./body.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { saveImage } from "./images-table.ts";
import { limits } from "./limits.ts";
import { publishersOnly } from "./publisher.ts";
import { checkDefinition } from "./published-files.ts";
import { rawUploads } from "./raw-uploads.ts";
import { keys, missingChunks } from "./store.ts";

const Stored = z.object({ sizeBytes: z.number() });
const Missing = z.object({ missing: z.array(ChunkHash) });
const Question = z.strictObject({ hashes: z.array(ChunkHash).check(z.maxLength(limits.hashesPerQuestion)) });
const Publication = z.strictObject({
  slug: Slug,
  name: z.string().check(z.minLength(1), z.maxLength(80)),
  description: z.string().check(z.maxLength(400)),
  state: z.enum(["ready", "building"]),
  /** Null while the image is being built: the catalogue shows it, nobody can start it. */
  definition: z.nullable(MachineDefinition),
});
type Publication = z.infer<typeof Publication>;

const byHash = validator("param", z.object({ hash: ChunkHash }), refuseInvalid);
const byBoot = validator("param", z.object({ manifest: ChunkHash, boot: BootEntry.shape.id }), refuseInvalid);

const describePut = (operationId: string, ...codes: Failure["code"][]) =>
  describeRoute({
    operationId,
    security: [{ publisher: [] }],
    requestBody: { required: true, content: { "application/octet-stream": {} } },
    responses: answers({ 201: ["Stored", Stored] }, "unauthorized", "bad-request", "too-large", ...codes),
  });

/** What `virga publish` speaks: bytes first, under their names; the catalogue row that makes them a machine last. */
export const publish = new Hono<App>()
  .use(publishersOnly)
  .post(
    "/missing",
    describeRoute({
      operationId: "findMissingChunks",
      security: [{ publisher: [] }],
      responses: answers({ 200: ["Those that are not stored yet", Missing] }, "unauthorized", "bad-request"),
    }),
    boundedJson(),
    validator("json", Question, refuseInvalid),
    async (c) => {
      const { hashes } = c.req.valid("json");
      return c.json({ missing: await missingChunks(c.env.STORE, hashes) }, 200);
    },
  )
  .put("/chunks/:hash", describePut("putChunk", "corrupt"), byHash, async (c) => {
    const { hash } = c.req.valid("param");
    const body = await namedBody(c, hash, limits.chunkBytes);
    if (!body.ok) return refuse(c, body.failure);
    return stored(c, keys.chunk(hash), body.value);
  })
  .put("/manifests/:hash", describePut("putManifest", "corrupt", "bad-manifest"), byHash, async (c) => {
    const { hash } = c.req.valid("param");
    const body = await namedBody(c, hash, limits.manifestBytes);
    if (!body.ok) return refuse(c, body.failure);
    const manifest = decodeManifest(body.value);
    if (!manifest.ok) return refuse(c, manifest.failure);
    return stored(c, keys.manifest(hash), body.value);
  })
  .put(
    "/traces/:manifest/:boot",
    describeRoute({
      operationId: "putTrace",
      security: [{ publisher: [] }],
      responses: answers({ 201: ["Stored", Stored] }, "unauthorized", "bad-request", "too-large"),
    }),
    byBoot,
    boundedJson(limits.traceBytes),
    validator("json", Trace, refuseInvalid),
    async (c) => {
      const { manifest, boot } = c.req.valid("param");
      const trace = new TextEncoder().encode(JSON.stringify(c.req.valid("json")));
      return stored(c, keys.trace(manifest, boot), trace);
    },
  )
  .route("/raw", rawUploads)
  .post(
    "/images",
    describeRoute({
      operationId: "publishImage",
      security: [{ publisher: [] }],
      responses: answers(
        { 200: ["The row as the catalogue shows it", CatalogueEntry] },
        "unauthorized",
        "bad-request",
        "bad-image",
        "bad-manifest",
      ),
    }),
    boundedJson(),
    validator("json", Publication, refuseInvalid),
    async (c) => {
      const image = await catalogueRow(c.env, c.req.valid("json"));
      if (!image.ok) return refuse(c, image.failure);
      return c.json(await saveImage(c.env.DB, image.value), 200);
    },
  );

/** A body whose SHA-256 is the name that it is sent to. */
async function namedBody(
  c: Context<App>,
  hash: string,
  limitBytes: number,
): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
  const body = await boundedBody(c.req.raw, limitBytes);
  if (!body.ok) return body;
  const digest = hashText(new Uint8Array(await crypto.subtle.digest("SHA-256", body.value)));
  return digest === hash ? body : fail({ code: "bad-request", problem: `These bytes are named ${digest}.` });
}

async function stored(c: Context<App>, key: string, bytes: Uint8Array) {
  await c.env.STORE.put(key, bytes);
  return c.json({ sizeBytes: bytes.byteLength }, 201);
}

/** A ready image may name only what is stored, so that nobody can open a machine with a hole in it. */
async function catalogueRow(env: Env, publication: Publication): Promise<Outcome<CatalogueEntry>> {
  const { definition, state } = publication;
  if (state === "ready" && !definition)
    return fail({ code: "bad-image", problem: "A ready image needs a definition." });
  const sizes = definition
    ? await checkDefinition(env.STORE, definition)
    : ok({ sizeBytes: 0, storedBytes: 0 });
  if (!sizes.ok) return sizes;
  return ok({ ...publication, ...sizes.value, id: crypto.randomUUID(), updatedAt: new Date().toISOString() });
}
