/** A VGA text screen as pixels: cells of 8 by 16 in the default palette, in letters of our own drawing. */
import type { TextScreen } from "../../emulator/devices/vga/vga.ts";
import type { Pixels } from "./png.ts";

const CELL_WIDTH = 8;
const CELL_HEIGHT = 16;
const CURSOR_ROWS = [13, 14] as const;

/** Letters of five by seven dots: a row each from the top, bit 4 on the left. Lines are drawn twice. */
const LETTERS = `
! 04 04 04 04 04 00 04|" 0a 0a 0a 00 00 00 00|# 0a 0a 1f 0a 1f 0a 0a|$ 04 0f 14 0e 05 1e 04|% 18 19 02 04 08 13 03
& 0c 12 14 08 15 12 0d|' 04 04 08 00 00 00 00|( 02 04 08 08 08 04 02|) 08 04 02 02 02 04 08|* 00 04 15 0e 15 04 00
+ 00 04 04 1f 04 04 00|, 00 00 00 00 0c 04 08|- 00 00 00 1f 00 00 00|. 00 00 00 00 00 0c 0c|/ 00 01 02 04 08 10 00
0 0e 11 13 15 19 11 0e|1 04 0c 04 04 04 04 0e|2 0e 11 01 02 04 08 1f|3 1f 02 04 02 01 11 0e|4 02 06 0a 12 1f 02 02
5 1f 10 1e 01 01 11 0e|6 06 08 10 1e 11 11 0e|7 1f 01 02 04 08 08 08|8 0e 11 11 0e 11 11 0e|9 0e 11 11 0f 01 02 0c
: 00 0c 0c 00 0c 0c 00|; 00 0c 0c 00 0c 04 08|< 02 04 08 10 08 04 02|= 00 00 1f 00 1f 00 00|> 08 04 02 01 02 04 08
? 0e 11 01 02 04 00 04|@ 0e 11 01 0d 15 15 0e|A 0e 11 11 1f 11 11 11|B 1e 11 11 1e 11 11 1e|C 0e 11 10 10 10 11 0e
D 1c 12 11 11 11 12 1c|E 1f 10 10 1e 10 10 1f|F 1f 10 10 1e 10 10 10|G 0e 11 10 17 11 11 0f|H 11 11 11 1f 11 11 11
I 0e 04 04 04 04 04 0e|J 07 02 02 02 02 12 0c|K 11 12 14 18 14 12 11|L 10 10 10 10 10 10 1f|M 11 1b 15 15 11 11 11
N 11 11 19 15 13 11 11|O 0e 11 11 11 11 11 0e|P 1e 11 11 1e 10 10 10|Q 0e 11 11 11 15 12 0d|R 1e 11 11 1e 14 12 11
S 0f 10 10 0e 01 01 1e|T 1f 04 04 04 04 04 04|U 11 11 11 11 11 11 0e|V 11 11 11 11 11 0a 04|W 11 11 11 15 15 15 0a
X 11 11 0a 04 0a 11 11|Y 11 11 11 0a 04 04 04|Z 1f 01 02 04 08 10 1f|[ 0e 08 08 08 08 08 0e|\\ 00 10 08 04 02 01 00
] 0e 02 02 02 02 02 0e|^ 04 0a 11 00 00 00 00|_ 00 00 00 00 00 00 1f|\` 08 04 02 00 00 00 00|a 00 00 0e 01 0f 11 0f
b 10 10 16 19 11 11 1e|c 00 00 0e 10 10 11 0e|d 01 01 0d 13 11 11 0f|e 00 00 0e 11 1f 10 0e|f 06 09 08 1c 08 08 08
g 00 0f 11 11 0f 01 0e|h 10 10 16 19 11 11 11|i 04 00 0c 04 04 04 0e|j 02 00 06 02 02 12 0c|k 10 10 12 14 18 14 12
l 0c 04 04 04 04 04 0e|m 00 00 1a 15 15 11 11|n 00 00 16 19 11 11 11|o 00 00 0e 11 11 11 0e|p 00 00 1e 11 1e 10 10
q 00 00 0d 13 0f 01 01|r 00 00 16 19 10 10 10|s 00 00 0e 10 0e 01 1e|t 08 08 1c 08 08 09 06|u 00 00 11 11 11 13 0d
v 00 00 11 11 11 0a 04|w 00 00 11 11 15 15 0a|x 00 00 11 0a 04 0a 11|y 00 00 11 11 0f 01 0e|z 00 00 1f 02 04 08 1f
{ 02 04 04 08 04 04 02|} 08 04 04 02 04 04 08|~ 00 00 08 15 02 00 00`;
const letters = new Map(
  LETTERS.trim()
    .split(/[|\n]/)
    .map((entry) => [
      entry.charCodeAt(0),
      entry
        .slice(2)
        .split(" ")
        .map((row) => Number.parseInt(row, 16)),
    ]),
);
letters.set(0x7c, [4, 4, 4, 4, 4, 4, 4]);

