import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type L2Message, decodeL2, encodeL2 } from "#protocol/virga-l2";
import { bytesOf, hex } from "../../support/hex.ts";
import { valueOf } from "../../support/outcome.ts";

const bytes = bytesOf;
const id = "000102030405060708090a0b0c0d0e0f";
const frame = "ffffffffffff0200000000020806";

/** Written by hand from the table of infra/docs/virga-l2-v1.md. */
const vectors: [string, string, L2Message, Uint8Array | null][] = [
  [
    "HELLO",
    `01${id}00000005`,
    { type: "hello", session: bytes(id), received: 5 },
    encodeL2.hello(bytes(id), 5),
  ],
  [
    "WELCOME",
    `02${id}01ffffffff0004000005dc`,
    {
      type: "welcome",
      session: bytes(id),
      resumed: true,
      received: 0xffffffff,
      credit: 262_144,
      mtu: 1500,
    },
    encodeL2.welcome({
      session: bytes(id),
      resumed: true,
      received: 0xffffffff,
      credit: 262_144,
      mtu: 1500,
    }),
  ],
  [
    "FRAMES",
    `0300000007fffffffe00000001000e${frame}000e${frame}`,
    { type: "frames", first: 7, received: 0xfffffffe, credit: 1, frames: [bytes(frame), bytes(frame)] },
    encodeL2.frames(7, { received: 0xfffffffe, credit: 1 }, [bytes(frame), bytes(frame)]),
  ],
  [
    "ACK",
    "04fffffffe00000001",
    { type: "ack", received: 0xfffffffe, credit: 1 },
    encodeL2.ack({ received: 0xfffffffe, credit: 1 }),
  ],
  [
    "PING",
    "050000000000000001",
    { type: "ping", bytes: bytes("0000000000000001") },
    encodeL2.ping(bytes("0000000000000001")),
  ],
  [
    "PONG",
    "060000000000000001",
    { type: "pong", bytes: bytes("0000000000000001") },
    encodeL2.pong(bytes("0000000000000001")),
  ],
  ["NOTICE", "077b7d", { type: "notice", text: "{}" }, encodeL2.notice("{}")],
  ["BYE", "08000668c3b6", { type: "bye", code: 6, sentence: "hö" }, encodeL2.bye(6, "hö")],
];

describe("virga-l2-v1 messages", () => {
  test.each(vectors)("%s", (_, text, message, encoded) => {
    expect(hex(encoded!)).toBe(text);
    expect(valueOf(decodeL2(bytes(text)))).toEqual(message);
  });

  test.each([
    ["nothing", ""],
    ["type 0", "00"],
    ["type 9", "090000000000000000"],
    ["HELLO short", `01${id}000000`],
    ["HELLO long", `01${id}0000000500`],
    ["WELCOME resumed 2", `02${id}02000000000004000005dc`],
    ["WELCOME short", `02${id}010000000000040000`],
    ["FRAMES without a frame", "0300000000"],
    ["FRAMES with a frame of 13 bytes", `0300000000000d${frame.slice(2)}000e${frame}`],
    ["FRAMES with half a length", `0300000000000e${frame}00`],
    ["FRAMES cut short", `0300000000000f${frame}`],
    ["FRAMES with a frame of 2049 bytes", `03000000000801${"00".repeat(2049)}`],
    ["ACK short", "0400000000000000"],
    ["PING of 7 bytes", "0500000000000001"],
    ["PONG of 9 bytes", "06000000000000000100"],
    ["NOTICE not UTF-8", "07ff7d"],
    ["NOTICE too long", `07${"20".repeat(4097)}`],
    ["BYE without a code", "0800"],
    ["BYE not UTF-8", "080001c3"],
    ["BYE too long", `080001${"61".repeat(257)}`],
    ["too long", `03${"00".repeat(65_536)}`],
  ])("%s is refused", (_, text) => {
    expect(decodeL2(bytes(text)).ok).toBe(false);
  });

  test("a sentence is cut between characters, a notice never", () => {
    const bye = valueOf(decodeL2(encodeL2.bye(1, "é".repeat(200))));
    expect(bye).toMatchObject({ type: "bye", sentence: "é".repeat(128) });
    const odd = valueOf(decodeL2(encodeL2.bye(1, `a${"é".repeat(200)}`)));
    expect(odd).toMatchObject({ type: "bye", sentence: `a${"é".repeat(127)}` });
    expect(encodeL2.notice("x".repeat(4097))).toBeNull();
    expect(encodeL2.notice("x".repeat(4096))).toHaveLength(4097);
  });

  test("any bytes are read or refused, and what is read encodes to the same bytes", () => {
    const shaped = fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.uint8Array({ maxLength: 300 }))
      .map(([type, body]) => Uint8Array.of(type, ...body));
    const framed = fc
      .array(fc.uint8Array({ minLength: 13, maxLength: 40 }), { minLength: 1, maxLength: 5 })
      .map((frames) => encodeL2.frames(1, { received: 2, credit: 3 }, frames));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), shaped, framed), (message) => {
        const decoded = decodeL2(message);
        if (!decoded.ok) return;
        expect(hex(again(decoded.value))).toBe(hex(message));
      }),
      { numRuns: 2000 },
    );
  });
});

function again(message: L2Message): Uint8Array {
  switch (message.type) {
    case "hello":
      return encodeL2.hello(message.session, message.received);
    case "welcome":
      return encodeL2.welcome(message);
    case "frames":
      return encodeL2.frames(message.first, message, message.frames);
    case "ack":
      return encodeL2.ack(message);
    case "ping":
      return encodeL2.ping(message.bytes);
    case "pong":
      return encodeL2.pong(message.bytes);
    case "notice":
      return encodeL2.notice(message.text)!;
    case "bye":
      return encodeL2.bye(message.code, message.sentence);
    default:
      return message satisfies never;
  }
}
