import type { IncomingMessage, ServerResponse } from "node:http";
import type { WebSocket } from "ws";
import * as z from "zod/mini";
import { TokenBucket } from "../../durable-objects/policy/quota.ts";
import { type Client, type RelayKeys, clientOf, idShownBy, shownBy } from "./credentials.ts";
import { type UdpSessions, sentences as placeSentences } from "./udp-sessions.ts";
import { MAX_SDP_BYTES, type WebRtcCarrier } from "./webrtc.ts";

/** How clients get a place, and browsers a way to the relay for WebRTC (§7.3 of the relay's protocol): HTTP, or a WebSocket. */
const Sdp = z.string().check(z.maxLength(MAX_SDP_BYTES));
const Description = z.object({ type: z.literal("offer"), sdp: Sdp });
const Offer = z.object({ sdp: z.union([Description, Sdp]) });
const FirstOffer = z.object({ version: z.literal(1), offer: z.union([Description, Sdp]) });
const Signal = z.discriminatedUnion("type", [
  z.object({ type: z.literal("auth"), token: z.optional(Sdp), apiKey: z.optional(Sdp) }),
  z.object({ type: z.literal("offer"), sdp: Description }),
  z.object({ type: z.literal("candidate"), candidate: z.looseObject({}) }),
  z.object({ type: z.literal("close") }),
]);

const statuses = {
  bad_message: 400,
  unauthorized: 401,
  session_already_active: 409,
  internal_error: 500,
  too_many_sessions: 503,
} as const;
type Refusal = keyof typeof statuses;

const sentences: Readonly<Record<Refusal | "unexpected_message" | "rate_limited", string>> = {
  ...placeSentences,
  bad_message: "This is no offer of a data channel.",
  internal_error: "The relay's WebRTC has failed. Ask again.",
  unexpected_message: "Not now.",
  rate_limited: "These are too many messages.",
};

/** Of one WebSocket, candidates among them; none of them says anything that the relay needs. */
const MESSAGES_PER_SECOND = 50;
/** For the offer to come after the WebSocket is there. */
const OFFER_MS = 30_000;

export class Signalling {
  readonly #keys: RelayKeys;
  readonly #sessions: UdpSessions;
  readonly #carrier: WebRtcCarrier | undefined;

  /** Without a carrier places only. */
  constructor(keys: RelayKeys, sessions: UdpSessions, carrier: WebRtcCarrier | undefined) {
    this.#keys = keys;
    this.#sessions = sessions;
    this.#carrier = carrier;
  }

