import { ETHERNET_BYTES } from "./wire/ethernet.ts";
import type { StackConfig } from "./world.ts";

/**
 * The LAN as a guest finds it by default: the addresses of QEMU's user network, which aero-l2-tunnel-v1 presents too, so
 * that images with a fixed address work as they are. IPv6 is a unique local prefix (RFC 4193).
 */
export const lanDefaults: Omit<StackConfig, "secret" | "epochMs"> = {
  gatewayMac: Uint8Array.of(0x02, 0, 0, 0, 0, 0x01),
  gateway: "10.0.2.2",
  prefixLength: 24,
  firstLease: "10.0.2.15",
  leases: 64,
  mtu: 1500,
  segmentBytes: 1500,
  ipv6Prefix: "fd00:7669:7267::",
  domain: "virga.internal",
  maxFlows: 1024,
  sendBufferBytes: 262_144,
  receiveBufferBytes: 262_144,
};

/**
 * The same LAN behind a carrier with credit: frames as long as `virga-l2-v1` and the rings between workers carry, and buffers
 * as large as its window.
 */
export const largeLan: typeof lanDefaults = {
  ...lanDefaults,
  segmentBytes: 16_380 - ETHERNET_BYTES,
  sendBufferBytes: 1_048_576,
  receiveBufferBytes: 1_048_576,
};
