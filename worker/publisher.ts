import { createMiddleware } from "hono/factory";
import type { App } from "./app.ts";
import { refuse } from "./failures.ts";

const utf8 = new TextEncoder();

/** Lets publishers through: those who know VIRGA_PUBLISH_TOKEN. A Worker without that secret has no publishers. */
export const publishersOnly = createMiddleware<App>(async (c, next) => {
  if (!(await isPublisher(c.env, c.req.header("authorization")))) return refuse(c, { code: "unauthorized" });
  return next();
});

export const isPublisher = (env: Env, authorization: string | undefined): Promise<boolean> =>
  hasBearer(authorization, env.VIRGA_PUBLISH_TOKEN);

/** Compares digests, so neither the length nor the common prefix of a guess shows in the time it takes. */
export async function hasBearer(
  authorization: string | undefined,
  secret: string | undefined,
): Promise<boolean> {
  const token = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization ?? "")?.[1];
  if (!token || !secret) return false;
  const [given, wanted] = await Promise.all(
    [token, secret].map(async (text) => crypto.subtle.digest("SHA-256", utf8.encode(text))),
  );
  return crypto.subtle.timingSafeEqual(given!, wanted!);
}
