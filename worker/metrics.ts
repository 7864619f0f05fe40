import {
  type Tally,
  noPings,
  objectCounters,
  objectGauges,
  pingBuckets,
} from "../durable-objects/policy/counters.ts";
import { registerNames } from "../durable-objects/policy/registers.ts";

/**
 * Counters in the text format of Prometheus. Each isolate of the Worker counts for itself and forgets when it ends: sums
 * over scrapes are lower bounds. What objects count they tell their register, which adds it up and forgets nothing.
 */
const counters = [
  "http_requests_total",
  "dns_queries_total",
  "dns_cache_hits_total",
  "dns_cache_misses_total",
  "dns_upstream_errors_total",
  "l2_upgrade_rejected_total",
  "l2_upgrade_reject_origin_missing_total",
  "l2_upgrade_reject_origin_not_allowed_total",
  "l2_upgrade_reject_host_missing_total",
  "l2_upgrade_reject_host_invalid_total",
  "l2_upgrade_reject_host_not_allowed_total",
  "l2_upgrade_reject_auth_missing_total",
  "l2_upgrade_reject_auth_invalid_total",
  "l2_upgrade_reject_max_connections_total",
  "l2_upgrade_reject_max_connections_per_session_total",
  "l2_upgrade_reject_max_tunnels_per_session_total",
  "l2_upgrade_ip_limit_exceeded_total",
  "l2_auth_failures_total",
  "l2_auth_reject_total",
  "l2_session_connection_denied_total",
] as const;
export type Counter = (typeof counters)[number];

/** Upper bounds of the buckets, in seconds. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] as const;
const histograms = ["http_request_duration_seconds", "dns_upstream_latency_seconds"] as const;
export type Histogram = (typeof histograms)[number];

/** Labels come from our own tables, never from a visitor, so there are few of them. */
const values = new Map<Counter, Map<string, number>>(counters.map((name) => [name, new Map()]));
const observed = new Map<Histogram, { counts: number[]; sum: number; count: number }>(
  histograms.map((name) => [name, { counts: buckets.map(() => 0), sum: 0, count: 0 }]),
);

/** `labels` as Prometheus writes them: `method="GET",status="200"`. */
export function count(name: Counter, labels = "", by = 1): void {
  const series = values.get(name)!;
  series.set(labels, (series.get(labels) ?? 0) + by);
}

export function observe(name: Histogram, seconds: number): void {
  const series = observed.get(name)!;
  for (const [index, bound] of buckets.entries()) if (seconds <= bound) series.counts[index]!++;
  series.sum += seconds;
  series.count++;
}

/** Registers are asked at most so often by one isolate, whoever asks for `/metrics`. */
const TALLY_MS = 5000;
let told: { readonly atMs: number; readonly tally: Tally } | undefined;

/** What all objects have told their registers. Wakes none of them. */
async function tallyOf(env: Env): Promise<Tally> {
  if (told && Date.now() - told.atMs < TALLY_MS) return told.tally;
  const tallies = await Promise.all(registerNames.map((name) => env.REGISTER.getByName(name).tally()));
  const counts: Record<string, number> = {};
  const gauges: Record<string, number> = {};
  const pings = noPings();
  let objects = 0;
  for (const tally of tallies) {
    for (const [name, value] of Object.entries(tally.counts)) counts[name] = (counts[name] ?? 0) + value;
    for (const [name, value] of Object.entries(tally.gauges)) gauges[name] = (gauges[name] ?? 0) + value;
    for (const [at, value] of tally.pings.buckets.entries()) pings.buckets[at]! += value;
    pings.count += tally.pings.count;
    pings.sumMs += tally.pings.sumMs;
    objects += tally.objects;
  }
  told = { atMs: Date.now(), tally: { counts, gauges, pings, objects } };
  return told.tally;
}

export async function metricsText(env: Env): Promise<string> {
  const lines: string[] = [];
  for (const [name, series] of values) {
    lines.push(`# TYPE ${name} counter`);
    if (series.size === 0) lines.push(`${name} 0`);
    for (const [labels, value] of series) lines.push(`${name}${labels && `{${labels}}`} ${value}`);
  }
  for (const [name, series] of observed) lines.push(...histogram(name, buckets, series));
  lines.push(...objectLines(await tallyOf(env)));
  return `${lines.join("\n")}\n`;
}

/** `counts[at]`: how many were at most `bounds[at]`. */
function histogram(
  name: string,
  bounds: readonly number[],
  {
    counts,
    sum,
    count: total,
  }: { readonly counts: readonly number[]; readonly sum: number; readonly count: number },
): string[] {
  const rows = bounds.map((bound, at) => `${name}_bucket{le="${bound}"} ${counts[at]}`);
  const rest = [`${name}_bucket{le="+Inf"} ${total}`, `${name}_sum ${sum}`, `${name}_count ${total}`];
  return [`# TYPE ${name} histogram`, ...rows, ...rest];
}

/** A server need not make captures: here the page makes them. Who asks for these names finds that none were made. */
const captureCounters = ["bytes", "frames", "frames_dropped", "errors"].map(
  (what) => `l2_capture_${what}_total`,
);

function objectLines({ counts, gauges, pings, objects }: Tally): string[] {
  const row = (name: string, type: string, value: number): string[] => [
    `# TYPE ${name} ${type}`,
    `${name} ${value}`,
  ];
  let sum = 0;
  const upTo = pings.buckets.map((value) => (sum += value));
  return [
    ...objectCounters.flatMap((name) => row(name, "counter", counts[name] ?? 0)),
    ...objectGauges.flatMap((name) => row(name, "gauge", gauges[name] ?? 0)),
    ...captureCounters.flatMap((name) => row(name, "counter", 0)),
    ...row("virga_tunnels_open", "gauge", objects),
    ...histogram("l2_ping_rtt_ms", pingBuckets, { counts: upTo, sum: pings.sumMs, count: pings.count }),
  ];
}
