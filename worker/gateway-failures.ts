import type { Context } from "hono";
import { resolver } from "hono-openapi";
import * as z from "zod/mini";

/** The gateway's own way of saying what went wrong, which compatible clients read: `{error, message?, retryable?}`. */
export const gatewayStatus = {
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  url_too_long: 414,
  too_many_requests: 429,
  internal_error: 500,
  unavailable: 503,
} as const;
export type GatewayCode = keyof typeof gatewayStatus;

const GatewayError = z.object({
  error: z.string(),
  message: z.optional(z.string()),
  retryable: z.optional(z.boolean()),
});

export function refuseGateway(c: Context, error: GatewayCode, message?: string): Response {
  c.header("cache-control", "no-store");
  const isRetryable = error === "too_many_requests" || error === "unavailable";
  return c.json(
    { error, ...(message !== undefined && { message }), ...(isRetryable && { retryable: true }) },
    gatewayStatus[error],
  );
}

/** The `responses` of a gateway route in OpenAPI. */
export function gatewayAnswers(
  success: Record<number, { description: string; type: string; schema?: z.ZodMiniType }>,
  ...codes: GatewayCode[]
) {
  const responses: Record<string, { description: string; content: Record<string, object> }> = {};
  for (const [status, { description, type, schema }] of Object.entries(success))
    responses[status] = { description, content: { [type]: schema ? { schema: resolver(schema) } : {} } };
  for (const code of codes)
    responses[String(gatewayStatus[code])] = {
      description: `\`${code}\``,
      content: { "application/json": { schema: resolver(GatewayError) } },
    };
  return responses;
}
