import { bodyLimit } from "hono/body-limit";
import { type Outcome, fail, ok } from "#protocol/failure.ts";
import { refuse } from "./failures.ts";
import { limits } from "./limits.ts";

/** Before `validator("json", …)`, which reads the body whole. */
export const boundedJson = (limitBytes: number = limits.jsonBytes) =>
  bodyLimit({ maxSize: limitBytes, onError: (c) => refuse(c, { code: "too-large", limitBytes }) });

/** A whole body, or `too-large` before more than `limitBytes` were kept, whatever Content-Length says. */
export async function boundedBody(
  request: Request,
  limitBytes: number,
): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
  const tooLarge = fail({ code: "too-large", limitBytes });
  if (Number(request.headers.get("content-length") ?? 0) > limitBytes) return tooLarge;
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const piece of request.body ?? []) {
    sizeBytes += piece.byteLength;
    // Leaving the loop cancels the stream.
    if (sizeBytes > limitBytes) return tooLarge;
    pieces.push(piece);
  }
  const bytes = new Uint8Array(sizeBytes);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return ok(bytes);
}

/** The length that a streamed body declares; the store refuses a stream that turns out longer or shorter. */
export function declaredLength(request: Request, limitBytes: number): Outcome<number> {
  const header = request.headers.get("content-length") ?? "";
  if (!/^\d{1,15}$/.test(header)) return fail({ code: "bad-request", problem: "Content-Length is needed." });
  const sizeBytes = Number(header);
  return sizeBytes > limitBytes ? fail({ code: "too-large", limitBytes }) : ok(sizeBytes);
}
