import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AeroL2Message,
  aeroL2Limits,
  aeroL2MessageBytes,
  decodeAeroL2,
  encodeAeroL2,
  pingPayload,
  receiveAeroL2,
} from "#protocol/aero-l2";
import { closeReason } from "#protocol/wire-bytes";
import { bytesOf, hex } from "../../support/hex.ts";
import { valueOf } from "../../support/outcome.ts";

const one = bytesOf("0000000000000001");
const vectors: [string, string, Uint8Array, AeroL2Message][] = [
  ["PING 1", "a20301000000000000000001", encodeAeroL2.ping(pingPayload(1n)), { type: "ping", payload: one }],
  ["PONG 1", "a20302000000000000000001", encodeAeroL2.pong(one), { type: "pong", payload: one }],
  [
    "FRAME of 3 bytes",
    "a2030000ffffff",
    encodeAeroL2.frame(bytesOf("ffffff")),
    { type: "frame", payload: bytesOf("ffffff") },
  ],
  [
    "ERROR 6 full",
    "a2037f000006000466756c6c",
    encodeAeroL2.error("quota_bytes", "full"),
    { type: "error", code: 6, text: "full" },
  ],
  ["ERROR no", "a2037f006e6f", encodeAeroL2.errorText("no"), { type: "error", text: "no" }],
];

describe("aero-l2-tunnel-v1", () => {
  test.each(vectors)("%s", (_, text, encoded, message) => {
    expect(hex(encoded)).toBe(text);
    expect(valueOf(decodeAeroL2(bytesOf(text)))).toEqual(message);
  });

  test("an ERROR whose length does not fit, or whose words are not UTF-8, is words alone", () => {
    expect(valueOf(decodeAeroL2(bytesOf("a2037f000006000566756c6c")))).toEqual({
      type: "error",
      text: "\0\x06\0\x05full",
    });
    expect(valueOf(decodeAeroL2(bytesOf("a2037f0000060001ff")))).not.toHaveProperty("code");
  });

  test.each([
    ["no bytes", ""],
    ["three bytes", "a20300"],
    ["another magic", "a3030000"],
    ["the relay's v2 mark", "a2020400"],
    ["version 4", "a2040000"],
    ["a frame of 2049 bytes", `a2030000${"00".repeat(2049)}`],
    ["a PING of 257 bytes", `a2030100${"00".repeat(257)}`],
    ["an ERROR of 257 bytes", `a2037f00${"00".repeat(257)}`],
    ["an unknown type of 2049 bytes", `a2035500${"00".repeat(2049)}`],
  ])("%s: refused by a server, dropped by a client", (_, text) => {
    const message = bytesOf(text);
    expect(decodeAeroL2(message).ok).toBe(false);
    expect(receiveAeroL2("client", message)).toEqual({ kind: "ignore" });
    const verdict = receiveAeroL2("server", message);
    expect(verdict.kind).toBe("refuse");
    if (verdict.kind === "refuse")
      expect(valueOf(decodeAeroL2(verdict.error))).toEqual({ type: "error", code: 1, text: verdict.reason });
  });

  test("text, unknown types and unknown flags disturb nobody", () => {
    expect(receiveAeroL2("server", "hello")).toEqual({ kind: "ignore" });
    expect(receiveAeroL2("server", bytesOf("a2035500"))).toEqual({ kind: "ignore" });
    expect(receiveAeroL2("server", bytesOf("a20301ff"))).toEqual({
      kind: "message",
      message: { type: "ping", payload: new Uint8Array(0) },
    });
  });

  test("limits are those that the session was told", () => {
    const limits = { maxFramePayloadBytes: 64, maxControlPayloadBytes: 100 };
    expect(aeroL2MessageBytes(limits)).toBe(104);
    expect(aeroL2MessageBytes(aeroL2Limits)).toBe(2052);
    expect(decodeAeroL2(encodeAeroL2.frame(new Uint8Array(64)), limits).ok).toBe(true);
    expect(decodeAeroL2(encodeAeroL2.frame(new Uint8Array(65)), limits).ok).toBe(false);
    expect(encodeAeroL2.error("backpressure", "x".repeat(500), 100)).toHaveLength(104);
  });

  test("close reasons end between characters after at most 123 bytes", () => {
    expect(closeReason("ß".repeat(100))).toBe("ß".repeat(61));
    expect(closeReason("idle timeout")).toBe("idle timeout");
  });

  test("any bytes are read or refused, and never cost more than themselves", () => {
    const shaped = fc
      .tuple(fc.constantFrom(0, 1, 2, 0x7f, 0x55), fc.uint8Array({ maxLength: 400 }))
      .map(([type, payload]) => Uint8Array.of(0xa2, 3, type, 0, ...payload));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), shaped), (message) => {
        const decoded = decodeAeroL2(message);
        if (decoded.ok && "payload" in decoded.value)
          expect(decoded.value.payload).toHaveLength(message.length - 4);
        expect(receiveAeroL2("server", message).kind).toMatch(/message|ignore|refuse/);
      }),
      { numRuns: 2000 },
    );
  });
});
