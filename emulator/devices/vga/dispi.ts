import { bank, type Bank } from "../register-bank.ts";
import type { PixelFormat, Scanout } from "./scanout.ts";

/**
 * The display interface of Bochs and QEMU (Bochs, "VBE display API" of iodev/display; QEMU, docs/specs/standard-vga): 16-bit
 * registers behind ports 1CEh (index) and 1CFh (data), and flat in the memory BAR. Versions B0C0h to B0C5h. Not modelled: 4 bits
 * per pixel; a mode of it shows as 8.
 */
export const Enable = { on: 0x01, capabilities: 0x02, dac8: 0x20, linear: 0x40, keepMemory: 0x80 } as const;
/** Every mode up to this fits into video memory at 32 bits per pixel. */
export const MAX_WIDTH = 2560;
export const MAX_HEIGHT = 1600;
const MAX_BITS = 32;
const FIRST_VERSION = 0xb0c0;
const LAST_VERSION = 0xb0c5;
const BANK_BYTES = 0x1_0000;

const formats: { readonly [bits: number]: readonly [PixelFormat, number] } = {
  8: ["palette8", 1],
  15: ["rgb555", 2],
  16: ["rgb565", 2],
  24: ["rgb888", 3],
  32: ["xrgb8888", 4],
};
const clamp = (value: number, most: number): number => Math.max(1, Math.min(value, most));

type RegisterName =
  | "ID"
  | "XRES"
  | "YRES"
  | "BPP"
  | "ENABLE"
  | "BANK"
  | "VIRT_WIDTH"
  | "VIRT_HEIGHT"
  | "X_OFFSET"
  | "Y_OFFSET"
  | "VIDEO_MEMORY_64K";

export interface DispiOptions {
  readonly videoBytes: number;
  /** Called after any register was written; `switchedOn` when the display has just been enabled. */
  readonly onChange: (switchedOn: boolean) => void;
}

export class Dispi {
  /** Registers are two bytes apart. */
  readonly registers: Bank<RegisterName>;
  readonly #videoBytes: number;
  #wasOn = false;

  constructor({ videoBytes, onChange }: DispiOptions) {
    this.#videoBytes = videoBytes;
    const changed = (): void => onChange(false);
    const limited = (most: number) => (stored: number) =>
      this.registers.values.ENABLE & Enable.capabilities ? most : stored;
    const word = { bytes: 2, writable: 0xffff, onWrite: changed } as const;
    this.registers = bank({
      ID: { at: 0x00, bytes: 2, reset: LAST_VERSION, onWrite: (value) => this.#chooseVersion(value) },
      XRES: { at: 0x02, ...word, onRead: limited(MAX_WIDTH) },
      YRES: { at: 0x04, ...word, onRead: limited(MAX_HEIGHT) },
      BPP: { at: 0x06, ...word, onRead: limited(MAX_BITS) },
      ENABLE: { at: 0x08, bytes: 2, writable: 0xe3, onWrite: () => onChange(this.#switch()) },
      BANK: { at: 0x0a, ...word, writable: videoBytes / BANK_BYTES - 1 },
      VIRT_WIDTH: { at: 0x0c, ...word },
      VIRT_HEIGHT: {
        at: 0x0e,
        bytes: 2,
        onRead: () => Math.min(Math.floor(videoBytes / this.#pitch()), 0xffff),
      },
      X_OFFSET: { at: 0x10, ...word },
      Y_OFFSET: { at: 0x12, ...word },
      VIDEO_MEMORY_64K: { at: 0x14, bytes: 2, reset: videoBytes / BANK_BYTES },
    });
  }

  get on(): boolean {
    return (this.registers.values.ENABLE & Enable.on) !== 0;
  }
  get dac8(): boolean {
    return this.on && (this.registers.values.ENABLE & Enable.dac8) !== 0;
  }
  /** Start of the bank that the legacy window shows. */
  get bankStart(): number {
    return this.registers.values.BANK * BANK_BYTES;
  }

  /** What is shown, brought inside the limits and inside video memory whatever the guest wrote. */
  scanout(): Scanout {
    const v = this.registers.values;
    const [format, bytes] = this.#format();
    const pitch = this.#pitch();
    const width = clamp(v.XRES, MAX_WIDTH);
    const wanted = v.Y_OFFSET * pitch + v.X_OFFSET * bytes;
    const start = wanted + width * bytes <= this.#videoBytes ? wanted : 0;
    const rows = Math.floor((this.#videoBytes - start - width * bytes) / pitch) + 1;
    return { width, height: Math.min(clamp(v.YRES, MAX_HEIGHT), rows), pitch, start, format };
  }

  #format(): readonly [PixelFormat, number] {
    return formats[this.registers.values.BPP] ?? formats[8]!;
  }

  /** Rows may be longer than what is shown of them, and not shorter. */
  #pitch(): number {
    const v = this.registers.values;
    return Math.max(v.VIRT_WIDTH, clamp(v.XRES, MAX_WIDTH)) * this.#format()[1];
  }

  #chooseVersion(value: number): void {
    if (value >= FIRST_VERSION && value <= LAST_VERSION) this.registers.values.ID = value;
  }

  /** Enabling starts at the beginning of memory with rows as long as what is shown. True when that happened now. */
  #switch(): boolean {
    const switchedOn = this.on && !this.#wasOn;
    this.#wasOn = this.on;
    const v = this.registers.values;
    if (switchedOn) v.VIRT_WIDTH = v.X_OFFSET = v.Y_OFFSET = v.BANK = 0;
    return switchedOn;
  }
}
