import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** WCAG 2.2 §1.4.3 and §1.4.11: text 4.5:1, marks 3:1, against every background they stand on, in both themes. */
const sheet = readFileSync(new URL("../../client/styles/look.css", import.meta.url), "utf8");

const coloursOf = (selector: string): Map<string, string> => {
  const start = sheet.indexOf(`${selector} {`);
  if (start < 0) throw new Error(`look.css has no ${selector}`);
  const block = sheet.slice(start, sheet.indexOf("}", start));
  return new Map(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, colour]) => [name!, colour!]),
  );
};

const luminance = (colour: string): number => {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
};

const contrast = (one: string, other: string): number => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
};

const dark = coloursOf(":root");
const themes = {
  dark,
  "light by choice": new Map([...dark, ...coloursOf(':root[data-theme="light"]')]),
  "light by the device": new Map([...dark, ...coloursOf(':root:not([data-theme="dark"])')]),
};

type Pair = readonly [front: string, back: string, least: number];

const words = ["text", "muted", "failed"].flatMap((front) =>
  ["sky-0", "sky-1", "sky-2"].map((back): Pair => [front, back, 4.5]),
);
const marks = ["from-network", "from-prefetch", "to-overlay", "failed", "good", "focus"].map(
  (front): Pair => [front, "sky-1", 3],
);
const pairs: readonly Pair[] = [
  ...words,
  ...marks,
  ["to-overlay", "sky-0", 4.5],
  ["on-primary", "from-network", 4.5],
  ["screen-text", "screen", 4.5],
];

for (const [theme, colours] of Object.entries(themes))
  test.each(pairs)(`${theme}: %s on %s is at least %d to 1`, (front, back, least) => {
    expect(contrast(colours.get(front)!, colours.get(back)!)).toBeGreaterThanOrEqual(least);
  });
