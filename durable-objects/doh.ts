import { dnsCodes } from "./net/dns-message.ts";
import { headerAnswer } from "./net/dns-answer.ts";

const TIMEOUT_MS = 2000;
const ANSWER_BYTES = 65_535;

/**
 * Asks the upstreams in turn by DNS over HTTPS (RFC 8484, POST). SERVFAIL where none answers in time. Questions that are
 * under way count against the connections that an object may be opening, so there are few at a time.
 */
export class DohClient {
  readonly #upstreams: readonly string[];
  /** The upstream that answered last is asked first. */
  #first = 0;

  constructor(upstreams: readonly string[]) {
    this.#upstreams = upstreams;
  }

  async ask(message: Uint8Array): Promise<Uint8Array> {
    const count = this.#upstreams.length;
    for (let turn = 0; turn < count; turn++) {
      const at = (this.#first + turn) % count;
      const answer = await post(this.#upstreams[at]!, message).catch(() => null);
      if (!answer) continue;
      this.#first = at;
      return answer;
    }
    return headerAnswer(message, dnsCodes.serverFailure);
  }
}

async function post(url: string, message: Uint8Array): Promise<Uint8Array | null> {
  const type = "application/dns-message";
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": type, accept: type },
    body: message.slice(),
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const declared = Number(response.headers.get("content-length") ?? 0);
  if (response.status !== 200 || declared > ANSWER_BYTES) {
    await response.body?.cancel();
    return null;
  }
  const answer = new Uint8Array(await response.arrayBuffer());
  return answer.length >= 12 && answer.length <= ANSWER_BYTES ? answer : null;
}
