import type { PortMap } from "../bus/address-map.ts";
import type { GuestMemory } from "../bus/guest-memory.ts";
import type { GuestTime } from "../bus/timers.ts";

/**
 * VGA registers (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem") as far as a text console uses them:
 * all are stored, the start address and the cursor are obeyed. Cells are ordinary RAM at 0xB8000. Not modelled: planes,
 * graphics modes, fonts, blinking.
 */
const TEXT_BASE = 0xb8000;
const TEXT_BYTES = 0x8000;
const FRAME_NS = 14_268_000;
const RETRACE_NS = 1_000_000;
const COLUMNS = 80;
const ROWS = 25;
const CURSOR_OFF = 0x20;

/** Index and data ports: as many registers as the guest may name. */
const FILES = {
  SEQUENCER: { at: 0x3c4, count: 8 },
  GRAPHICS: { at: 0x3ce, count: 16 },
  CRTC: { at: 0x3d4, count: 32 },
} as const;

export interface TextScreen {
  readonly columns: number;
  readonly rows: number;
  /** Character and attribute, row by row. */
  readonly cells: Uint8Array;
  /** Cell index, or -1 when it is off. */
  readonly cursor: number;
}

export interface VgaTextOptions {
  readonly ports: PortMap;
  readonly memory: GuestMemory;
  readonly now: GuestTime;
}

export class VgaText {
  readonly values = {
    SEQUENCER: new Uint8Array(8),
    GRAPHICS: new Uint8Array(16),
    CRTC: new Uint8Array(32),
    ATTRIBUTE: new Uint8Array(32),
    PALETTE: new Uint8Array(768),
    MISC: 0x67,
    ATTRIBUTE_INDEX: 0,
    FLIP_FLOP: 0,
    PALETTE_READ: 0,
    PALETTE_WRITE: 0,
    PALETTE_MASK: 0xff,
  };
  readonly #memory: GuestMemory;
  readonly #now: GuestTime;

  constructor({ ports, memory, now }: VgaTextOptions) {
    this.#memory = memory;
    this.#now = now;
    // Mode 3 as firmware leaves it: 80 columns, 25 rows of 16 lines, cursor on lines 13-14.
    this.values.CRTC.set([
      0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28,
      0x1f, 0x96, 0xb9, 0xa3, 0xff,
    ]);
    this.values.SEQUENCER.set([3, 0, 3, 0, 2]);
    this.values.GRAPHICS.set([0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff]);
    for (const [name, { at, count }] of Object.entries(FILES) as [
      keyof typeof FILES,
      { at: number; count: number },
    ][])
      this.#claimFile(ports, this.values[name], at, count);
    ports.claim(0x3c0, 2, {
      read: (offset) => this.#readAttribute(offset),
      write: (offset, _size, value) => offset === 0 && this.#writeAttribute(value & 0xff),
    });
    ports.claim(0x3c2, 1, {
      read: () => 0x10,
      write: (_offset, _size, value) => (this.values.MISC = value & 0xff),
    });
    ports.claim(0x3c6, 4, {
      read: (offset) => this.#readPalette(offset),
      write: (offset, _size, value) => this.#writePalette(offset, value & 0xff),
    });
    ports.claim(0x3cc, 1, { read: () => this.values.MISC, write: () => {} });
    ports.claim(0x3da, 1, { read: () => this.#readStatus(), write: () => {} });
  }

  /** A copy of what is on the screen. */
  screen(): TextScreen {
    const crtc = this.values.CRTC;
    const start = 2 * ((crtc[0x0c]! << 8) | crtc[0x0d]!);
    const cells = new Uint8Array(2 * COLUMNS * ROWS);
    const window = this.#memory.view(TEXT_BASE, TEXT_BYTES);
    for (let i = 0; i < cells.length && window.length > 0; i++) cells[i] = window[(start + i) % TEXT_BYTES]!;
    const cursor = ((crtc[0x0e]! << 8) | crtc[0x0f]!) - start / 2;
    const visible = !(crtc[0x0a]! & CURSOR_OFF) && cursor >= 0 && cursor < COLUMNS * ROWS;
    return { columns: COLUMNS, rows: ROWS, cells, cursor: visible ? cursor : -1 };
  }

  /** 16-bit writes to the index port set index and data at once. */
  #claimFile(ports: PortMap, file: Uint8Array, at: number, count: number): void {
    let index = 0;
    ports.claim(at, 2, {
      read: (offset, size) =>
        size === 2 ? index | (file[index % count]! << 8) : offset === 0 ? index : file[index % count]!,
      write: (offset, size, value) => {
        if (offset === 0) index = value & 0xff;
        if (offset === 1 || size === 2) file[index % count] = size === 2 ? value >> 8 : value;
      },
    });
  }

  #readAttribute(offset: number): number {
    const index = this.values.ATTRIBUTE_INDEX;
    return offset === 0 ? index : this.values.ATTRIBUTE[index & 31]!;
  }

  #writeAttribute(value: number): void {
    const v = this.values;
    if (v.FLIP_FLOP) v.ATTRIBUTE[v.ATTRIBUTE_INDEX & 31] = value;
    else v.ATTRIBUTE_INDEX = value & 0x3f;
    v.FLIP_FLOP ^= 1;
  }

  #readPalette(offset: number): number {
    const v = this.values;
    if (offset === 0) return v.PALETTE_MASK;
    if (offset !== 3) return 0;
    const value = v.PALETTE[v.PALETTE_READ]!;
    v.PALETTE_READ = (v.PALETTE_READ + 1) % 768;
    return value;
  }

  #writePalette(offset: number, value: number): void {
    const v = this.values;
    if (offset === 0) v.PALETTE_MASK = value;
    else if (offset === 1) v.PALETTE_READ = 3 * value;
    else if (offset === 2) v.PALETTE_WRITE = 3 * value;
    else {
      v.PALETTE[v.PALETTE_WRITE] = value & 0x3f;
      v.PALETTE_WRITE = (v.PALETTE_WRITE + 1) % 768;
    }
  }

  /** Input status 1: retrace bits follow guest time, and the attribute flip-flop is reset. */
  #readStatus(): number {
    this.values.FLIP_FLOP = 0;
    return this.#now() % FRAME_NS < RETRACE_NS ? 0x09 : 0;
  }
}
