import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

/** RFC 6528 §3: M + F(addresses, ports, secret), where M advances every four microseconds. */
export function initialSequence(secret: Uint8Array, key: Uint8Array, nowMs: number): number {
  const digest = hmac(sha256, secret, key);
  const offset = new DataView(digest.buffer, digest.byteOffset).getUint32(0);
  return (Math.floor(nowMs * 250) + offset) >>> 0;
}
