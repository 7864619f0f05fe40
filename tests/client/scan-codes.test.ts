import { expect, test } from "vitest";
import { scanCodes } from "../../client/machine/scan-codes.ts";

test.each([
  ["KeyA", true, [0x1e]],
  ["KeyA", false, [0x9e]],
  ["ArrowUp", true, [0xe0, 0x48]],
  ["ArrowUp", false, [0xe0, 0xc8]],
])("%s, down %s, sends %j", (code, down, bytes) => expect([...(scanCodes(code, down) ?? [])]).toEqual(bytes));

test("keys that a PC keyboard does not have send nothing", () => {
  expect(scanCodes("LaunchMail", true)).toBeUndefined();
  expect(scanCodes("toString", true)).toBeUndefined();
});
