/**
 * Serial EEPROM 93C46 on a Microwire bus: 64 words of 16 bits (Atmel AT93C46 datasheet, table "Instruction Set"). Reading,
 * also word after word; it is write-protected: writes and erasures are clocked in and do nothing.
 */
const READ = 2;
const COMMAND_BITS = 8;
const WORD_BITS = 16;

export class MicrowireEeprom {
  readonly words: Uint16Array;
  /** What the chip drives on its data output; high when it drives nothing. */
  output = 1;
  #selected = false;
  #clock = false;
  #phase: "idle" | "command" | "read" | "done" = "idle";
  #shift = 0;
  #bits = 0;
  #address = 0;

  constructor(words: Uint16Array) {
    this.words = words;
  }

  /** The levels of chip select, clock and data input. Bits are taken, and given, when the clock rises. */
  drive(select: boolean, clock: boolean, input: boolean): void {
    const rises = clock && !this.#clock;
    this.#clock = clock;
    if (!select || !this.#selected) {
      this.#phase = "idle";
      this.output = 1;
    }
    this.#selected = select;
    if (!select || !rises) return;
    if (this.#phase === "idle" && input) {
      this.#phase = "command";
      this.#shift = this.#bits = 0;
    } else if (this.#phase === "command") this.#takeBit(input);
    else if (this.#phase === "read") this.#giveBit();
  }

  #takeBit(input: boolean): void {
    this.#shift = (this.#shift << 1) | Number(input);
    if (++this.#bits < COMMAND_BITS) return;
    this.#phase = this.#shift >>> 6 === READ ? "read" : "done";
    this.#address = this.#shift & 63;
    this.#bits = 0;
    // A zero bit comes before the word.
    this.output = this.#phase === "read" ? 0 : 1;
  }

  #giveBit(): void {
    this.output = (this.words[this.#address]! >>> (WORD_BITS - 1 - this.#bits)) & 1;
    if (++this.#bits < WORD_BITS) return;
    this.#bits = 0;
    this.#address = (this.#address + 1) & 63;
  }
}
