import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatIp, parseIp } from "../../../durable-objects/net/ip-text.ts";

describe("addresses as text", () => {
  test.each([
    ["10.0.2.15", "10.0.2.15"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0db8::0001", "2001:db8::1"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::ffff:10.0.2.15", "::ffff:10.0.2.15"],
    ["::ffff:0a00:020f", "::ffff:10.0.2.15"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
  ])("%s", (text, written) => {
    expect(formatIp(parseIp(text)!)).toBe(written);
  });

  test.each([
    "",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "256.1.1.1",
    "0x7f.0.0.1",
    "1.2.3.4 ",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "::1.2.3",
    "1.2.3.4::",
    "fe80::1%eth0",
    "::g",
    "1".repeat(46),
  ])("%j is none", (text) => {
    expect(parseIp(text)).toBeNull();
  });

  test("every address is written in one way and read back", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ minLength: 4, maxLength: 4 }),
          fc.uint8Array({ minLength: 16, maxLength: 16 }),
        ),
        (bytes) => {
          expect(parseIp(formatIp(bytes))).toEqual(Uint8Array.from(bytes));
        },
      ),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect([null, 4, 16]).toContain(parseIp(text)?.length ?? null);
      }),
    );
  });
});
