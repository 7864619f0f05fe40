import type { Context, TypedResponse } from "hono";
import { HTTPException } from "hono/http-exception";
import { resolver } from "hono-openapi";
import * as z from "zod/mini";
import { type Failure, httpStatus } from "#protocol/failure.ts";

type Refusal<F extends Failure> = Response & TypedResponse<F, (typeof httpStatus)[F["code"]], "json">;

/** An answer that is a failure: its code decides the status. Failures are never cached. */
export function refuse<F extends Failure>(c: Context, failure: F): Refusal<F>;
export function refuse(c: Context, failure: Failure): Response {
  c.header("cache-control", "no-store");
  if (failure.code === "unauthorized") c.header("www-authenticate", "Bearer");
  if (failure.code === "too-many-requests") c.header("retry-after", String(failure.retryAfterSeconds));
  return c.json(failure, httpStatus[failure.code]);
}

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
type Checked = { readonly success: true } | { readonly success: false; readonly error: readonly Issue[] };

/** Hook of `validator`: what a schema refused, as one sentence per issue. */
export function refuseInvalid(result: Checked, c: Context) {
  if (result.success) return undefined;
  const problem = result.error.slice(0, 8).map(sentence).join("; ");
  return refuse(c, { code: "bad-request", problem });
}

function sentence({ path, message }: Issue): string {
  const keys = path?.map((step) => String(typeof step === "object" ? step.key : step)) ?? [];
  return keys.length > 0 ? `${keys.join(".")}: ${message}` : message;
}

/** The one place where an exception becomes an answer. The caller learns an incident number, the log learns the rest. */
export function onError(error: Error, c: Context): Response {
  // Hono's own refusals, such as a body that is not JSON.
  if (error instanceof HTTPException && error.status === 400)
    return refuse(c, { code: "bad-request", problem: error.message });
  const incident = crypto.randomUUID();
  console.error(JSON.stringify({ incident, method: c.req.method, path: c.req.path, error: error.stack }));
  c.header("x-incident", incident);
  return refuse(c, { code: "internal", incident });
}

const FailureAnswer = z.looseObject({ code: z.string(), problem: z.optional(z.string()) });
const asJson = (description: string, schema: z.ZodMiniType) => ({
  description,
  content: { "application/json": { schema: resolver(schema) } },
});

/** The `responses` of a route in OpenAPI: what it answers, and the codes that it may fail with. */
export function answers(
  success: Record<number, string | readonly [string, z.ZodMiniType]>,
  ...codes: Failure["code"][]
) {
  const responses: Record<string, ReturnType<typeof asJson> | { description: string }> = {};
  for (const [status, answer] of Object.entries(success))
    responses[status] = typeof answer === "string" ? { description: answer } : asJson(answer[0], answer[1]);
  for (const code of codes) {
    const status = String(httpStatus[code]);
    const before = responses[status]?.description;
    responses[status] = asJson(before ? `${before}, \`${code}\`` : `\`${code}\``, FailureAnswer);
  }
  return responses;
}
