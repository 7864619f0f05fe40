import type { PortMap, Region } from "../../bus/address-map.ts";
import type { GuestMemory } from "../../bus/guest-memory.ts";
import { type Bar, PciFunction } from "../../bus/pci.ts";
import type { GuestTime } from "../../bus/timers.ts";
import { Dispi, Enable } from "./dispi.ts";
import { Planes } from "./planes.ts";
import { OPAQUE, type Scanout } from "./scanout.ts";
import { markDirty, type VideoMemory, type VideoPlace } from "./video-memory.ts";

/**
 * A VGA on PCI with a linear frame buffer: the registers of IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem",
 * and the display interface of Bochs (dispi.ts), as QEMU's "standard VGA" has them (docs/specs/standard-vga): 1234:1111, BAR0 the
 * memory, BAR2 the registers. Text cells are ordinary RAM at B8000h. Not modelled: fonts and blinking (the page has its own),
 * monochrome ports, CGA's interlaced modes, split screens, panning by pixels, interrupts.
 */
const TEXT_BASE = 0xb8000;
const TEXT_BYTES = 0x8000;
const WINDOW_BASE = 0xa0000;
const WINDOW_BYTES = 0x2_0000;
const FRAME_NS = 14_268_000;
const RETRACE_NS = 1_000_000;
const COLUMNS = 80;
const ROWS = 25;
const CURSOR_OFF = 0x20;
const FIRST_PORT = 0x3c0;
const LAST_PORT = 0x3df;
/** BAR2: VGA ports, display interface, and QEMU's extension, of which only the size and the byte order exist. */
const Mmio = { ports: 0x400, dispi: 0x500, extension: 0x600, bytes: 0x1000 } as const;
const EXTENSION_BYTES = 8;
const LITTLE_ENDIAN = 0x1e1e_1e1e;

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

export interface VgaOptions {
  readonly ports: PortMap;
  readonly mmio: { place(start: number, length: number, region: Region): void };
  readonly memory: GuestMemory;
  readonly video: VideoMemory;
  /** Where the board puts the BARs. */
  readonly frameBufferAt: number;
  readonly registersAt: number;
  readonly now: GuestTime;
}

export class Vga {
  readonly values = {
    SEQUENCER: new Uint8Array(8),
    GRAPHICS: new Uint8Array(16),
    CRTC: new Uint8Array(32),
    ATTRIBUTE: new Uint8Array(32),
    PALETTE: new Uint8Array(768),
    MISC: 0x67,
    ATTRIBUTE_INDEX: 0x20,
    FLIP_FLOP: 0,
    PALETTE_READ: 0,
    PALETTE_WRITE: 0,
    PALETTE_MASK: 0xff,
  };
  readonly dispi: Dispi;
  readonly pci: PciFunction;
  /** Counts writes to what decides how video memory looks. */
  changes = 0;
  readonly #options: VgaOptions;
  #linear = 0;
  #placed: VideoPlace = { at: 0, size: 0, window: 0, bank: -1 };

  constructor(options: VgaOptions) {
    this.#options = options;
    const { ports, mmio, video } = options;
    this.dispi = new Dispi({
      videoBytes: video.bytes.length,
      onChange: (switchedOn) => this.#onDispi(switchedOn),
    });
    this.#setTextMode();
    this.#claimPorts(ports);
    mmio.place(WINDOW_BASE, WINDOW_BYTES, new Planes(video, this.values));
    this.pci = new PciFunction({ vendor: 0x1234, device: 0x1111, revision: 2, classCode: 0x030000 }, [
      this.#frameBuffer(options.frameBufferAt),
      {
        index: 2,
        kind: "memory32",
        sizeBytes: Mmio.bytes,
        region: this.#mmio(),
        address: options.registersAt,
      },
    ]);
  }

  /** What is shown in graphics; undefined in text mode. */
  scanout(): Scanout | undefined {
    if (this.dispi.on) return this.dispi.scanout();
    return this.values.GRAPHICS[6]! & 1 ? this.#legacyScanout() : undefined;
  }

  /** RGBA words of pixel values: 256 of the DAC, or 16 through the attribute controller where pixels have four bits. */
  palette(): Uint32Array {
    const { ATTRIBUTE, PALETTE, PALETTE_MASK } = this.values;
    const scale = this.dispi.dac8 ? (v: number) => v : (v: number) => ((v & 63) << 2) | ((v & 63) >> 4);
    const colour = (index: number): number => {
      const [red, green, blue] = PALETTE.subarray(3 * (index & PALETTE_MASK));
      return OPAQUE | (scale(blue!) << 16) | (scale(green!) << 8) | scale(red!);
    };
    if (this.scanout()?.format !== "planar4") return Uint32Array.from({ length: 256 }, (_, i) => colour(i));
    const select = ATTRIBUTE[0x14]!;
    const attribute = (pixel: number): number => {
      const entry = ATTRIBUTE[pixel & ATTRIBUTE[0x12]! & 15]! & 63;
      return ATTRIBUTE[0x10]! & 0x80 ? (entry & 15) | ((select & 15) << 4) : entry | ((select & 12) << 4);
    };
    return Uint32Array.from({ length: 16 }, (_, pixel) => colour(attribute(pixel)));
  }

