import type { GuestPipe } from "./guest-pipe.ts";
import {
  BodyDecoder,
  HeadReader,
  type HeaderLine,
  type ResponseHead,
  encodeChunk,
  encodeHead,
  lastChunk,
  readResponseHead,
  responseFraming,
  withoutHopByHop,
} from "./gateway/http1.ts";
import type { Unanswered } from "./gateway/unanswered.ts";
import { passWebSocket } from "./port-websocket.ts";

/** Cookies of ours that a guest never sees, and never sets. */
const OUR_COOKIES = /^(aero_session|virga_[a-z0-9_]*)$/i;
const HEAD_MS = 60_000;

const gateway = (status: 502 | 504, words: string): Response =>
  new Response(`${words}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

/**
 * One request of a browser, asked of a server inside the guest over a flow of its stack. One connection per request; bodies
 * stream both ways and are read no faster than the other side takes them.
 */
export async function askGuest(request: Request, pipe: GuestPipe, unanswered: Unanswered): Promise<Response> {
  const isUpgrade = request.headers.get("upgrade")?.toLowerCase() === "websocket";
  try {
    const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    await pipe.write(requestHead(request, isUpgrade ? key : undefined));
    // A server may answer before it has read everything; a body that it does not want ends with the connection.
    if (request.body) void sendBody(request, pipe).catch(() => {});
    const timer = setTimeout(() => pipe.abort(), HEAD_MS);
    const answer = await readHead(pipe).finally(() => clearTimeout(timer));
    if (!answer) {
      pipe.abort();
      return gateway(502, "The machine's server does not speak HTTP.");
    }
    const { head, rest } = answer;
    if (head.status === 101) return await passWebSocket(pipe, head, rest, isUpgrade ? key : "", unanswered);
    return answerOf(request.method, head, rest, pipe);
  } catch {
    pipe.abort();
    return gateway(502, "The machine's server broke the connection.");
  }
}

function requestHead(request: Request, webSocketKey: string | undefined): Uint8Array {
  const url = new URL(request.url);
  const headers: HeaderLine[] = [["Host", request.headers.get("x-forwarded-host") ?? url.host]];
  for (const [name, value] of withoutHopByHop(request.headers)) {
    if (/^(host|content-length|cf-.*|x-virga-.*|sec-websocket-(key|extensions|version))$/.test(name))
      continue;
    if (name === "cookie") {
      const kept = guestCookies(value);
      if (kept !== "") headers.push(["Cookie", kept]);
    } else headers.push([name, value]);
  }
  if (webSocketKey !== undefined)
    headers.push(
      ["Connection", "Upgrade"],
      ["Upgrade", "websocket"],
      ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", webSocketKey],
    );
  else headers.push(["Connection", "close"]);
  const length = request.headers.get("content-length");
  if (request.body) headers.push(length ? ["Content-Length", length] : ["Transfer-Encoding", "chunked"]);
  else if (/^(POST|PUT|PATCH)$/.test(request.method)) headers.push(["Content-Length", "0"]);
  return encodeHead(`${request.method} ${url.pathname}${url.search} HTTP/1.1`, headers);
}

const guestCookies = (header: string): string =>
  header
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "" && !OUR_COOKIES.test(pair.split("=", 1)[0]!))
    .join("; ");

async function sendBody(request: Request, pipe: GuestPipe): Promise<void> {
  const isChunked = request.headers.get("content-length") === null;
  for await (const piece of request.body ?? []) await pipe.write(isChunked ? encodeChunk(piece) : piece);
  if (isChunked) await pipe.write(lastChunk);
}

/** Answers before the last one (RFC 9110 §15.2) are passed over; undefined: not HTTP. */
async function readHead(
  pipe: GuestPipe,
): Promise<{ readonly head: ResponseHead; readonly rest: Uint8Array } | undefined> {
  let reader = new HeadReader();
  let bytes = await pipe.read();
  for (;;) {
    if (bytes === null) return undefined;
    const read = reader.push(bytes);
    if (read === undefined) return undefined;
    if (read === null) {
      bytes = await pipe.read();
      continue;
    }
    const head = readResponseHead(read.lines);
    if (!head) return undefined;
    if (head.status >= 200 || head.status === 101) return { head, rest: read.rest };
    reader = new HeadReader();
    bytes = read.rest;
  }
}

function answerOf(method: string, head: ResponseHead, rest: Uint8Array, pipe: GuestPipe): Response {
  const framing = responseFraming(method, head);
  if (!framing) {
    pipe.abort();
    return gateway(502, "The machine's server contradicts itself about the length of its answer.");
  }
  const headers = new Headers();
  for (const [name, value] of withoutHopByHop(head.headers)) {
    if (/^set-cookie2?$/i.test(name) && OUR_COOKIES.test(value.split("=", 1)[0]!.trim())) continue;
    // A cookie for the whole wildcard would reach other people's ports.
    const safe = /^set-cookie$/i.test(name) ? value.replace(/;\s*domain=[^;]*/gi, "") : value;
    // A guest has no say about the origins beside its own, nor about who may send what to its host.
    if (/^(strict-transport-security|alt-svc|clear-site-data|nel|report-to)$/i.test(name)) continue;
    if (framing.kind === "chunked" && /^content-length$/i.test(name)) continue;
    headers.append(name, safe);
  }
  const decoder = new BodyDecoder(framing);
  const isEmpty = decoder.isDone;
  if (isEmpty) pipe.close();
  const body = isEmpty ? null : bodyOf(decoder, rest, pipe);
  const { status, reason } = head;
  const isNull = status === 204 || status === 205 || status === 304;
  return new Response(isNull ? null : body, {
    status: status < 200 || status > 599 ? 502 : status,
    statusText: reason.replace(/[^\t\x20-\x7e]/g, ""),
    headers,
    encodeBody: "manual",
  });
}

function bodyOf(decoder: BodyDecoder, rest: Uint8Array, pipe: GuestPipe): ReadableStream<Uint8Array> {
  let early: Uint8Array | null = rest;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        const bytes: Uint8Array | null = early && early.length > 0 ? early : await pipe.read();
        early = null;
        const pieces = bytes ? decoder.push(bytes).pieces : [];
        for (const piece of pieces) controller.enqueue(piece);
        if (decoder.isBad || (bytes === null && !decoder.end())) throw new Error("The answer is cut short.");
        if (decoder.isDone) {
          pipe.close();
          return controller.close();
        }
        if (pieces.length > 0) return undefined;
      }
    },
    cancel: () => pipe.abort(),
  });
}
