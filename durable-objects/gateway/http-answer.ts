import type { Served } from "./http-flow.ts";
import {
  type HeaderLine,
  type RequestHead,
  encodeChunk,
  encodeHead,
  lastChunk,
  withoutHopByHop,
} from "./http1.ts";

/** One piece of an answer as it is handed to the guest. */
const PIECE_BYTES = 16 * 1024;

/** What `fetch()` brought: its body is decoded already. */
export interface FetchedAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Iterable<HeaderLine>;
  readonly body: AsyncIterable<Uint8Array> | null;
}

/** Tells a guest's client what `fetch()` brought, as HTTP/1.x; a client of 1.0 gets the body until the connection ends. */
export async function answer(
  connection: Served,
  { method, version }: RequestHead,
  { status, statusText, headers: given, body }: FetchedAnswer,
  isLast: boolean,
): Promise<void> {
  const headers: HeaderLine[] = withoutHopByHop(given).filter(
    ([name]) => !/^content-(length|encoding)$/i.test(name),
  );
  const isBodyless = method === "HEAD" || status === 204 || status === 304;
  const isChunked = !isBodyless && version === "1.1";
  if (isChunked) headers.push(["Transfer-Encoding", "chunked"]);
  if (isLast) headers.push(["Connection", "close"]);
  await connection.send(encodeHead(`HTTP/1.1 ${status} ${statusText || "Answer"}`, headers));
  if (isBodyless) return;
  for await (const piece of body ?? [])
    for (let at = 0; at < piece.length; at += PIECE_BYTES) {
      const part = piece.subarray(at, at + PIECE_BYTES);
      await connection.send(isChunked ? encodeChunk(part) : part);
    }
  if (isChunked) await connection.send(lastChunk);
}

/** Why there is no answer of the host, for the person who sits before the guest. The connection ends after it. */
export async function answerInWords(
  connection: Served,
  { method }: RequestHead,
  status: string,
  words: string,
): Promise<void> {
  const text = new TextEncoder().encode(words);
  await connection.send(
    encodeHead(`HTTP/1.1 ${status}`, [
      ["Content-Type", "text/plain; charset=utf-8"],
      ["Content-Length", String(text.length)],
      ["Connection", "close"],
    ]),
  );
  if (method !== "HEAD") await connection.send(text);
}
