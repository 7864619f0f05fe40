/**
 * What the display shows in graphics: a rectangle of video memory in one of a few formats, and how its rows become pixels for
 * a page. Whoever makes a Scanout sees to it that all of it lies inside video memory.
 */
export type PixelFormat = "planar4" | "palette8" | "rgb555" | "rgb565" | "rgb888" | "xrgb8888";

export interface Scanout {
  readonly width: number;
  readonly height: number;
  /** Bytes from one row to the next, and of the first pixel. */
  readonly pitch: number;
  readonly start: number;
  readonly format: PixelFormat;
}

/** Bytes that one row covers. The four planes are interleaved: 32 bits for every eight pixels. */
export const rowBytes = ({ width, format }: Pick<Scanout, "width" | "format">): number =>
  format === "planar4" ? 4 * Math.ceil(width / 8) : width * bytesPerPixel[format];

const bytesPerPixel = { palette8: 1, rgb555: 2, rgb565: 2, rgb888: 3, xrgb8888: 4 } as const;

/** Opaque black, as a little-endian word of RGBA bytes. */
export const OPAQUE = 0xff00_0000;
/** Expands 5 and 6 bits to 8 so that the brightest stays the brightest. */
const five = (bits: number): number => (bits << 3) | (bits >> 2);
const six = (bits: number): number => (bits << 2) | (bits >> 4);

type RowReader = (
  video: Uint8Array,
  at: number,
  palette: Uint32Array,
  out: Uint32Array,
  to: number,
  width: number,
) => void;

/** One row each: little-endian pixels from `at` on become RGBA words from `to` on. */
const readers: { readonly [Format in PixelFormat]: RowReader } = {
  planar4(video, at, palette, out, to, width) {
    for (let x = 0; x < width; x++) {
      const cell = at + 4 * (x >> 3);
      const bit = 7 - (x & 7);
      let index = 0;
      for (let plane = 0; plane < 4; plane++) index |= ((video[cell + plane]! >> bit) & 1) << plane;
      out[to + x] = palette[index]!;
    }
  },
  palette8(video, at, palette, out, to, width) {
    for (let x = 0; x < width; x++) out[to + x] = palette[video[at + x]!]!;
  },
  rgb555(video, at, _palette, out, to, width) {
    for (let x = 0; x < width; x++) {
      const pixel = video[at + 2 * x]! | (video[at + 2 * x + 1]! << 8);
      out[to + x] =
        OPAQUE | (five(pixel & 31) << 16) | (five((pixel >> 5) & 31) << 8) | five((pixel >> 10) & 31);
    }
  },
  rgb565(video, at, _palette, out, to, width) {
    for (let x = 0; x < width; x++) {
      const pixel = video[at + 2 * x]! | (video[at + 2 * x + 1]! << 8);
      out[to + x] = OPAQUE | (five(pixel & 31) << 16) | (six((pixel >> 5) & 63) << 8) | five(pixel >> 11);
    }
  },
  rgb888(video, at, _palette, out, to, width) {
    for (let x = 0, from = at; x < width; x++, from += 3)
      out[to + x] = OPAQUE | (video[from]! << 16) | (video[from + 1]! << 8) | video[from + 2]!;
  },
  xrgb8888(video, at, _palette, out, to, width) {
    for (let x = 0, from = at; x < width; x++, from += 4)
      out[to + x] = OPAQUE | (video[from]! << 16) | (video[from + 1]! << 8) | video[from + 2]!;
  },
};

/** RGBA bytes of `count` rows from `first` on. `palette`: 256 RGBA words, or 16 of a planar mode. */
export function readRows(
  scanout: Scanout,
  video: Uint8Array,
  palette: Uint32Array,
  first: number,
  count: number,
): Uint8ClampedArray<ArrayBuffer> {
  const { width, pitch, start, format } = scanout;
  const out = new Uint32Array(width * count);
  const read = readers[format];
  for (let row = 0; row < count; row++)
    read(video, start + (first + row) * pitch, palette, out, row * width, width);
  return new Uint8ClampedArray(out.buffer);
}
