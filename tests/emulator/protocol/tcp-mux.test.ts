import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type TcpMuxFrame,
  type TcpMuxRead,
  TcpMuxParser,
  encodeTcpMux,
  tcpMuxLimits,
} from "#protocol/tcp-mux";
import { bytesOf, hex } from "../../support/hex.ts";

const parse = (...messages: (Uint8Array | string)[]): TcpMuxRead => {
  const parser = new TcpMuxParser();
  const frames: TcpMuxFrame[] = [];
  for (const message of messages) {
    const read = parser.push(message);
    frames.push(...read.frames);
    if (read.close) return { frames, close: read.close };
  }
  return { frames };
};

const vectors: [string, string, Uint8Array, TcpMuxFrame][] = [
  [
    "OPEN",
    "010000000700000011000b6d6972726f722e7465737420fb0000",
    encodeTcpMux.open(7, "mirror.test", 8443),
    { type: "open", stream: 7, host: "mirror.test", port: 8443, meta: "" },
  ],
  [
    "DATA",
    "0200000007000000036f6b0a",
    encodeTcpMux.data(7, bytesOf("6f6b0a")),
    { type: "data", stream: 7, bytes: bytesOf("6f6b0a") },
  ],
  [
    "CLOSE FIN",
    "03000000070000000101",
    encodeTcpMux.close(7, "fin"),
    { type: "close", stream: 7, fin: true, rst: false },
  ],
  [
    "CLOSE RST",
    "03000000070000000102",
    encodeTcpMux.close(7, "rst"),
    { type: "close", stream: 7, fin: false, rst: true },
  ],
  [
    "ERROR",
    "040000000700000006000200026e6f",
    encodeTcpMux.error(7, "DIAL_FAILED", "no"),
    { type: "error", stream: 7, code: 2, text: "no" },
  ],
  [
    "PING",
    "050000000000000002aabb",
    encodeTcpMux.ping(bytesOf("aabb")),
    { type: "ping", stream: 0, bytes: bytesOf("aabb") },
  ],
  [
    "PONG",
    "060000000000000002aabb",
    encodeTcpMux.pong(bytesOf("aabb")),
    { type: "pong", stream: 0, bytes: bytesOf("aabb") },
  ],
];

describe("aero-tcp-mux-v1", () => {
  test.each(vectors)("%s", (_, text, encoded, frame) => {
    expect(hex(encoded)).toBe(text);
    expect(parse(bytesOf(text))).toEqual({ frames: [frame] });
  });

  test("metadata comes along, and an address may be a literal", () => {
    const open = encodeTcpMux.open(0xffff_ffff, "2001:db8::7", 1, '{"a":1}');
    expect(parse(open).frames).toEqual([
      { type: "open", stream: 0xffff_ffff, host: "2001:db8::7", port: 1, meta: '{"a":1}' },
    ]);
  });

  const all = bytesOf(vectors.map(([, text]) => text).join(""));
  test("frames may be cut anywhere: one byte at a time gives the same", () => {
    const parts = Array.from(all, (byte) => Uint8Array.of(byte));
    expect(joined(parse(...parts).frames)).toEqual(joined(parse(all).frames));
    expect(parse(all).frames).toEqual(vectors.map(([, , , frame]) => frame));
  });

  test("and so does any other way of cutting", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(all.length), { maxLength: 6 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), all.length];
        const parts = at.slice(1).map((end, index) => all.subarray(at[index], end));
        expect(joined(parse(...parts).frames)).toEqual(joined(parse(all).frames));
      }),
    );
  });

  test.each([
    ["an unknown type", "09000000070000000100"],
    ["type 0", "00000000070000000100"],
    ["an OPEN too short", "01000000070000000500000050 00"],
    ["an OPEN without a host", "010000000700000006 0000 0050 0000"],
    ["an OPEN to port 0", "010000000700000007 0001 61 0000 0000"],
    ["an OPEN whose host is longer than it", "010000000700000007 0009 61 0050 0000"],
    ["an OPEN with a byte too many", "010000000700000008 0001 61 0050 0000 00"],
    ["an OPEN that is not UTF-8", "010000000700000007 0001 ff 0050 0000"],
    ["an OPEN with a host of 256 bytes", `010000000700000106 0100 ${"61".repeat(256)} 0050 0000`],
    ["a CLOSE without flags", "030000000700000000"],
    ["a CLOSE of two bytes", "03000000070000000201 00"],
    ["an ERROR that is too short", "040000000700000003000200"],
    ["an ERROR whose length does not fit", "040000000700000006000200036e6f"],
    ["a PING on a stream", "050000000700000002aabb"],
    ["a PING of 8193 bytes", `050000000700002001${"00".repeat(8193)}`],
  ])("%s is malformed, and the next frame is read", (_, text) => {
    const { frames, close } = parse(bytesOf(text), bytesOf("03000000090000000101"));
    expect(close).toBeUndefined();
    expect(frames).toMatchObject([
      { type: "malformed", stream: 7 },
      { type: "close", stream: 9 },
    ]);
  });

  test("DATA of 16 MiB passes through in pieces, one byte more closes the socket", () => {
    const parser = new TcpMuxParser();
    expect(parser.push(bytesOf("020000000701000000"))).toEqual({ frames: [] });
    const piece = new Uint8Array(tcpMuxLimits.messageBytes);
    for (let count = 0; count < 16; count++)
      expect(parser.push(piece).frames).toMatchObject([{ type: "data", stream: 7 }]);
    expect(parser.push(bytesOf("050000000000000000")).frames).toMatchObject([{ type: "ping" }]);
    expect(parse(bytesOf("020000000701000001")).close?.code).toBe(1002);
  });

  test("text, oversized messages, and silence after the end", () => {
    expect(parse("text").close?.code).toBe(1003);
    expect(parse(new Uint8Array(2 ** 20 + 1)).close?.code).toBe(1009);
    const parser = new TcpMuxParser();
    parser.push("text");
    expect(parser.push(all)).toEqual({ frames: [] });
  });

  test("an empty DATA frame is nothing", () => {
    expect(parse(bytesOf("020000000700000000"), bytesOf("03000000070000000101")).frames).toEqual([
      { type: "close", stream: 7, fin: true, rst: false },
    ]);
  });

  test("any bytes, cut anywhere: never throws, hands out no more than it was given", () => {
    const anyFrame = fc
      .tuple(fc.nat(8), fc.nat(9), fc.nat(20_000), fc.uint8Array({ maxLength: 60 }))
      .map(([type, stream, length, payload]) =>
        Uint8Array.of(type, 0, 0, 0, stream, 0, 0, length >> 8, length & 255, ...payload),
      );
    const anyMessage = fc.oneof(fc.uint8Array({ maxLength: 40 }), anyFrame);
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 8 }), (messages) => {
        const { frames } = parse(...messages);
        const given = messages.reduce((sum, message) => sum + message.length, 0);
        const got = frames.reduce((sum, frame) => sum + ("bytes" in frame ? frame.bytes.length : 0), 0);
        expect(got).toBeLessThanOrEqual(given);
      }),
      { numRuns: 1000 },
    );
  });
});

/** Frames with neighbouring pieces of DATA put together. */
function joined(frames: readonly TcpMuxFrame[]): unknown[] {
  const out: { type: string; stream: number; text?: string }[] = [];
  for (const frame of frames) {
    const last = out.at(-1);
    if (frame.type !== "data") out.push(frame);
    else if (last?.type === "data" && last.stream === frame.stream) last.text += hex(frame.bytes);
    else out.push({ type: "data", stream: frame.stream, text: hex(frame.bytes) });
  }
  return out;
}
