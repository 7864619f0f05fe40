import type { IncomingMessage, ServerResponse } from "node:http";
import type { WebSocket } from "ws";
import * as z from "zod/mini";
import { type RelayKeys, clientOf, shownBy } from "./credentials.ts";
import { MAX_SDP_BYTES, type WebRtcCarrier } from "./webrtc.ts";

/** How browsers and the relay find each other for WebRTC (§7.3 of the relay's protocol): HTTP, or a WebSocket. */
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
  too_many_sessions: 503,
} as const;
type Refusal = keyof typeof statuses;

const sentences: Readonly<Record<Refusal, string>> = {
  bad_message: "This is no offer of a data channel.",
  unauthorized: "The credential is missing or not valid.",
  session_already_active: "This session is open already.",
  too_many_sessions: "This relay has as many sessions as it takes.",
};

/** For the offer to come after the WebSocket is there. */
const OFFER_MS = 30_000;

export class Signalling {
  readonly #keys: RelayKeys;
  readonly #carrier: WebRtcCarrier;

  constructor(keys: RelayKeys, carrier: WebRtcCarrier) {
    this.#keys = keys;
    this.#carrier = carrier;
  }

  /** False: the path is none of these. */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    const { pathname } = new URL(request.url ?? "/", "http://relay");
    const method = request.method ?? "";
    // Credentials are shown by scripts and never by cookies: pages of any origin may ask.
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("cache-control", "no-store");
    const isOffer = pathname === "/webrtc/offer" || pathname === "/offer";
    if (!isOffer && pathname !== "/webrtc/ice") return false;
    if (method === "OPTIONS") {
      response.setHeader("access-control-allow-headers", "authorization, content-type");
      response.writeHead(204).end();
    } else if (!isOffer && method === "GET") json(response, 200, { iceServers: [] });
    else if (isOffer && method === "POST") void this.#onOffer(pathname, request, response);
    else json(response, 405, { error: "bad_message", message: "Offers are posted." });
    return true;
  }

  async #onOffer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const refuse = (code: Refusal): void =>
      json(response, statuses[code], { error: code, message: sentences[code] });
    const client = await clientOf(this.#keys, shownBy(request), request.headers.origin);
    if (!client) return refuse("unauthorized");
    const body = await bodyOf(request);
    const offer =
      path === "/offer" ? FirstOffer.safeParse(body).data?.offer : Offer.safeParse(body).data?.sdp;
    if (offer === undefined) return refuse("bad_message");
    const answer = await this.#carrier.answer(typeof offer === "string" ? offer : offer.sdp, client);
    if (!answer.ok) return refuse(answer.code);
    // In the form in which the offer came.
    const description = typeof offer === "string" ? answer.sdp : { type: "answer", sdp: answer.sdp };
    if (path === "/offer") return json(response, 200, { version: 1, answer: description });
    return json(response, 200, { sessionId: client.sid, sdp: description });
  }

  /** `/webrtc/signal`: a credential if the request shows none, one offer, one answer. Our addresses are in the answer. */
  onSocket(request: IncomingMessage, socket: WebSocket): void {
    let shown = shownBy(request);
    let isDone = false;
    const say = (message: object): void => socket.send(JSON.stringify(message));
    const refuse = (code: Refusal | "unexpected_message"): void => {
      say({ type: "error", code, message: code === "unexpected_message" ? "Not now." : sentences[code] });
      socket.close(1008, code);
    };
    const timer = setTimeout(() => socket.close(1001, "no offer"), OFFER_MS);
    const onOffer = async (sdp: string): Promise<void> => {
      const client = await clientOf(this.#keys, shown, request.headers.origin);
      if (!client) return refuse("unauthorized");
      const answer = await this.#carrier.answer(sdp, client);
      if (!answer.ok) return refuse(answer.code);
      return say({ type: "answer", sdp: { type: "answer", sdp: answer.sdp } });
    };
    socket.on("error", () => {});
    socket.on("close", () => clearTimeout(timer));
    socket.on("message", (message: Buffer, isBinary) => {
      const said = isBinary ? null : Signal.safeParse(parsed(message.toString())).data;
      if (!said) return refuse("bad_message");
      if (said.type === "close") return socket.close(1000);
      if (said.type === "candidate") return undefined;
      if (isDone || (said.type === "auth" && shown !== undefined)) return refuse("unexpected_message");
      if (said.type === "auth") shown = said.token ?? said.apiKey ?? "";
      else {
        isDone = true;
        clearTimeout(timer);
        void onOffer(said.sdp.sdp);
      }
      return undefined;
    });
  }
}

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
