import { expect, test } from "vitest";
import * as show from "../../client/numbers.ts";

test.each([
  [undefined, "–"],
  [NaN, "–"],
  [0, "0 B"],
  [999, "999 B"],
  [24_200_000, "24.2 MB"],
  [999_499, "999 kB"],
  [999_500, "1 MB"],
  [2_147_483_648, "2.15 GB"],
])("%s bytes are %s", (value, words) => expect(show.bytes(value)).toBe(words));

test.each([
  [0, "0 %"],
  [0.982, "98.2 %"],
  [1, "100 %"],
])("a share of %s is %s", (value, words) => expect(show.percent(value)).toBe(words));

test.each([
  [0, "0 ms"],
  [412.4, "412 ms"],
  [12_345, "12.3 s"],
])("%s ms are %s", (value, words) => expect(show.seconds(value)).toBe(words));
