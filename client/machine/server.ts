import * as z from "zod/mini";
import { type Failure, type Outcome, fail, httpStatus, ok } from "#protocol/failure";

const isFailure = (body: unknown): body is Failure =>
  typeof body === "object" && body !== null && "code" in body && Object.hasOwn(httpStatus, String(body.code));

/** Asks our own server and checks the shape of what it answers. Its failures are data; what is none becomes one. */
export async function ask<T>(
  path: string,
  shape: z.ZodMiniType<T>,
  what: string,
  request: { readonly method?: string; readonly body?: unknown } = {},
): Promise<Outcome<T>> {
  let response: Response;
  try {
    response = await fetch(path, {
      method: request.method ?? "GET",
      headers: {
        accept: "application/json",
        ...(request.body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
  } catch {
    return fail({ code: "offline", what });
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok && isFailure(body)) return fail(body);
  if (response.status === 404) return fail({ code: "not-found", what });
  const incident = response.headers.get("x-incident") ?? `HTTP ${response.status}`;
  if (!response.ok) return fail({ code: "internal", incident });
  const parsed = z.safeParse(shape, body);
  return parsed.success
    ? ok(parsed.data)
    : fail({ code: "internal", incident: `unreadable answer: ${what}` });
}
