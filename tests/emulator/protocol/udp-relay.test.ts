import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RelayAuth, RelayControl, decodeRelayDatagram, encodeRelayDatagram } from "#protocol/udp-relay";
import { bytesOf, hex } from "../../support/hex.ts";

const v4 = bytesOf("c6336407");
const v6 = bytesOf("20010db8000000000000000000000007");
const rest = { guestPort: 5353, remotePort: 123, payload: bytesOf("00") };

describe("UDP relay framing", () => {
  test.each([
    ["v1", "14e9c6336407007b00", { version: 1, remoteIp: v4, ...rest }],
    ["v2", "a202040014e9c6336407007b00", { version: 2, remoteIp: v4, ...rest }],
    ["v2 IPv6", "a202060014e920010db8000000000000000000000007007b00", { version: 2, remoteIp: v6, ...rest }],
  ] as const)("%s", (_, text, datagram) => {
    expect(hex(encodeRelayDatagram(datagram)!)).toBe(text);
    expect(decodeRelayDatagram(bytesOf(text))).toEqual(datagram);
  });

  test.each([
    ["seven bytes", "14e9c633640700"],
    ["v2 of an unknown family", "a202050014e9c6336407007b00"],
    ["v2 of an unknown type", "a202040114e9c6336407007b00"],
    ["v2 cut short", "a202040014e9c6336407"],
    ["v2 IPv6 cut short", "a202060014e920010db800000000000000000000000700"],
    ["port 0", "14e9c6336407000000"],
    ["1201 bytes of payload", `14e9c6336407007b${"00".repeat(1201)}`],
  ])("%s is dropped", (_, text) => {
    expect(decodeRelayDatagram(bytesOf(text))).toBeNull();
  });

  test("an empty datagram is one, and the bound is the caller's", () => {
    expect(decodeRelayDatagram(bytesOf("14e9c6336407007b"))?.payload).toHaveLength(0);
    const long = bytesOf(`14e9c6336407007b${"00".repeat(1201)}`);
    expect(decodeRelayDatagram(long, 1472)?.payload).toHaveLength(1201);
  });

  test("what v1 cannot say is not encoded", () => {
    expect(encodeRelayDatagram({ version: 1, remoteIp: v6, ...rest })).toBeNull();
    expect(encodeRelayDatagram({ version: 1, remoteIp: v4, ...rest, guestPort: 0xa202 })).toBeNull();
    expect(encodeRelayDatagram({ version: 2, remoteIp: bytesOf("0102"), ...rest })).toBeNull();
  });

  test("control messages", () => {
    expect(RelayAuth.safeParse({ type: "auth", token: "t" }).success).toBe(true);
    expect(RelayAuth.safeParse({ type: "auth", token: "t".repeat(4097) }).success).toBe(false);
    expect(RelayControl.safeParse({ type: "ready", sessionId: "s" }).success).toBe(true);
    expect(RelayControl.safeParse({ type: "other" }).success).toBe(false);
  });

  test("any bytes are read or dropped, and what is read encodes to the same bytes", () => {
    const shaped = fc
      .tuple(fc.constantFrom(4, 5, 6), fc.constantFrom(0, 1), fc.uint8Array({ maxLength: 60 }))
      .map(([family, type, tail]) => Uint8Array.of(0xa2, 2, family, type, ...tail));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), shaped), (message) => {
        const datagram = decodeRelayDatagram(message);
        const again = datagram ? encodeRelayDatagram(datagram)! : message;
        expect(hex(again)).toBe(hex(message));
      }),
      { numRuns: 2000 },
    );
  });
});
