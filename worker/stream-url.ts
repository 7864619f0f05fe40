import { type Context, Hono } from "hono";
import { describeRoute, validator } from "hono-openapi";
import * as z from "zod/mini";
import { type Failure, type Outcome, fail, httpStatus, ok } from "#protocol/failure.ts";
import { RawId } from "#protocol/ids.ts";
import { StreamUrl } from "#protocol/store-api.ts";
import type { App } from "./app.ts";
import { answers, refuse, refuseInvalid } from "./failures.ts";
import { isShared } from "./images-table.ts";
import { limits } from "./limits.ts";
import { isPublisher } from "./publisher.ts";
import { signedPath } from "./raw-images.ts";
import { keys } from "./store.ts";

/** `s3`: presigned, straight from the store. `worker`: our own origin. Without a wish: S3 where one is configured. */
const Wish = z.object({ delivery: z.optional(z.enum(["s3", "worker"])) });
type Delivery = z.infer<typeof Wish>["delivery"];

const params = validator("param", z.object({ id: RawId }), refuseInvalid);
const query = validator("query", Wish, refuseInvalid);
const describe = (operationId: string) =>
  describeRoute({
    operationId,
    responses: answers(
      {
        200: ["A short-lived URL that answers GET, and HEAD where it is ours, with single ranges", StreamUrl],
      },
      "not-found",
      "unsupported",
      "too-many-requests",
      "bad-request",
    ),
  });

/** Hands out short-lived URLs to raw images that the catalogue shares (or, to publishers, to any). */
export const streamUrls = new Hono<App>().post(
  "/:id/stream-url",
  describe("createStreamUrl"),
  params,
  query,
  async (c) => {
    const answer = await streamUrl(c, c.req.valid("param").id, c.req.valid("query").delivery);
    if (!answer.ok) return refuse(c, answer.failure);
    c.header("cache-control", "no-store");
    return c.json(answer.value, 200);
  },
);

/** The same for peers that speak the image gateway's protocol, with its way of saying what went wrong. */
export const gateway = new Hono<App>().get(
  "/images/:id/stream-url",
  describe("getStreamUrl"),
  params,
  query,
  async (c) => {
    const answer = await streamUrl(c, c.req.valid("param").id, c.req.valid("query").delivery);
    c.header("cache-control", "no-store");
    if (answer.ok) return c.json(answer.value, 200);
    const { code } = answer.failure;
    const error = { code: code.toUpperCase().replaceAll("-", "_"), message: JSON.stringify(answer.failure) };
    return c.json({ error }, httpStatus[code]);
  },
);

async function streamUrl(c: Context<App>, id: string, wish: Delivery): Promise<Outcome<StreamUrl>> {
  const address = c.req.header("cf-connecting-ip") ?? "local";
  const { success } = await c.env.SIGNING_RATE.limit({ key: address });
  if (!success) return fail({ code: "too-many-requests", retryAfterSeconds: 60 });
  const notFound: Failure = { code: "not-found", what: `the raw image ${id}` };
  if (!(await isShared(c.env.DB, id)) && !(await isPublisher(c.env, c.req.header("authorization"))))
    return fail(notFound);
  const object = await c.env.STORE.head(keys.raw(id));
  if (!object) return fail(notFound);
  const expires = Math.floor(Date.now() / 1000) + limits.signedUrlSeconds;
  const { origin } = new URL(c.req.url);
  const url = await urlOf(c.env, origin, wish, {
    id,
    etag: object.httpEtag,
    sizeBytes: object.size,
    expires,
  });
  if (!url.ok) return url;
  const expiresAt = new Date(expires * 1000).toISOString();
  return ok({ url: url.value, auth: { type: "url", expiresAt }, size: object.size, etag: object.httpEtag });
}

async function urlOf(
  env: Env,
  origin: string,
  wish: Delivery,
  grant: Parameters<typeof signedPath>[1],
): Promise<Outcome<string>> {
  if ((wish ?? (env.S3_ENDPOINT ? "s3" : "worker")) === "worker")
    return ok(origin + (await signedPath(env.VIRGA_SIGNING_KEY, grant)));
  const endpoint = env.S3_ENDPOINT || localEndpoint(origin);
  if (!endpoint) return fail({ code: "unsupported", feature: "S3_ENDPOINT" });
  const { presignedGet } = await import("./s3.ts");
  return ok(await presignedGet(env, endpoint, keys.raw(grant.id), limits.signedUrlSeconds));
}

/** The local stack's R2 speaks S3 beside the app; a deployed one does not. */
function localEndpoint(origin: string): string | undefined {
  const { hostname } = new URL(origin);
  const isLocal = hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
  return isLocal ? `${origin}/cdn-cgi/local/r2/s3` : undefined;
}
