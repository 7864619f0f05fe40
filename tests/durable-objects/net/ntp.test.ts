import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Ntp } from "../../../durable-objects/net/ntp.ts";
import { hex } from "../../support/hex.ts";

function request(first: number): Uint8Array {
  const bytes = new Uint8Array(48);
  bytes[0] = first;
  bytes[2] = 6;
  bytes.set([1, 2, 3, 4, 5, 6, 7, 8], 40);
  return bytes;
}
/** 2026-11-21T00:00:00Z is 1795219200 s after 1970 and 4004208000 s (0xeeab5d80) after 1900. */
const ntp = new Ntp(1_795_219_200_000);

describe("NTP", () => {
  test("a client gets the time in the version it speaks", () => {
    const answer = ntp.answer(request(0x23), 1250)!;
    expect(hex(answer)).toBe(
      [
        "240106f6 00000000 00000042 4c4f434c",
        "eeab5d81 40000000",
        "01020304 05060708",
        "eeab5d81 40000000",
        "eeab5d81 40000000",
      ]
        .join("")
        .replaceAll(" ", ""),
    );
    expect(ntp.answer(request(0x1b), 0)![0]).toBe(0x1c);
  });

  test("a symmetric peer gets a passive one", () => {
    expect(ntp.answer(request(0x21), 0)![0]).toBe(0x22);
  });

  test("seconds wrap in 2036", () => {
    const answer = new Ntp(2_085_978_496_000).answer(request(0x23), 5000)!;
    expect(hex(answer.subarray(40, 44))).toBe("00000005");
  });

  test.each([
    ["a control message", request(0x26)],
    ["a private message (monlist)", request(0x17)],
    ["a server's answer", request(0x24)],
    ["version 0", request(0x03)],
    ["version 7", request(0x3b)],
    ["47 bytes", request(0x23).subarray(0, 47)],
  ])("%s gets no answer", (_, message) => {
    expect(ntp.answer(message, 0)).toBeNull();
  });

  test("an answer is never longer than the question", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (message) => {
        const replies: Uint8Array[] = [];
        const end = { address: "10.0.2.15", port: 123 };
        ntp.onDatagram(end, end, message, 0, (payload) => replies.push(payload));
        for (const reply of replies) expect(reply.length).toBeLessThanOrEqual(message.length);
        expect(replies.length).toBeLessThanOrEqual(1);
      }),
    );
  });
});