  /** False: the path is none of these. */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const { pathname } = new URL(request.url ?? "/", "http://relay");
    const method = request.method ?? "";
    const answer = this.#answerOf(pathname, request, response);
    if (!answer) return false;
    // Credentials are shown by scripts and never by cookies: pages of any origin may ask.
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("cache-control", "no-store");
    if (method === "OPTIONS") {
      response.setHeader("access-control-allow-headers", "authorization, content-type");
      response.writeHead(204).end();
    } else if (method === answer.method) answer.by();
    else json(response, 405, { code: "bad_message", message: `Ask by ${answer.method}.` });
    return true;
  }

  /** Null: nothing is there. */
  #answerOf(path: string, request: IncomingMessage, response: ServerResponse): HttpAnswer | null {
    const carrier = this.#carrier;
    if (path === "/session") return { method: "POST", by: () => void this.#onReservation(request, response) };
    if (!carrier) return null;
    if (path === "/webrtc/ice") return { method: "GET", by: () => json(response, 200, { iceServers: [] }) };
    const isOffer = path === "/webrtc/offer" || path === "/offer";
    return isOffer
      ? { method: "POST", by: () => void this.#onOffer(carrier, path, request, response) }
      : null;
  }

  async #clientOf(request: IncomingMessage, shown = shownBy(request)): Promise<Client | null> {
    const client = await clientOf(this.#keys, shown, request.headers.origin);
    return client && this.#sessions.claimed(client, idShownBy(request));
  }

  /** `POST /session`: a place is kept for a minute, and its id is the whole answer. */
  async #onReservation(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.resume();
    const client = await clientOf(this.#keys, shownBy(request), request.headers.origin);
    const place = client ? this.#sessions.reserve(client) : "unauthorized";
    if (client && place === "reserved")
      response.writeHead(201, { "content-type": "text/plain; charset=utf-8" }).end(client.sid);
    else if (place !== "reserved") refuse(response, place);
  }

  async #onOffer(
    carrier: WebRtcCarrier,
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const client = await this.#clientOf(request);
    if (!client) return refuse(response, "unauthorized");
    const body = await bodyOf(request);
    const offer =
      path === "/offer" ? FirstOffer.safeParse(body).data?.offer : Offer.safeParse(body).data?.sdp;
    if (offer === undefined) return refuse(response, "bad_message");
    const answer = await carrier.answer(typeof offer === "string" ? offer : offer.sdp, client);
    if (!answer.ok) return refuse(response, answer.code);
    // In the form in which the offer came.
    const description = typeof offer === "string" ? answer.sdp : { type: "answer", sdp: answer.sdp };
    if (path === "/offer") return json(response, 200, { version: 1, answer: description });
    return json(response, 200, { sessionId: client.sid, sdp: description });
  }

  /** `/webrtc/signal`: a credential if the request shows none, one offer, one answer. Our addresses are in the answer. */
  onSocket(carrier: WebRtcCarrier, request: IncomingMessage, socket: WebSocket): void {
    let shown = shownBy(request);
    let hasOffered = false;
    let end = (): void => {};
    const say = (message: object): void => socket.send(JSON.stringify(message));
    const refuseHere = (code: keyof typeof sentences): void => {
      say({ type: "error", code, message: sentences[code] });
      socket.close(1008, code);
    };
    const timer = setTimeout(() => socket.close(1001, "no offer"), OFFER_MS);
    const onOffer = async (sdp: string): Promise<void> => {
      const client = await this.#clientOf(request, shown);
      if (!client) return refuseHere("unauthorized");
      const answer = await carrier.answer(sdp, client);
      if (!answer.ok) return refuseHere(answer.code);
      // Who has gone in the meantime does not come.
      if (socket.readyState !== socket.OPEN) return answer.end();
      ({ end } = answer);
      return say({ type: "answer", sdp: { type: "answer", sdp: answer.sdp } });
    };
    const messages = new TokenBucket(MESSAGES_PER_SECOND, MESSAGES_PER_SECOND);
    socket.on("error", () => {});
    socket.on("close", () => clearTimeout(timer));
    socket.on("message", (message: Buffer, isBinary) => {
      if (socket.readyState !== socket.OPEN) return undefined;
      if (!messages.take(1, Date.now())) return refuseHere("rate_limited");
      const said = isBinary ? null : Signal.safeParse(parsed(message.toString())).data;
      if (!said) return refuseHere("bad_message");
      if (said.type === "close") {
        end();
        return socket.close(1000);
      }
      // An offer comes once, a credential before it, candidates after it.
      if ((said.type === "candidate") !== hasOffered) return refuseHere("unexpected_message");
      if (said.type === "auth") shown ??= said.token ?? said.apiKey ?? "";
      if (said.type !== "offer") return undefined;
      hasOffered = true;
      clearTimeout(timer);
      return void onOffer(said.sdp.sdp);
    });
  }
}

interface HttpAnswer {
  readonly method: "GET" | "POST";
  readonly by: () => void;
}

const refuse = (response: ServerResponse, code: Refusal): void =>
  json(response, statuses[code], { code, message: sentences[code] });

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

/** Undefined: longer than an offer may be, or no JSON. */
async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of request) {
      bytes += (piece as Buffer).length;
      if (bytes > 2 * MAX_SDP_BYTES) return undefined;
      pieces.push(piece as Buffer);
    }
  } catch {
    return undefined;
  }
  return parsed(Buffer.concat(pieces).toString());
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