/** Arms of the lines from B3h to DAh of code page 437: up 1, down 2, left 4, right 8. Double lines are drawn as single ones. */
const LINES = "37776673655569debcfbb9adebcfddee99aaff5a";
const FIRST_LINE = 0xb3;

function isLine(code: number, x: number, y: number): boolean {
  const arms = Number.parseInt(LINES[code - FIRST_LINE] ?? "0", 16);
  const upright = x === 3 && ((arms & 1 && y <= 7) || (arms & 2 && y >= 7));
  const level = y === 7 && ((arms & 4 && x <= 3) || (arms & 8 && x >= 3));
  return Boolean(upright || level);
}

/** Shades and blocks: B0h-B2h and DBh-DFh. */
function isBlock(code: number, x: number, y: number): boolean | undefined {
  const upper = y < CELL_HEIGHT / 2;
  const left = x < CELL_WIDTH / 2;
  const shades = { 0xb0: (x + 2 * y) % 4 === 0, 0xb1: (x + y) % 2 === 0, 0xb2: (x + 2 * y) % 4 !== 0 };
  const blocks = { 0xdb: true, 0xdc: !upper, 0xdd: left, 0xde: !left, 0xdf: upper };
  return ({ ...shades, ...blocks } as { readonly [code: number]: boolean })[code];
}

/** Whether a dot of a character is ink. What has no drawing here is a frame. */
function isInk(code: number, x: number, y: number): boolean {
  const block = isBlock(code, x, y);
  if (block !== undefined) return block;
  if (code >= FIRST_LINE && code < FIRST_LINE + LINES.length) return isLine(code, x, y);
  const rows = letters.get(code);
  if (rows) return x >= 1 && x <= 5 && (((rows[(y - 1) >> 1] ?? 0) >> (5 - x)) & 1) === 1;
  if (code <= 0x20 || code === 0xff) return false;
  return (x === 1 || x === 5) && y > 2 && y < 14 ? true : (y === 3 || y === 13) && x >= 1 && x <= 5;
}

/** The 16 colours of the VGA's default palette, as red, green and blue. */
const colour = (index: number): readonly [number, number, number] => {
  const bright = index & 8 ? 0x55 : 0;
  const [red, green, blue] = [4, 2, 1].map((bit) => (index & bit ? 0xaa : 0) + bright) as [
    number,
    number,
    number,
  ];
  return index === 6 ? [red, 0x55, blue] : [red, green, blue];
};

export function drawText({ columns, rows, cells, cursor }: TextScreen): Pixels {
  const width = columns * CELL_WIDTH;
  const height = rows * CELL_HEIGHT;
  const pixels = new Uint8ClampedArray(4 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const cell = Math.floor(y / CELL_HEIGHT) * columns + Math.floor(x / CELL_WIDTH);
      const line = y % CELL_HEIGHT;
      const attribute = cells[2 * cell + 1] ?? 7;
      const isCursor = cell === cursor && (CURSOR_ROWS as readonly number[]).includes(line);
      const ink = isCursor || isInk(cells[2 * cell] ?? 32, x % CELL_WIDTH, line);
      pixels.set([...colour(ink ? attribute & 15 : (attribute >> 4) & 7), 0xff], 4 * (y * width + x));
    }
  return { width, height, pixels };
}
