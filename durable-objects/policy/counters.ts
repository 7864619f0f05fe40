/** What objects count for `/metrics`, by the names of aero-l2-tunnel-v1 (§1.10) and of the gateway (§4.4); the last ones are ours. */
export const objectCounters = [
  "l2_sessions_total",
  "l2_frames_rx_total",
  "l2_frames_tx_total",
  "l2_bytes_rx_total",
  "l2_bytes_tx_total",
  "l2_frames_dropped_total",
  "l2_sessions_closed_quota_bytes_total",
  "l2_sessions_closed_quota_fps_total",
  "l2_sessions_closed_backpressure_total",
  "aero_l2_idle_timeouts_total",
  "l2_policy_denied_total",
  "l2_tcp_connect_fail_total",
  "l2_udp_send_fail_total",
  "l2_udp_flow_limit_exceeded_total",
  "l2_dns_queries_total",
  "l2_dns_fail_total",
  "tcp_proxy_blocked_by_host_policy_total",
  "tcp_proxy_blocked_by_ip_policy_total",
  "virga_objects_woken_total",
  "virga_dials_near_total",
  "virga_dials_sharded_total",
  "virga_sessions_hung_up_total",
] as const;
export type ObjectCounter = (typeof objectCounters)[number];

/** What is so now. A sleeping object's are what it said last. */
export const objectGauges = [
  "l2_sessions_active",
  "l2_tcp_conns_active",
  "l2_udp_flows_active",
  "virga_tunnel_sockets_active",
  "virga_tunnel_held_bytes",
] as const;
export type ObjectGauge = (typeof objectGauges)[number];

/** Upper bounds in milliseconds of the buckets of `l2_ping_rtt_ms`. */
export const pingBuckets = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] as const;

export type Counts = Partial<Record<ObjectCounter, number>>;
export type Gauges = Partial<Record<ObjectGauge, number>>;
/** Of `pingBuckets` and the rest, not summed up, then their number and their sum. */
export interface PingTimes {
  readonly buckets: readonly number[];
  readonly count: number;
  readonly sumMs: number;
}
export const noPings = (): { buckets: number[]; count: number; sumMs: number } => ({
  buckets: pingBuckets.map(() => 0),
  count: 0,
  sumMs: 0,
});
export function addPing(times: { buckets: number[]; count: number; sumMs: number }, rttMs: number): void {
  times.count++;
  times.sumMs += rttMs;
  const at = pingBuckets.findIndex((bound) => rttMs <= bound);
  if (at >= 0) times.buckets[at]!++;
}
/** Frames by the names of the protocol, which sees them from the server. */
export const frameCounts = (frames: {
  readonly framesIn: number;
  readonly framesOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly dropped: number;
}): Counts => ({
  l2_frames_rx_total: frames.framesIn,
  l2_frames_tx_total: frames.framesOut,
  l2_bytes_rx_total: frames.bytesIn,
  l2_bytes_tx_total: frames.bytesOut,
  l2_frames_dropped_total: frames.dropped,
});
/** Everything that objects have said, added up. */
export interface Tally {
  readonly counts: Counts;
  readonly gauges: Gauges;
  readonly pings: PingTimes;
  readonly objects: number;
}
