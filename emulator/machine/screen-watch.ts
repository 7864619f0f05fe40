import { readRows, rowBytes, type Scanout } from "../devices/vga/scanout.ts";
import type { TextScreen, Vga } from "../devices/vga/vga.ts";
import { VIDEO_PAGE, type VideoMemory } from "../devices/vga/video-memory.ts";
import type { Frame, FrameBand, ScreenMode } from "../protocol/machine-messages.ts";

export interface ScreenEvents {
  textScreen?(screen: TextScreen): void;
  screenMode?(mode: ScreenMode): void;
  frame?(frame: Frame): void;
}

export type Picture =
  | { readonly kind: "text"; readonly screen: TextScreen }
  | {
      readonly kind: "graphics";
      readonly width: number;
      readonly height: number;
      /** RGBA bytes. */
      readonly pixels: Uint8ClampedArray<ArrayBuffer>;
    };

const TEXT_NS = 50_000_000;
/** Bands of changed rows that are closer than this go as one. */
const MERGE_ROWS = 16;

/**
 * Tells what is on the screen when it differs from what was told last. Text goes by itself; a frame of graphics goes only to
 * someone who asked for one, and asks again when it is shown: nobody who is hidden or slow gets more than they can take.
 */
export class ScreenWatch {
  readonly #video: VideoMemory;
  readonly #events: ScreenEvents;
  #text: TextScreen | undefined;
  #lookedAt = -Infinity;
  #vga: Vga | undefined;
  #changes = -1;
  #scanout: Scanout | undefined;
  #palette: Uint32Array = new Uint32Array();
  #wanted = false;
  /** Nothing of what was sent holds any more. */
  #stale = true;

  constructor(video: VideoMemory, events: ScreenEvents) {
    this.#video = video;
    this.#events = events;
  }

  /** Someone has room for one frame; for a whole one when they have no picture yet. */
  want(whole: boolean): void {
    this.#wanted = true;
    this.#stale ||= whole;
  }

  look(vga: Vga, nowNs: number): void {
    if (vga !== this.#vga || vga.changes !== this.#changes) this.#readMode(vga);
    if (this.#scanout) return this.#lookAtGraphics(this.#scanout);
    if (!this.#events.textScreen || nowNs - this.#lookedAt < TEXT_NS) return;
    this.#lookedAt = nowNs;
    const screen = vga.screen();
    if (this.#text && isSame(this.#text, screen)) return;
    this.#text = screen;
    this.#events.textScreen(screen);
  }

  #readMode(vga: Vga): void {
    const before = this.#scanout;
    const scanout = vga.scanout();
    const palette = scanout ? vga.palette() : new Uint32Array();
    this.#vga = vga;
    this.#changes = vga.changes;
    const isSameMode =
      before === scanout ||
      (before && scanout && before.width === scanout.width && before.height === scanout.height);
    const isSamePlace =
      before?.start === scanout?.start &&
      before?.pitch === scanout?.pitch &&
      before?.format === scanout?.format;
    const isSamePalette =
      palette.length === this.#palette.length && palette.every((colour, i) => colour === this.#palette[i]);
    this.#scanout = scanout;
    this.#palette = palette;
    this.#stale ||= !isSameMode || !isSamePlace || !isSamePalette;
    if (isSameMode) return;
    this.#text = undefined;
    this.#lookedAt = -Infinity;
    this.#events.screenMode?.(
      scanout ? { kind: "graphics", width: scanout.width, height: scanout.height } : { kind: "text" },
    );
  }

  #lookAtGraphics(scanout: Scanout): void {
    if (!this.#wanted || !this.#events.frame) return;
    const { width, height } = scanout;
    const rows = this.#stale ? [{ first: 0, count: height }] : changedRows(scanout, this.#video.dirty);
    if (rows.length === 0) return;
    this.#wanted = this.#stale = false;
    this.#video.dirty.fill(0);
    this.#video.watch();
    const bands = rows.map(({ first, count }): FrameBand => {
      const pixels = readRows(scanout, this.#video.bytes, this.#palette, first, count);
      return { first, pixels };
    });
    this.#events.frame({ width, height, bands });
  }
}

/** What a photograph of the screen would show. */
export function pictureOf(vga: Vga, video: VideoMemory): Picture {
  const scanout = vga.scanout();
  if (!scanout) return { kind: "text", screen: vga.screen() };
  const { width, height } = scanout;
  return {
    kind: "graphics",
    width,
    height,
    pixels: readRows(scanout, video.bytes, vga.palette(), 0, height),
  };
}

const isSame = (a: TextScreen, b: TextScreen): boolean =>
  a.cursor === b.cursor && a.cells.every((cell, i) => cell === b.cells[i]);

interface Rows {
  readonly first: number;
  count: number;
}

/** Rows of which a page is dirty, as few bands. */
export function changedRows(scanout: Scanout, dirty: Uint8Array): readonly Rows[] {
  const { start, pitch, height } = scanout;
  const bands: Rows[] = [];
  const last = Math.floor((start + pitch * (height - 1) + rowBytes(scanout) - 1) / VIDEO_PAGE);
  let page = dirty.indexOf(1, Math.floor(start / VIDEO_PAGE));
  for (; page >= 0 && page <= last; page = dirty.indexOf(1, page + 1)) {
    const rowAt = (address: number): number =>
      pitch > 0 ? Math.floor((address - start) / pitch) : height - 1;
    const first = Math.max(0, pitch > 0 ? rowAt(page * VIDEO_PAGE) : 0);
    const end = Math.min(height, rowAt((page + 1) * VIDEO_PAGE - 1) + 1);
    const band = bands.at(-1);
    if (band && first <= band.first + band.count + MERGE_ROWS)
      band.count = Math.max(band.count, end - band.first);
    else if (end > first) bands.push({ first, count: end - first });
  }
  return bands;
}
