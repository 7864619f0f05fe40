import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  fromHex,
  packet,
  PACKET_BYTES,
  PacketReader,
  toHex,
} from "../../../../emulator/machine/gdb/packets.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (data: Uint8Array): string => String.fromCharCode(...data);
const words = (stream: Uint8Array): string[] =>
  new PacketReader()
    .read(stream)
    .map((event) => (event.kind === "packet" ? text(event.data) : `(${event.kind})`));

describe("packets of the remote serial protocol", () => {
  test.each([
    ["$g#67", ["g"]],
    ["+$?#3f-", ["(acknowledged)", "?", "(again)"]],
    ["$m0,4#fd\x03", ["m0,4", "(interrupt)"]],
    ["$g#68", ["(damaged)"]],
    ["$g#zz", ["(damaged)"]],
    ["$lost$g#67", ["g"]],
    ["noise$#00", [""]],
    ["$X}\x03}\x04#59", ["X#$"]],
  ])("%j reads as %j", (stream, expected) => {
    expect(words(bytes(stream))).toEqual(expected);
  });

  test("are the same however the stream is cut", () => {
    const stream = bytes("+$qSupported:multiprocess+#c6\x03$m1000,40#8b-$}\x03#a0");
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length)), (cuts) => {
        const reader = new PacketReader();
        const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const events = places.slice(1).flatMap((end, i) => reader.read(stream.slice(places[i], end)));
        expect(events).toEqual(new PacketReader().read(stream));
      }),
    );
  });

  test("that are too long are refused, and the next one is read", () => {
    const long = "A".repeat(PACKET_BYTES + 1);
    const sum = ((0x41 * long.length) & 0xff).toString(16).padStart(2, "0");
    expect(words(bytes(`$${long}#${sum}$g#67`))).toEqual(["(damaged)", "g"]);
    expect(words(packet("A".repeat(PACKET_BYTES)))[0]).toHaveLength(PACKET_BYTES);
  });

  test("of any bytes make no trouble, and hold at most a packet", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        const events = new PacketReader().read(noise);
        return events.every((event) => event.kind !== "packet" || event.data.length <= noise.length);
      }),
      { numRuns: 2000 },
    );
    expect(new PacketReader().read(new Uint8Array(1 << 20).fill(0x24))).toEqual([]);
  });

  test("come back as they were written", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1000 }), (data) => {
        expect(new PacketReader().read(packet(text(data)))).toEqual([{ kind: "packet", data }]);
        expect(fromHex(toHex(data))).toEqual(data);
      }),
    );
  });

  test("have hexadecimal numbers of whole bytes only", () => {
    expect([fromHex("abc"), fromHex("zz"), fromHex("")]).toEqual([undefined, undefined, new Uint8Array()]);
  });
});
