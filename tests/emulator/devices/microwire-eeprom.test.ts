import { expect, test } from "vitest";
import { MicrowireEeprom } from "../../../emulator/devices/ethernet/microwire-eeprom.ts";
import { readMicrowire } from "../../support/microwire.ts";

const chip = (): MicrowireEeprom =>
  new MicrowireEeprom(Uint16Array.from({ length: 64 }, (_, i) => (i * 0x1357 + 0x8001) & 0xffff));
const clock = (eeprom: MicrowireEeprom, bits: string): string => {
  let out = "";
  for (const bit of bits) {
    eeprom.drive(true, false, bit === "1");
    eeprom.drive(true, true, bit === "1");
    out += eeprom.output;
  }
  return out;
};
const binary = (word: number): string => word.toString(2).padStart(16, "0");

test("every word reads back; leading zeros before the start bit do not count", () => {
  const eeprom = chip();
  const pins = {
    drive: (select: boolean, level: boolean, input: boolean) => eeprom.drive(select, level, input),
    sense: () => eeprom.output === 1,
  };
  for (let at = 0; at < 64; at++) expect(readMicrowire(pins, at)).toBe(eeprom.words[at]);
  eeprom.drive(false, false, false);
  clock(eeprom, "00110000011");
  expect(clock(eeprom, "0".repeat(16))).toBe(binary(eeprom.words[3]!));
});

test("a dummy zero comes before the word, and the next word after it", () => {
  const eeprom = chip();
  eeprom.drive(false, false, false);
  eeprom.drive(true, false, false);
  expect(clock(eeprom, "110111111").at(-1)).toBe("0");
  expect(clock(eeprom, "0".repeat(32))).toBe(binary(eeprom.words[63]!) + binary(eeprom.words[0]!));
});

test("writing and erasing change nothing; deselecting begins anew", () => {
  const eeprom = chip();
  const before = eeprom.words.slice();
  for (const command of ["100110000", `101000000${"0".repeat(16)}`, "111000000"]) {
    eeprom.drive(false, false, false);
    clock(eeprom, command);
  }
  expect(eeprom.words).toEqual(before);
  eeprom.drive(false, false, false);
  clock(eeprom, "1100");
  eeprom.drive(false, false, false);
  expect(eeprom.output).toBe(1);
  clock(eeprom, "110000001");
  expect(clock(eeprom, "0".repeat(16))).toBe(binary(before[1]!));
});
