import { DohClient } from "../durable-objects/doh.ts";
import { count, observe } from "./metrics.ts";

/** Asks the upstreams one after the other, as the tunnels do, and counts how that went; SERVFAIL when none answers. */
export const askUpstreams = (upstreams: readonly string[], message: Uint8Array): Promise<Uint8Array> =>
  new DohClient(upstreams, (answered, tookMs) => {
    observe("dns_upstream_latency_seconds", tookMs / 1000);
    if (!answered) count("dns_upstream_errors_total");
  }).ask(message);
