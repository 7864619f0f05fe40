import type { Region } from "../../bus/address-map.ts";
import { markDirty, type VideoMemory } from "./video-memory.ts";

/**
 * The four planes behind the window at A0000h (IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem", graphics
 * controller; write modes 0-3, read modes 0-1). Plane p of address a is byte 4a + p of video memory, so that the four bytes of
 * an address are one word, and a chained byte is where a linear one is. Not modelled: odd/even addressing.
 */
const PLANE_BYTES = 0x1_0000;
const CHAIN_4 = 0x08;

export interface PlaneRegisters {
  readonly SEQUENCER: Uint8Array;
  readonly GRAPHICS: Uint8Array;
}

/** Each of four mask bits becomes a byte of ones. */
const spread = (bits: number): number =>
  ((bits & 1) * 0xff) | ((bits & 2) * 0x7f80) | ((bits & 4) * 0x3fc000) | ((bits & 8) * 0x1fe00000);
const everywhere = (byte: number): number => Math.imul(byte, 0x0101_0101);

export class Planes implements Region {
  /** The bytes of all planes that the last read found. */
  latch = 0;
  readonly #video: VideoMemory;
  readonly #registers: PlaneRegisters;
  readonly #view: DataView;

  constructor(video: VideoMemory, registers: PlaneRegisters) {
    this.#video = video;
    this.#registers = registers;
    this.#view = new DataView(video.bytes.buffer, video.bytes.byteOffset, video.bytes.byteLength);
  }

  read(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value |= this.#readByte(offset + i) << (8 * i);
    return value >>> 0;
  }

  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  #readByte(offset: number): number {
    const address = offset % PLANE_BYTES;
    if (this.#registers.SEQUENCER[4]! & CHAIN_4) return this.#video.bytes[address]!;
    const g = this.#registers.GRAPHICS;
    this.latch = this.#view.getInt32(4 * address, true);
    if (!(g[5]! & 0x08)) return (this.latch >>> (8 * (g[4]! & 3))) & 0xff;
    // Colour compare: a pixel's bit is 1 where all planes that matter are as asked.
    const differing = (this.latch ^ spread(g[2]!)) & spread(g[7]!);
    return ~(differing | (differing >>> 8) | (differing >>> 16) | (differing >>> 24)) & 0xff;
  }

  #writeByte(offset: number, value: number): void {
    const address = offset % PLANE_BYTES;
    const mask = this.#registers.SEQUENCER[2]! & 15;
    if (this.#registers.SEQUENCER[4]! & CHAIN_4) {
      if (!((mask >> (address & 3)) & 1)) return;
      this.#video.bytes[address] = value;
      return markDirty(this.#video, address, 1);
    }
    const planes = spread(mask);
    const old = this.#view.getInt32(4 * address, true);
    this.#view.setInt32(4 * address, (old & ~planes) | (this.#compose(value) & planes), true);
    markDirty(this.#video, 4 * address, 4);
  }

  /** The 32 bits that the graphics controller makes of a byte, before the plane mask. */
  #compose(value: number): number {
    const g = this.#registers.GRAPHICS;
    const rotate = g[3]! & 7;
    const rotated = ((value >> rotate) | (value << (8 - rotate))) & 0xff;
    switch (g[5]! & 3) {
      case 0: {
        const reset = spread(g[1]!);
        return this.#combine((everywhere(rotated) & ~reset) | (spread(g[0]!) & reset), g[8]!);
      }
      case 1:
        return this.latch;
      case 2:
        return this.#combine(spread(value), g[8]!);
      default:
        return this.#combine(spread(g[0]!), g[8]! & rotated);
    }
  }

  /** The function of the data rotate register, then the bit mask: where it is 0 the latch stays. */
  #combine(value: number, bitMask: number): number {
    const { latch } = this;
    const functions = [value, value & latch, value | latch, value ^ latch] as const;
    const result = functions[((this.#registers.GRAPHICS[3]! >> 3) & 3) as 0 | 1 | 2 | 3];
    const bits = everywhere(bitMask);
    return (result & bits) | (latch & ~bits);
  }
}