  /** A copy of what is on the screen in text mode. */
  screen(): TextScreen {
    const crtc = this.values.CRTC;
    const start = 2 * ((crtc[0x0c]! << 8) | crtc[0x0d]!);
    const cells = new Uint8Array(2 * COLUMNS * ROWS);
    const window = this.#options.memory.view(TEXT_BASE, TEXT_BYTES);
    for (let i = 0; i < cells.length && window.length > 0; i++) cells[i] = window[(start + i) % TEXT_BYTES]!;
    const cursor = ((crtc[0x0e]! << 8) | crtc[0x0f]!) - start / 2;
    const visible = !(crtc[0x0a]! & CURSOR_OFF) && cursor >= 0 && cursor < COLUMNS * ROWS;
    return { columns: COLUMNS, rows: ROWS, cells, cursor: visible ? cursor : -1 };
  }

  /** A mode as firmware would set it before the guest starts: 32 bits per pixel, linear, black. */
  setMode(width: number, height: number): void {
    const { registers } = this.dispi;
    const words = { XRES: [0x02, width], YRES: [0x04, height], BPP: [0x06, 32] } as const;
    for (const [at, value] of Object.values(words)) registers.write(at, value, 2);
    registers.write(0x08, Enable.on | Enable.linear, 2);
  }

  get frameBufferAt(): number {
    return this.#linear;
  }

