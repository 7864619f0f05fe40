import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type TunnelNotice, readTunnelNotice } from "#protocol/tunnel-notices";
import { encodeL2 } from "#protocol/virga-l2";

const flow = { flow: 3, direction: "out", name: "mirror.test", address: "2001:db8::7", port: 443 } as const;
const notices: TunnelNotice[] = [
  { type: "flow-opened", ...flow, egress: "connect" },
  { type: "flow-refused", ...flow, code: "platform-port", problem: "Mail servers cannot be reached." },
  { type: "flow-closed", ...flow, why: "done", sentBytes: 5, receivedBytes: 2 ** 40 },
  { type: "quota", of: "hosts", limit: 30, retryAfterMs: 1000 },
  { type: "policy", profile: "guest", egress: "relay", internet: true },
  { type: "ports", ports: [{ id: "a1", port: 80, access: "link", url: "https://a1.virga.test/" }] },
  {
    type: "limits",
    flows: 256,
    connectionsPerSecond: 20,
    bytes: 2 ** 33,
    hostsPerMinute: 60,
    idleTimeoutMs: 300_000,
  },
];

describe("tunnel notices", () => {
  test.each(notices)("$type arrives as it was sent", (notice) => {
    const json = JSON.stringify(notice);
    expect(encodeL2.notice(json)).not.toBeNull();
    expect(readTunnelNotice(json)).toEqual({ ok: true, value: notice });
  });

  test.each([
    ["no JSON", "{"],
    ["null", "null"],
    ["an unknown type", '{"type":"weather"}'],
    ["a port of 65536", JSON.stringify({ ...notices[0], port: 65_536 })],
    ["a name of 254 characters", JSON.stringify({ ...notices[0], name: "a".repeat(254) })],
    ["an unknown code", JSON.stringify({ ...notices[1], code: "because" })],
  ])("%s is refused", (_, json) => {
    expect(readTunnelNotice(json).ok).toBe(false);
  });

  test("any text is read or refused", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(typeof readTunnelNotice(text).ok).toBe("boolean");
      }),
    );
  });
});
