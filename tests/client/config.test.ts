import { expect, test } from "vitest";
import { resolveSettings, settingsInAddress } from "../../client/machine/config.ts";

test("defaults stand where nobody says anything", () => {
  const { values, from, problems } = resolveSettings(undefined, undefined, undefined);
  expect(values).toEqual({
    log: "warn",
    theme: "system",
    fontSize: 14,
    screen: "text",
    network: "tunnel",
    scaling: "fit",
    screenReader: false,
  });
  expect(from.memoryMiB).toBe("default");
  expect(problems).toEqual([]);
});

test("later layers win, and each value says where it came from", () => {
  const { values, from } = resolveSettings(
    { memoryMiB: 256, log: "info" },
    { memoryMiB: 512 },
    { memoryMiB: 1024 },
  );
  expect(values.memoryMiB).toBe(1024);
  expect(from).toMatchObject({ memoryMiB: "address", log: "operator", theme: "default" });
});

test("a value that does not fit is left out and named, and the layer below stands", () => {
  const { values, from, problems } = resolveSettings(
    { memoryMiB: 256 },
    { memoryMiB: -1, colour: "red" },
    { log: "loud" },
  );
  expect(values).toMatchObject({ memoryMiB: 256, log: "warn" });
  expect(from.memoryMiB).toBe("operator");
  expect(problems).toEqual([
    '"memoryMiB" in your saved settings cannot be -1.',
    '"colour" in your saved settings is not a setting.',
    '"log" in the address cannot be "loud".',
  ]);
});

test.each([[[]], ["text"], [7]])("%j is not a settings file", (operator) => {
  expect(resolveSettings(operator, {}, {}).problems).toHaveLength(1);
});

test("names of Object's own are not settings", () => {
  const { values, problems } = resolveSettings(
    JSON.parse('{"__proto__": {"log": "debug"}, "constructor": 1}'),
    {},
    {},
  );
  expect(values.log).toBe("warn");
  expect(problems).toHaveLength(2);
});

test("the address is read by its short names, and strangers' parameters are left alone", () => {
  expect(settingsInAddress("?mem=512&cpu=v3&log=debug&utm_source=x&reader=1&toString=1")).toEqual({
    memoryMiB: 512,
    processor: "v3",
    log: "debug",
    screenReader: true,
  });
  expect(settingsInAddress("?card=rtl8139-8139c")).toEqual({ card: "rtl8139-8139c" });
  expect(resolveSettings({}, {}, { card: "ne2000" }).problems).toEqual([
    '"card" in the address cannot be "ne2000".',
  ]);
  expect(resolveSettings({}, {}, settingsInAddress("?mem=lots")).problems).toEqual([
    '"memoryMiB" in the address cannot be null.',
  ]);
});