  /** Mode 3 as firmware leaves it: 80 columns, 25 rows of 16 lines, cursor on lines 13-14. */
  #setTextMode(): void {
    const v = this.values;
    v.CRTC.set([
      0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0, 0x4f, 0x0d, 0x0e, 0, 0, 0, 0, 0x9c, 0x8e, 0x8f, 0x28,
      0x1f, 0x96, 0xb9, 0xa3, 0xff,
    ]);
    v.SEQUENCER.set([3, 0, 3, 0, 2]);
    v.GRAPHICS.set([0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff]);
    v.ATTRIBUTE.set([
      0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8,
    ]);
  }

  #claimPorts(ports: PortMap): void {
    for (const [name, { at, count }] of Object.entries(FILES) as [
      keyof typeof FILES,
      { at: number; count: number },
    ][])
      this.#claimFile(ports, name, at, count);
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
    let index = 0;
    const { registers } = this.dispi;
    // The data port is 1CFh on a PC, and 1D0h for those who want it aligned.
    ports.claim(0x1ce, 3, {
      read: (offset, size) => (offset === 0 ? index : registers.read(2 * index, Math.min(size, 2))),
      write: (offset, size, value) => {
        if (offset === 0) index = value & 0xffff;
        else registers.write(2 * index, value & 0xffff, Math.min(size, 2));
      },
    });
  }

  /** 16-bit writes to the index port set index and data at once. */
  #claimFile(ports: PortMap, name: keyof typeof FILES, at: number, count: number): void {
    let index = 0;
    const file = this.values[name];
    ports.claim(at, 2, {
      read: (offset, size) =>
        size === 2 ? index | (file[index % count]! << 8) : offset === 0 ? index : file[index % count]!,
      write: (offset, size, value) => {
        if (offset === 0) index = value & 0xff;
        if (offset === 1 || size === 2)
          this.#writeFile(name, index % count, (size === 2 && offset === 0 ? value >> 8 : value) & 0xff);
      },
    });
  }

  #writeFile(name: keyof typeof FILES, index: number, value: number): void {
    const file = this.values[name];
    if (name !== "CRTC") {
      const decides = name === "GRAPHICS" ? { 5: 0x40, 6: 0xff }[index] : { 1: 0xff }[index];
      if ((file[index]! ^ value) & (decides ?? 0)) this.changes++;
      file[index] = value;
      return this.#place();
    }
    // CR11 bit 7 protects CR0-CR7, except the line compare bit of CR7.
    const locked = index < 8 && file[0x11]! & 0x80;
    if (locked && index !== 7) return;
    file[index] = locked ? (file[index]! & ~0x10) | (value & 0x10) : value;
    this.changes++;
  }

  #readAttribute(offset: number): number {
    const index = this.values.ATTRIBUTE_INDEX;
    return offset === 0 ? index : this.values.ATTRIBUTE[index & 31]!;
  }

  #writeAttribute(value: number): void {
    const v = this.values;
    if (v.FLIP_FLOP) {
      v.ATTRIBUTE[v.ATTRIBUTE_INDEX & 31] = value;
      this.changes++;
    } else v.ATTRIBUTE_INDEX = value & 0x3f;
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
      v.PALETTE[v.PALETTE_WRITE] = this.dispi.dac8 ? value : value & 0x3f;
      v.PALETTE_WRITE = (v.PALETTE_WRITE + 1) % 768;
    }
    if (offset === 0 || offset === 3) this.changes++;
  }

  /** Input status 1: retrace bits follow guest time, and the attribute flip-flop is reset. */
  #readStatus(): number {
    this.values.FLIP_FLOP = 0;
    return this.#options.now() % FRAME_NS < RETRACE_NS ? 0x09 : 0;
  }

  /** Graphics as the VGA's own registers describe them: 16 colours in planes, or 256 in bytes. */
  #legacyScanout(): Scanout {
    const { CRTC: crtc, GRAPHICS, SEQUENCER } = this.values;
    const bytes = (GRAPHICS[5]! & 0x40) !== 0;
    const dots = (crtc[0x01]! + 1) * 8;
    const lines = 1 + crtc[0x12]! + ((crtc[0x07]! & 0x02) << 7) + ((crtc[0x07]! & 0x40) << 3);
    const repeated = ((crtc[0x09]! & 31) + 1) * (crtc[0x09]! & 0x80 ? 2 : 1);
    return {
      // A byte takes two dots, unless the sequencer has halved the clock already.
      width: bytes && !(SEQUENCER[1]! & 0x08) ? dots / 2 : dots,
      height: Math.max(1, Math.floor(lines / repeated)),
      pitch: crtc[0x13]! * 8,
      start: 4 * ((crtc[0x0c]! << 8) | crtc[0x0d]!),
      format: bytes ? "palette8" : "planar4",
    };
  }

  #onDispi(switchedOn: boolean): void {
    this.changes++;
    if (switchedOn && !(this.dispi.registers.values.ENABLE & Enable.keepMemory)) {
      const { pitch, height } = this.dispi.scanout();
      const { video } = this.#options;
      const bytes = Math.min(pitch * height, video.bytes.length);
      video.bytes.fill(0, 0, bytes);
      markDirty(video, 0, bytes);
    }
    this.#place();
  }

  /** Puts video memory where the registers want it; only a change costs the processor its TLB. */
  #place(): void {
    const { SEQUENCER: s, GRAPHICS: g } = this.values;
    const { video } = this.#options;
    const map = (g[6]! >> 2) & 3;
    // Chained bytes in write mode 0 are plain memory; the rest is the work of the planes.
    const plain = s[4]! & 0x08 && (s[2]! & 15) === 15 && (g[5]! & 3) === 0;
    const legacy = {
      window: map === 0 ? WINDOW_BYTES : map === 1 ? WINDOW_BYTES / 2 : 0,
      bank: plain ? 0 : -1,
    };
    const { window, bank } = this.dispi.on
      ? { window: WINDOW_BYTES / 2, bank: this.dispi.bankStart }
      : legacy;
    const old = this.#placed;
    const at = this.#linear;
    if (at === old.at && window === old.window && (bank === old.bank || window === 0)) return;
    this.#placed = { at, size: at === 0 ? 0 : video.bytes.length, window, bank };
    video.place(this.#placed);
  }

  #frameBuffer(address: number): Bar {
    const { bytes } = this.#options.video;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return {
      index: 0,
      kind: "memory32",
      prefetchable: true,
      sizeBytes: bytes.length,
      address,
      onPlace: (place) => {
        this.#linear = place ?? 0;
        this.#place();
      },
      // The processor reaches the memory by itself; this is for whoever asks the bus.
      region: {
        read: (offset, size) =>
          size === 4
            ? view.getUint32(offset, true)
            : size === 2
              ? view.getUint16(offset, true)
              : view.getUint8(offset),
        write: (offset, size, value) => {
          for (let i = 0; i < size; i++) view.setUint8(offset + i, (value >>> (8 * i)) & 0xff);
          markDirty(this.#options.video, offset, size);
        },
      },
    };
  }

  #mmio(): Region {
    const { ports } = this.#options;
    const { registers } = this.dispi;
    const isPort = (offset: number): boolean =>
      offset >= Mmio.ports && offset <= Mmio.ports + LAST_PORT - FIRST_PORT;
    const inDispi = (offset: number): boolean => offset >= Mmio.dispi && offset < Mmio.extension;
    return {
      read: (offset, size) => {
        if (isPort(offset)) return ports.read(FIRST_PORT + offset - Mmio.ports, size);
        if (inDispi(offset)) return registers.read(offset - Mmio.dispi, size);
        if (offset === Mmio.extension) return EXTENSION_BYTES;
        return offset === Mmio.extension + 4 ? LITTLE_ENDIAN : 0;
      },
      write: (offset, size, value) => {
        if (isPort(offset)) ports.write(FIRST_PORT + offset - Mmio.ports, size, value);
        else if (inDispi(offset)) registers.write(offset - Mmio.dispi, value, size);
      },
    };
  }
}
