import { dnsCodes } from "../durable-objects/net/dns-message.ts";
import { headerAnswer } from "../durable-objects/net/dns-answer.ts";
import { limits } from "./limits.ts";
import { count, observe } from "./metrics.ts";

const TYPE = "application/dns-message";

/** Asks the upstreams one after the other by POST (RFC 8484 §4.1); SERVFAIL when none answers. */
export async function askUpstreams(
  upstreams: readonly string[],
  message: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array> {
  for (const url of upstreams) {
    const startedMs = Date.now();
    const answer = await post(url, message).catch(() => null);
    observe("dns_upstream_latency_seconds", (Date.now() - startedMs) / 1000);
    if (answer) return answer;
    count("dns_upstream_errors_total");
  }
  return headerAnswer(message, dnsCodes.serverFailure);
}

async function post(url: string, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": TYPE, accept: TYPE },
    body,
    redirect: "manual",
    signal: AbortSignal.timeout(limits.dnsUpstreamMs),
  });
  const declared = Number(response.headers.get("content-length") ?? 0);
  if (response.status !== 200 || declared > limits.dnsUpstreamBytes) {
    await response.body?.cancel();
    return null;
  }
  const answer = new Uint8Array(await response.arrayBuffer());
  return answer.length <= limits.dnsUpstreamBytes ? answer : null;
}
