import type { Destination, Egress, FlowSink, Outflow } from "./gateway/flow.ts";
import { HttpFlow, type RequestBody, type Served, nextRequest } from "./gateway/http-flow.ts";
import {
  type HeaderLine,
  type RequestHead,
  encodeChunk,
  encodeHead,
  lastChunk,
  valuesOf,
  withoutHopByHop,
} from "./gateway/http1.ts";

/** One piece of an answer as it is handed to the guest. */
const PIECE_BYTES = 16 * 1024;

/**
 * Plain HTTP to hosts that `connect()` may not reach: the guest's requests are read off the connection and made by
 * `fetch()`, one after the other. What is not HTTP breaks the connection. Redirects and encodings stay the guest's business.
 */
export class FetchWay implements Egress {
  dial(to: Destination, sink: FlowSink): Outflow {
    return new HttpFlow(sink, (connection) => serve(to, connection));
  }
}

async function serve(to: Destination, connection: Served): Promise<void> {
  let rest: Uint8Array | null = new Uint8Array(0);
  while (rest) rest = await exchange(to, connection, rest);
}

/** One request and its answer. Answers what came after the request; null: the connection is over. */
async function exchange(to: Destination, connection: Served, early: Uint8Array): Promise<Uint8Array | null> {
  const asked = await nextRequest(connection, early);
  if (!asked) return null;
  const { head, framing, body } = asked;
  const response = await fetch(urlOf(to, head), {
    method: head.method,
    headers: fetchHeaders(head),
    redirect: "manual",
    ...(framing.kind !== "none" && { body: streamOf(body) }),
  });
  await answer(connection, head, response);
  const isLast = valuesOf(head.headers, "connection").some((value) => /close/i.test(value));
  return isLast || head.version === "1.0" || !body.isDone ? null : body.rest;
}

/** The name that the guest asked for is what `fetch` is asked for: the policy has vetted it together with the address. */
function urlOf({ host, name, port }: Destination, { target, headers }: RequestHead): string {
  const asked = valuesOf(headers, "host")[0] ?? "";
  const known = name ?? host;
  // A Host header that names another site would go round the policy.
  const isSame = asked.toLowerCase().replace(/:\d+$/, "") === known.toLowerCase();
  if (!isSame) throw new Error("The Host header is not where the connection goes.");
  const path = target.startsWith("/") ? target : new URL(target).pathname;
  return `http://${known}${port === 80 ? "" : `:${port}`}${path}`;
}

async function answer(connection: Served, head: RequestHead, response: Response): Promise<void> {
  const headers: HeaderLine[] = [];
  for (const [name, value] of withoutHopByHop(response.headers))
    if (name !== "content-length" && name !== "content-encoding") headers.push([name, value]);
  const isBodyless = head.method === "HEAD" || response.status === 204 || response.status === 304;
  if (!isBodyless) headers.push(["Transfer-Encoding", "chunked"]);
  await connection.send(
    encodeHead(`HTTP/1.1 ${response.status} ${response.statusText || "Answer"}`, headers),
  );
  if (isBodyless) return;
  for await (const piece of response.body ?? [])
    for (let at = 0; at < piece.length; at += PIECE_BYTES)
      await connection.send(encodeChunk(piece.subarray(at, at + PIECE_BYTES)));
  await connection.send(lastChunk);
}

function fetchHeaders({ headers }: RequestHead): Headers {
  const kept = new Headers();
  for (const [name, value] of withoutHopByHop(headers))
    if (!/^(host|content-length|expect|cf-.*)$/i.test(name)) kept.append(name, value);
  return kept;
}

const streamOf = (body: RequestBody): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      const pieces = await body.pieces();
      if (!pieces) return controller.close();
      for (const piece of pieces) controller.enqueue(piece);
      return undefined;
    },
  });
