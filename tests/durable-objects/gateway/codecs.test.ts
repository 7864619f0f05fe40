import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  BodyDecoder,
  type Framing,
  HeadReader,
  MAX_HEAD_BYTES,
  encodeChunk,
  encodeHead,
  lastChunk,
  readRequestHead,
  readResponseHead,
  requestFraming,
  responseFraming,
} from "../../../durable-objects/gateway/http1.ts";
import {
  type FrameEvent,
  FrameReader,
  MAX_MESSAGE_BYTES,
  closePayload,
  opcodes,
} from "../../../durable-objects/gateway/websocket-frames.ts";

/** What a guest's server says to a published port, and a guest's client to `fetch()`: anything at all. */
const SEED = 20_261_121;
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The same bytes in pieces. */
const cut = (bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] => {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % sizes.length]!);
    pieces.push(bytes.subarray(at, at + size));
    at += size;
  }
  return pieces;
};
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 });
const concat = (parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** A server's frame; what it says of itself need not be true. */
const frame = (first: number, payload: Uint8Array, said = payload.length): Uint8Array => {
  const size = said < 126 ? [said] : said < 65_536 ? [126, said >> 8, said & 255] : [127, 0, 0, 0, 0];
  if (said >= 65_536) size.push((said >> 24) & 255, (said >> 16) & 255, (said >> 8) & 255, said & 255);
  return Uint8Array.of(first, ...size, ...payload);
};
const anyFrame = fc
  .tuple(
    fc.oneof(fc.constantFrom(0x81, 0x82, 0x01, 0x02, 0x80, 0x00, 0x88, 0x89, 0x8a), fc.nat(255)),
    fc.uint8Array({ maxLength: 300 }),
    fc.oneof(fc.constant(undefined), fc.nat(400)),
  )
  .map(([first, payload, said]) => frame(first, payload, said));
const readAll = (pieces: readonly Uint8Array[]): FrameEvent[] => {
  const reader = new FrameReader();
  return pieces.flatMap((piece) => reader.push(piece));
};

describe(`WebSocket frames (seed ${SEED})`, () => {
  test("any bytes, cut anywhere: the same events, never thrown, nothing that was not sent", () => {
    const stream = fc.oneof(
      fc.array(anyFrame, { maxLength: 8 }).map(concat),
      fc.uint8Array({ maxLength: 200 }),
    );
    let kinds = new Set<string>();
    fc.assert(
      fc.property(stream, sizes, (bytes, pieces) => {
        const events = readAll([bytes]);
        expect(readAll(cut(bytes, pieces))).toEqual(events);
        let given = 0;
        for (const event of events) {
          kinds = kinds.add(event.kind);
          if ("bytes" in event) given += event.bytes.length;
          if (event.kind === "text") given += bytesOf(event.text).length;
        }
        expect(given).toBeLessThanOrEqual(bytes.length);
      }),
      { seed: SEED, numRuns: 5000 },
    );
    expect([...kinds].sort()).toEqual(["bad", "binary", "close", "ping", "pong", "text"]);
  });

  test("a message in many frames is one, with control frames in between", () => {
    const parts = [
      frame(0x01, bytesOf("he")),
      frame(0x00, bytesOf("")),
      frame(0x89, bytesOf("?")),
      frame(0x00, bytesOf("ll")),
      frame(0x80, bytesOf("o")),
      frame(0x88, closePayload(1000, "done")),
    ];
    expect(readAll(parts)).toEqual([
      { kind: "ping", bytes: bytesOf("?") },
      { kind: "text", text: "hello" },
      { kind: "close", code: 1000, reason: "done" },
    ]);
  });

  test("fragments cost what they hold: a million of one byte is one message, endless empty ones are nothing", () => {
    const reader = new FrameReader();
    const empty = concat(Array.from({ length: 1000 }, () => frame(0x00, new Uint8Array(0))));
    const single = concat(Array.from({ length: 1024 }, () => frame(0x00, Uint8Array.of(7))));
    reader.push(frame(opcodes.binary, new Uint8Array(0)));
    for (let count = 0; count < 200; count++) reader.push(empty);
    expect(reader.heldBytes).toBe(0);
    for (let count = 0; count < 1024; count++) expect(reader.push(single)).toEqual([]);
    expect(reader.heldBytes).toBe(MAX_MESSAGE_BYTES);
    expect(reader.push(frame(0x00, Uint8Array.of(7)))).toMatchObject([{ kind: "bad", code: 1009 }]);
    expect(reader.push(frame(0x81, bytesOf("late")))).toEqual([]);
  });

  test.each([
    ["a length of 2^63", Uint8Array.of(0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0), 1009],
    ["a message of 1 MiB and a byte", frame(0x82, new Uint8Array(0), MAX_MESSAGE_BYTES + 1), 1009],
    ["a masked frame", Uint8Array.of(0x82, 0x81, 1, 2, 3, 4, 5), 1002],
    ["a reserved bit", Uint8Array.of(0xc2, 0), 1002],
    ["a long PING", frame(0x89, new Uint8Array(126)), 1002],
    ["a PING in parts", Uint8Array.of(0x09, 0), 1002],
    ["a continuation of nothing", Uint8Array.of(0x80, 0), 1002],
    ["a reserved opcode", Uint8Array.of(0x83, 0), 1002],
    ["a reserved control opcode", Uint8Array.of(0x8b, 0), 1002],
    ["CLOSE with half a code", Uint8Array.of(0x88, 1, 3), 1002],
    ["text that is not UTF-8", Uint8Array.of(0x81, 1, 0xff), 1007],
  ])("%s is bad", (_, bytes, code) => {
    expect(readAll([bytes])).toMatchObject([{ kind: "bad", code }]);
  });
});

/** Takes a head and a body the way both sides of the gateway do. */
function takeMessage(pieces: readonly Uint8Array[], side: "request" | "response"): unknown {
  const reader = new HeadReader();
  let decoder: BodyDecoder | undefined;
  const body: Uint8Array[] = [];
  let head: unknown = null;
  for (const piece of pieces) {
    let bytes = piece;
    if (!decoder) {
      const read = reader.push(piece);
      if (read === null) continue;
      if (!read) return "too long";
      const request = side === "request" ? readRequestHead(read.lines) : undefined;
      const response = side === "response" ? readResponseHead(read.lines) : undefined;
      const framing: Framing | undefined =
        (request && requestFraming(request)) ?? (response && responseFraming("GET", response));
      head = request ?? response;
      if (!framing) return "refused";
      decoder = new BodyDecoder(framing);
      bytes = read.rest;
    }
    body.push(...decoder.push(bytes).pieces.map((part) => part.slice()));
    if (decoder.isDone || decoder.isBad) break;
  }
  return { head, body: Buffer.concat(body).toString("latin1"), done: decoder?.isDone, bad: decoder?.isBad };
}

const lines = fc.constantFrom(
  "GET / HTTP/1.1\r\n",
  "POST /a?b HTTP/1.0\r\n",
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.0 304 \r\n",
  "Host: a\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 7, 7\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: gzip, chunked\r\n",
  "X : y\r\n",
  " folded\r\n",
  "\r\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "ffffffffffff\r\n",
  "3;a=b\r\nabc\r\n",
  "Trailer: x\r\n",
);
const anyText = fc
  .array(fc.oneof({ weight: 6, arbitrary: lines.map(bytesOf) }, fc.uint8Array({ maxLength: 20 })), {
    maxLength: 14,
  })
  .map(concat);

describe(`HTTP/1 (seed ${SEED})`, () => {
  test.each(["request", "response"] as const)("any bytes as a %s, cut anywhere, are the same", (side) => {
    let whole = 0;
    fc.assert(
      fc.property(anyText, sizes, (bytes, pieces) => {
        const one = takeMessage([bytes], side);
        expect(takeMessage(cut(bytes, pieces), side)).toEqual(one);
        if (typeof one === "object" && (one as { done?: boolean }).done) whole++;
      }),
      { seed: SEED, numRuns: 5000 },
    );
    // Some of it was HTTP.
    expect(whole).toBeGreaterThan(10);
  });

  test("a body in chunks is the body, whatever its pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 })), sizes, (chunks, pieces) => {
        const wire = concat([...chunks.map(encodeChunk), lastChunk, bytesOf("next")]);
        const decoder = new BodyDecoder({ kind: "chunked" });
        const body: Uint8Array[] = [];
        let used = 0;
        for (const piece of cut(wire, pieces)) {
          const taken = decoder.push(piece);
          body.push(...taken.pieces);
          used += taken.used;
        }
        expect([decoder.isDone, used]).toEqual([true, wire.length - 4]);
        expect(concat(body)).toEqual(concat(chunks));
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("a head without an end is refused at its bound, byte by byte too", () => {
    const reader = new HeadReader();
    const byte = Uint8Array.of(97);
    for (let count = 0; count < MAX_HEAD_BYTES; count++) expect(reader.push(byte)).toBeNull();
    expect(reader.push(byte)).toBeUndefined();
  });

  test.each([
    ["a chunk's size without an end", "chunked", "1".repeat(1000)],
    ["an extension of a chunk without an end", "chunked", `1;${"x".repeat(1000)}`],
    ["a trailer without an end", "chunked", `0\r\n${"x".repeat(20_000)}`],
    ["trailers of 24 kB", "chunked", `0\r\n${"a: b\r\n".repeat(4000)}`],
    ["a size that is no number", "chunked", "xyz\r\n"],
    ["a line without CR", "chunked", "5\nhello"],
    ["content that goes on past its chunk", "chunked", "1\r\nab\r\n"],
  ] as const)("the body is bad: %s", (_, kind, text) => {
    const decoder = new BodyDecoder({ kind });
    decoder.push(bytesOf(text));
    expect(decoder.isBad).toBe(true);
  });

  test("nothing in a header line becomes another line", () => {
    const head = encodeHead("HTTP/1.1 200 OK", [
      ["A", "1\r\nB: 2"],
      ["C\r\nD", "3"],
      ["E", "4\n5"],
      ["F", "snow \u2603"],
    ]);
    expect(new TextDecoder().decode(head)).toBe("HTTP/1.1 200 OK\r\nF: snow ?\r\n\r\n");
  });
});
