/** An AT keyboard (IBM PS/2 Hardware Interface Technical Reference, "Keyboard"). Not modelled: typematic rate, lamps, sets 1 and 3. */
const ACK = 0xfa;
const SELF_TEST_PASSED = 0xaa;

/** Scan codes that wait for the guest; more are dropped, as by a keyboard whose buffer is full. */
export const KEYBOARD_QUEUE_BYTES = 256;

export class Ps2Keyboard {
  readonly values = { SCANNING: 1, COMMAND: 0 };
  /** Answers and keys that the controller has not taken. */
  readonly queue: number[] = [];
  readonly #onQueued: () => void;

  constructor(onQueued: () => void) {
    this.#onQueued = onQueued;
  }

  get waiting(): boolean {
    return this.queue.length > 0;
  }
  take(): number {
    return this.queue.shift() ?? 0;
  }

  /** Set 1 scan codes from the host. */
  press(scanCodes: Uint8Array): void {
    if (!this.values.SCANNING) return;
    for (const code of scanCodes.subarray(0, KEYBOARD_QUEUE_BYTES - this.queue.length)) this.queue.push(code);
    this.#onQueued();
  }

  /** A byte from the controller: a command or its parameter. */
  receive(value: number): void {
    const v = this.values;
    const command = v.COMMAND;
    v.COMMAND = 0;
    if (command !== 0) return command === 0xf0 && value === 0 ? this.#answer(ACK, 0x41) : this.#answer(ACK);
    if (value === 0xff) {
      this.queue.length = 0;
      v.SCANNING = 1;
      this.#answer(ACK, SELF_TEST_PASSED);
    } else if (value === 0xf2) this.#answer(ACK, 0xab, 0x41);
    else if (value === 0xee) this.#answer(0xee);
    else {
      if (value === 0xf4 || value === 0xf6) v.SCANNING = 1;
      if (value === 0xf5) v.SCANNING = 0;
      if (value === 0xed || value === 0xf3 || value === 0xf0) v.COMMAND = value;
      this.#answer(ACK);
    }
  }

  #answer(...bytes: number[]): void {
    if (this.queue.length + bytes.length <= KEYBOARD_QUEUE_BYTES) this.queue.push(...bytes);
    this.#onQueued();
  }
}
