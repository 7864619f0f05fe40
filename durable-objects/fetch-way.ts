import type { Destination, Egress, FlowSink, Outflow } from "./gateway/flow.ts";
import { answer, answerInWords } from "./gateway/http-answer.ts";
import {
  type AskedRequest,
  HttpFlow,
  type RequestBody,
  type Served,
  nextRequest,
} from "./gateway/http-flow.ts";
import { type RequestHead, encodeHead, listOf, valuesOf, withoutHopByHop } from "./gateway/http1.ts";

const MISDIRECTED =
  "This request names another host than the one that the connection was opened to, and only that one was allowed.\n";
const NO_UPGRADE =
  "This host can be reached by plain HTTP requests only: the connection cannot be upgraded to WebSocket.\n";
const NO_METHOD = "This host can be reached by plain HTTP requests only, and this method is none of them.\n";
const UNREACHABLE = "The host did not answer, or the platform does not allow it.\n";

/**
 * Plain HTTP to hosts that `connect()` may not reach: the guest's requests are read off the connection and made by
 * `fetch()`, one after the other. What cannot be done is answered in words; what is not HTTP breaks the connection.
 * Redirects and encodings stay the guest's business, so that every hop passes the policy.
 */
export class FetchWay implements Egress {
  dial(to: Destination, sink: FlowSink): Outflow {
    return new HttpFlow(sink, (connection) => serve(to, connection));
  }
}

async function serve(to: Destination, connection: Served): Promise<void> {
  let rest: Uint8Array | null = new Uint8Array(0);
  while (rest) {
    const asked: AskedRequest | null = await nextRequest(connection, rest);
    rest = asked && (await exchange(to, connection, asked)) ? asked.body.rest : null;
  }
}

/** One request and its answer. False: the connection is over. */
async function exchange(to: Destination, connection: Served, asked: AskedRequest): Promise<boolean> {
  const { head, body } = asked;
  const url = urlOf(to, head);
  if (url === null) return refuse(connection, head, "421 Misdirected Request", MISDIRECTED);
  if (listOf(head.headers, "upgrade").includes("websocket"))
    return refuse(connection, head, "501 Not Implemented", NO_UPGRADE);
  if (/^(CONNECT|TRACE)$/i.test(head.method))
    return refuse(connection, head, "501 Not Implemented", NO_METHOD);
  const isLast = head.version === "1.0" || listOf(head.headers, "connection").includes("close");
  const response = await ask(url, connection, asked);
  if (!response) return refuse(connection, head, "502 Bad Gateway", UNREACHABLE);
  await answer(connection, head, response, isLast);
  return !isLast && body.isDone;
}

async function refuse(
  connection: Served,
  head: RequestHead,
  status: string,
  words: string,
): Promise<boolean> {
  await answerInWords(connection, head, status, words);
  return false;
}

/** Null: there is no answer. A guest that breaks the connection ends the request. */
async function ask(url: string, connection: Served, asked: AskedRequest): Promise<Response | null> {
  const { head, framing, body } = asked;
  const hasBody = framing.kind !== "none";
  // A client that waits for leave to send its body gets it (RFC 9110 §10.1.1).
  if (hasBody && listOf(head.headers, "expect").includes("100-continue"))
    await connection.send(encodeHead("HTTP/1.1 100 Continue", []));
  const over = new AbortController();
  connection.onOver = () => over.abort();
  try {
    return await fetch(url, {
      method: head.method,
      headers: fetchHeaders(head),
      redirect: "manual",
      signal: over.signal,
      ...(hasBody && { body: streamOf(body) }),
    });
  } catch {
    return null;
  }
}

/**
 * The name that the guest asked for is what `fetch` is asked for: the policy has vetted it together with the address. Null:
 * the Host header or the target (RFC 9112 §3.2.2) names another site, which would go round the policy.
 */
function urlOf({ host, name, port }: Destination, { target, headers, version }: RequestHead): string | null {
  const known = name ?? (host.includes(":") ? `[${host}]` : host);
  const isKnown = (asked: string): boolean =>
    asked.toLowerCase().replace(/:\d+$/, "") === known.toLowerCase();
  const hosts = valuesOf(headers, "host");
  // HTTP/1.0 knew no Host.
  if (!hosts.every(isKnown) || hosts.length > 1 || (hosts.length === 0 && version === "1.1")) return null;
  const origin = `http://${known}${port === 80 ? "" : `:${port}`}`;
  if (target.startsWith("/")) return origin + target;
  const absolute = URL.canParse(target) ? new URL(target) : null;
  return absolute && isKnown(absolute.host) ? origin + absolute.pathname + absolute.search : null;
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
