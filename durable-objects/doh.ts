import { DNS_HEADER_BYTES, dnsCodes } from "./net/dns-message.ts";
import { headerAnswer } from "./net/dns-answer.ts";

const TIMEOUT_MS = 2000;
const ANSWER_BYTES = 65_535;

/**
 * Asks the upstreams in turn by DNS over HTTPS (RFC 8484, POST). SERVFAIL where none answers in time. Questions that are
 * under way count against the connections that an object may be opening, so there are few at a time.
 */
export class DohClient {
  readonly #upstreams: readonly string[];
  readonly #onTry: (answered: boolean, tookMs: number) => void;
  /** The upstream that answered last is asked first. */
  #first = 0;

  /** `onTry` is told of each upstream that was asked. */
  constructor(upstreams: readonly string[], onTry: (answered: boolean, tookMs: number) => void = () => {}) {
    this.#upstreams = upstreams;
    this.#onTry = onTry;
  }

  async ask(message: Uint8Array): Promise<Uint8Array> {
    const count = this.#upstreams.length;
    for (let turn = 0; turn < count; turn++) {
      const at = (this.#first + turn) % count;
      const startedMs = Date.now();
      const answer = await post(this.#upstreams[at]!, message).catch(() => null);
      this.#onTry(answer !== null, Date.now() - startedMs);
      if (!answer) continue;
      this.#first = at;
      return answer;
    }
    return headerAnswer(message, dnsCodes.serverFailure);
  }
}

/** One question to one upstream. Null: no answer in time, or none that is one. */
async function post(url: string, message: Uint8Array): Promise<Uint8Array | null> {
  const type = "application/dns-message";
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": type, accept: type },
    body: message.slice(),
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (response.status === 200 && response.body) return readBounded(response.body);
  await response.body?.cancel();
  return null;
}

/** Null: shorter than a header, or longer than a message can be; what is too long is not read to its end. */
async function readBounded(body: ReadableStream<Uint8Array>): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body) {
    length += piece.length;
    // Leaving the loop cancels the body.
    if (length > ANSWER_BYTES) return null;
    pieces.push(piece);
  }
  if (length < DNS_HEADER_BYTES) return null;
  const answer = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    answer.set(piece, at);
    at += piece.length;
  }
  return answer;
}
