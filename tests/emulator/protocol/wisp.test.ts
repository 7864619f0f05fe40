import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type WispPacket,
  decodeWisp,
  encodeWisp,
  readWispMotd,
  readWispPassword,
  wispExtensions,
  wispMotd,
  wispPassword,
  wispTarget,
} from "#protocol/wisp";
import { bytesOf, hex } from "../../support/hex.ts";
import { valueOf } from "../../support/outcome.ts";

const vectors: [string, string, Uint8Array, WispPacket][] = [
  [
    "CONNECT",
    "010900000001bb01612e74657374",
    encodeWisp.connect(9, "tcp", "a.test", 443),
    { type: "connect", stream: 9, transport: "tcp", port: 443, host: "a.test" },
  ],
  [
    "CONNECT UDP",
    "0109000000023500612e74657374",
    encodeWisp.connect(9, "udp", "a.test", 53),
    { type: "connect", stream: 9, transport: "udp", port: 53, host: "a.test" },
  ],
  [
    "CONTINUE",
    "030000000080000000",
    encodeWisp.continue(0, 128),
    { type: "continue", stream: 0, packets: 128 },
  ],
  [
    "DATA",
    "0209000000aabb",
    encodeWisp.data(9, bytesOf("aabb")),
    { type: "data", stream: 9, bytes: bytesOf("aabb") },
  ],
  [
    "DATA, empty",
    "0209000000",
    encodeWisp.data(9, bytesOf("")),
    { type: "data", stream: 9, bytes: bytesOf("") },
  ],
  ["CLOSE", "040900000048", encodeWisp.close(9, "blocked"), { type: "close", stream: 9, reason: 0x48 }],
  [
    "INFO",
    "05000000000200",
    encodeWisp.info([]),
    { type: "info", stream: 0, major: 2, minor: 0, extensions: [] },
  ],
  [
    "INFO with UDP and the message of the day",
    "05000000000200 0100000000 04020000006869",
    encodeWisp.info([{ id: wispExtensions.udp, payload: bytesOf("") }, wispMotd("hi")]),
    {
      type: "info",
      stream: 0,
      major: 2,
      minor: 0,
      extensions: [
        { id: 1, payload: bytesOf("") },
        { id: 4, payload: bytesOf("6869") },
      ],
    },
  ],
];

describe("Wisp", () => {
  test.each(vectors)("%s", (_, text, encoded, packet) => {
    expect(hex(encoded)).toBe(text.replaceAll(" ", ""));
    expect(valueOf(decodeWisp(bytesOf(text)))).toEqual(packet);
  });

  test.each([
    ["no bytes", ""],
    ["half a header", "01090000"],
    ["type 0", "000900000000"],
    ["type 6", "060900000000"],
    ["CONNECT without a host", "010900000001bb01"],
    ["CONNECT of stream 0", "010000000001bb01612e74657374"],
    ["CONNECT of type 3", "010900000003bb01612e74657374"],
    ["CONNECT to port 0", "0109000000010000612e74657374"],
    ["CONNECT that is not UTF-8", "010900000001bb01ff"],
    ["CONNECT with a host of 256 bytes", `010900000001bb01${"61".repeat(256)}`],
    ["CONTINUE short", "0300000000800000"],
    ["CONTINUE long", "03000000008000000000"],
    ["CLOSE without a reason", "0409000000"],
    ["CLOSE long", "04090000000200"],
    ["INFO without a version", "050000000002"],
    ["INFO cut inside an extension", "05000000000200 01000000"],
    ["INFO cut inside a payload", "05000000000200 0102000000aa"],
    ["INFO with an extension of 4 GiB", "05000000000200 01ffffffff"],
    ["INFO with 17 extensions", `05000000000200${"0100000000".repeat(17)}`],
    ["DATA over 1 MiB", `0209000000${"00".repeat(2 ** 20 - 4)}`],
  ])("%s is refused", (_, text) => {
    expect(decodeWisp(bytesOf(text)).ok).toBe(false);
  });

  test("both layouts of the password are read", () => {
    const login = { user: "ann", password: "geheim" };
    expect(hex(wispPassword(login, "draft"))).toBe("03616e6e67656865696d");
    expect(hex(wispPassword(login, "library"))).toBe("030600616e6e67656865696d");
    for (const layout of ["draft", "library"] as const)
      expect(readWispPassword(wispPassword(login, layout))).toEqual(login);
    for (const text of ["", "0361", "01ff61"]) expect(readWispPassword(bytesOf(text))).toBeUndefined();
  });

  test("the message of the day is text whatever it is", () => {
    expect(readWispMotd([{ id: 4, payload: bytesOf("68ff") }])).toBe("h\ufffd");
    expect(readWispMotd([])).toBeUndefined();
  });

  test.each([
    ["/wisp/", "wisp"],
    ["/wisp/a.test:80", { host: "a.test", port: 80 }],
    ["/wisp/[2001:db8::7]:443", { host: "2001:db8::7", port: 443 }],
    ["/wisp", null],
    ["/wisp/a.test:0", null],
    ["/wisp/a.test:65536", null],
    ["/wisp/2001:db8::7:443", null],
    ["/wisp/:80", null],
  ])("%s", (path, target) => {
    expect(wispTarget(path)).toEqual(target);
  });

  test("any bytes are read or refused", () => {
    const shaped = fc
      .tuple(fc.nat(7), fc.uint8Array({ maxLength: 300 }))
      .map(([type, rest]) => Uint8Array.of(type, 0, 0, 0, 0, ...rest));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 40 }), shaped), (message) => {
        const decoded = decodeWisp(message);
        if (decoded.ok && decoded.value.type === "info")
          for (const { payload } of decoded.value.extensions)
            expect(payload.length).toBeLessThanOrEqual(message.length);
        expect(() => readWispPassword(message)).not.toThrow();
      }),
      { numRuns: 2000 },
    );
  });
});
