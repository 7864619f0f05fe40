import { inflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { encodePng } from "../../infra/headless/png.ts";
import { drawText } from "../../infra/headless/text-picture.ts";

test("a PNG holds the size and every pixel, without alpha", () => {
  const pixels = Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255, 7, 8, 9, 255, 10, 11, 12, 0);
  const png = Buffer.from(encodePng({ width: 2, height: 2, pixels }));
  expect(png.subarray(1, 4).toString()).toBe("PNG");
  expect([png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]]).toEqual([2, 2, 8, 2]);
  const length = png.readUInt32BE(33);
  expect(png.subarray(37, 41).toString()).toBe("IDAT");
  const rows = inflateSync(png.subarray(41, 41 + length));
  expect([...rows]).toEqual([0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12]);
  expect(png.subarray(-8, -4).toString()).toBe("IEND");
});

/** A cell of a text picture as lines of "#" and ".". */
function cell(character: number, attribute = 0x07, cursor = -1): string[] {
  const { width, height, pixels } = drawText({
    columns: 1,
    rows: 1,
    cells: Uint8Array.of(character, attribute),
    cursor,
  });
  expect([width, height]).toEqual([8, 16]);
  return Array.from({ length: height }, (_, y) =>
    Array.from({ length: width }, (_, x) => (pixels[4 * (y * width + x)]! > 0x80 ? "#" : ".")).join(""),
  );
}

test("letters, lines, blocks and the cursor are drawn, and blanks are empty", () => {
  expect(cell(0x4c).slice(1, 15)).toEqual([
    ...Array.from({ length: 12 }, () => ".#......"),
    ".#####..",
    ".#####..",
  ]);
  expect(cell(0x20).join("")).toMatch(/^\.+$/);
  expect(cell(0xdb).join("")).toMatch(/^#+$/);
  const corner = cell(0xda);
  expect([corner[0], corner[7], corner[15]]).toEqual(["........", "...#####", "...#...."]);
  expect(cell(0x20, 0x07, 0).slice(12)).toEqual(["........", "########", "########", "........"]);
});

test("every printable character has a drawing of its own", () => {
  const drawings = Array.from({ length: 0x7f - 0x21 }, (_, i) => cell(0x21 + i).join("\n"));
  expect(new Set(drawings).size).toBe(drawings.length);
});

test("colours are the attribute's", () => {
  const { pixels } = drawText({ columns: 1, rows: 1, cells: Uint8Array.of(0xdb, 0x16), cursor: -1 });
  expect([...pixels.subarray(0, 4)]).toEqual([0xaa, 0x55, 0, 0xff]);
  const blank = drawText({ columns: 1, rows: 1, cells: Uint8Array.of(0x20, 0x1f), cursor: -1 });
  expect([...blank.pixels.subarray(0, 4)]).toEqual([0, 0, 0xaa, 0xff]);
});
