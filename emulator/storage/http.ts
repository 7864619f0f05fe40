import { type Failure, type Outcome, fail, ok } from "../protocol/failure.ts";
import type { Clock } from "./clock.ts";
import type { GetOptions } from "./chunk-store.ts";

/** What the network is made of, injected: tests give a real server and a clock of their own. */
export interface Network {
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  /** Relative addresses are resolved against it. */
  readonly origin: string;
  /** A server that sends nothing for this long counts as gone. */
  readonly silenceMs: number;
}

export const SILENCE_MS = 20_000;

export interface Ask extends GetOptions {
  readonly method?: "GET" | "HEAD" | "POST" | "PUT";
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Named in failures, in words. */
  readonly what: string;
  /** Judges status and headers; a failure ends the request before any of its body is taken. */
  readonly accept: (answer: Response) => Failure | null;
  readonly maxBytes: number;
  /** The body must have exactly this many bytes. */
  readonly exactBytes?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * One request, with a bound on its body and on silence. A network that does not answer, a server that fails and one
 * that falls silent are all `offline`: trying again later may help.
 */
export async function ask(network: Network, url: string, question: Ask): Promise<Outcome<Answer>> {
  const { what } = question;
  const abort = new AbortController();
  const offline: Outcome<never> = fail({ code: "offline", what });
  const onAbort = (): void => abort.abort();
  if (question.signal?.aborted) return offline;
  question.signal?.addEventListener("abort", onAbort);
  let stopWatch = (): void => {};
  const watch = (): void => {
    stopWatch();
    stopWatch = network.clock.after(network.silenceMs, onAbort);
  };
  try {
    watch();
    const answer = await network.fetch(new URL(url, network.origin), {
      method: question.method ?? "GET",
      headers: question.headers ?? {},
      ...(question.body ? { body: question.body } : {}),
      ...(question.bypassCaches ? { cache: "reload" } : {}),
      priority: question.urgency === "ahead" ? "low" : "high",
      signal: abort.signal,
    });
    const refusal = question.accept(answer);
    if (refusal) {
      void answer.body?.cancel().catch(() => {});
      return fail(refusal);
    }
    const bytes = await body(answer, question, watch);
    if (!bytes.ok) abort.abort();
    return bytes.ok ? ok({ status: answer.status, headers: answer.headers, bytes: bytes.value }) : bytes;
  } catch {
    return offline;
  } finally {
    stopWatch();
    question.signal?.removeEventListener("abort", onAbort);
  }
}

/** Takes a body within its bound; a length that is known beforehand is allocated once. */
async function body(
  answer: Response,
  question: Ask,
  watch: () => void,
): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
  const { what, exactBytes, maxBytes, method } = question;
  const corrupt: Outcome<never> = fail({ code: "corrupt", what });
  if (method === "HEAD" || !answer.body) return exactBytes ? corrupt : ok(new Uint8Array(0));
  const bound = exactBytes ?? maxBytes;
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    watch();
    length += part.value.length;
    if (length > bound) return corrupt;
    parts.push(part.value);
  }
  if (exactBytes !== undefined && length !== exactBytes) return corrupt;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return ok(bytes);
}

/** What an unwelcome status means. */
export function statusFailure(status: number, what: string): Failure {
  if (status === 404 || status === 410) return { code: "not-found", what };
  if (status === 401) return { code: "unauthorized" };
  if (status === 403) return { code: "expired" };
  if (status === 412) return { code: "image-changed", what };
  if (status === 408 || status === 425 || status === 429 || status >= 500) return { code: "offline", what };
  return { code: "corrupt", what };
}
