/**
 * Counters in the text format of Prometheus. Each isolate of the Worker counts for itself and forgets when it ends: sums
 * over scrapes are lower bounds. What lives in objects is counted there.
 */
const counters = [
  "http_requests_total",
  "dns_queries_total",
  "dns_cache_hits_total",
  "dns_cache_misses_total",
  "dns_upstream_errors_total",
  "tcp_proxy_blocked_by_host_policy_total",
  "tcp_proxy_blocked_by_ip_policy_total",
  "l2_sessions_total",
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

export function metricsText(): string {
  const lines: string[] = [];
  for (const [name, series] of values) {
    lines.push(`# TYPE ${name} counter`);
    if (series.size === 0) lines.push(`${name} 0`);
    for (const [labels, value] of series) lines.push(`${name}${labels && `{${labels}}`} ${value}`);
  }
  for (const [name, { counts, sum, count: total }] of observed) {
    lines.push(`# TYPE ${name} histogram`);
    for (const [index, bound] of buckets.entries())
      lines.push(`${name}_bucket{le="${bound}"} ${counts[index]}`);
    lines.push(`${name}_bucket{le="+Inf"} ${total}`, `${name}_sum ${sum}`, `${name}_count ${total}`);
  }
  return `${lines.join("\n")}\n`;
}
