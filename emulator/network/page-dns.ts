import { type Failure } from "../protocol/failure.ts";

const TYPE = "application/dns-message";
const TIMEOUT_MS = 5000;
const ANSWER_BYTES = 65_535;

/**
 * DNS over HTTPS (RFC 8484, POST). `enter` renews the session where the server is of this site and says that it knows none.
 * Null: nobody answers.
 */
export function pageDns(
  fetcher: typeof fetch,
  url: string,
  enter: () => Promise<Failure | null>,
): (message: Uint8Array) => Promise<Uint8Array | null> {
  const ask = (message: Uint8Array): Promise<Response> =>
    fetcher(url, {
      method: "POST",
      headers: { "content-type": TYPE, accept: TYPE },
      body: message.slice(),
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  return async (message) => {
    try {
      let response = await ask(message);
      if (response.status === 401 && (await enter()) === null) response = await ask(message);
      const declared = Number(response.headers.get("content-length") ?? 0);
      if (response.status !== 200 || declared > ANSWER_BYTES) {
        await response.body?.cancel();
        return null;
      }
      const answer = new Uint8Array(await response.arrayBuffer());
      return answer.length >= 12 && answer.length <= ANSWER_BYTES ? answer : null;
    } catch {
      return null;
    }
  };
}
