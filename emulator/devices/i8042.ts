import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";

/**
 * 8042 keyboard controller and an AT keyboard behind it (IBM PS/2 Hardware Interface Technical Reference, "Keyboard and
 * Auxiliary Device Controller" and "Keyboard"). The host's scan codes are already of set 1, which is what a guest sees with
 * translation on. Not modelled: the auxiliary port, untranslated set 2, typematic timing.
 */
const Status = { full: 0x01, system: 0x04, command: 0x08, unlocked: 0x10 } as const;
const Control = {
  interrupt: 0x01,
  system: 0x04,
  disabled: 0x10,
  auxDisabled: 0x20,
  translate: 0x40,
} as const;
const ACK = 0xfa;
const SELF_TEST_PASSED = 0xaa;

/** Scan codes that wait for the guest; more are dropped, as by a keyboard whose buffer is full. */
export const KEYBOARD_QUEUE_BYTES = 256;

export interface KeyboardOptions {
  readonly ports: PortMap;
  readonly irq: IrqLine;
  readonly onReset: () => void;
}

export class Keyboard {
  readonly values = {
    CONTROL: Control.interrupt | Control.system | Control.translate | Control.auxDisabled,
    OUTPUT: 0,
    FULL: 0,
    COMMAND: 0,
    PORT: 0xcf,
    LAST_WAS_COMMAND: 0,
    SCANNING: 1,
    KEYBOARD_COMMAND: 0,
  };
  /** Answers of controller and keyboard, and keys; the first is in the output buffer. */
  readonly queue: number[] = [];
  readonly #options: KeyboardOptions;

  constructor(options: KeyboardOptions) {
    this.#options = options;
    options.ports.claim(0x60, 1, {
      read: () => this.#readOutput(),
      write: (_offset, _size, value) => this.#writeInput(value & 0xff),
    });
    options.ports.claim(0x64, 1, {
      read: () => this.#status,
      write: (_offset, _size, value) => this.#writeCommand(value & 0xff),
    });
  }

  /** Set 1 scan codes from the host. */
  press(scanCodes: Uint8Array): void {
    if (!this.values.SCANNING) return;
    for (const code of scanCodes.subarray(0, KEYBOARD_QUEUE_BYTES - this.queue.length)) this.queue.push(code);
    this.#advance();
  }

  get #status(): number {
    return (
      (this.values.FULL ? Status.full : 0) |
      (this.values.CONTROL & Status.system) |
      (this.values.LAST_WAS_COMMAND ? Status.command : 0) |
      Status.unlocked
    );
  }

  #answer(...bytes: number[]): void {
    if (this.queue.length + bytes.length <= KEYBOARD_QUEUE_BYTES) this.queue.push(...bytes);
    this.#advance();
  }

  /** The controller's own answers do not wait behind keys. */
  #answerFromController(byte: number): void {
    this.values.FULL = 1;
    this.values.OUTPUT = byte;
    this.#update();
  }

  #advance(): void {
    const v = this.values;
    if (!v.FULL && this.queue.length > 0 && !(v.CONTROL & Control.disabled)) {
      v.OUTPUT = this.queue.shift()!;
      v.FULL = 1;
    }
    this.#update();
  }

  #update(): void {
    this.#options.irq.set(this.values.FULL === 1 && (this.values.CONTROL & Control.interrupt) !== 0);
  }

  #readOutput(): number {
    const byte = this.values.OUTPUT;
    this.values.FULL = 0;
    // The line falls before the next byte raises it: the interrupt is an edge.
    this.#update();
    this.#advance();
    return byte;
  }

  #writeCommand(command: number): void {
    const v = this.values;
    v.LAST_WAS_COMMAND = 1;
    v.COMMAND = 0;
    if (command === 0x20) this.#answerFromController(v.CONTROL);
    else if (command === 0xaa) this.#answerFromController(0x55);
    else if (command === 0xab) this.#answerFromController(0x00);
    else if (command === 0xad) v.CONTROL |= Control.disabled;
    else if (command === 0xae) v.CONTROL &= ~Control.disabled;
    else if (command === 0xd0) this.#answerFromController(v.PORT);
    else if (command >= 0xf0) this.#pulse(command);
    else if (command === 0x60 || command === 0xd1 || command === 0xd2) v.COMMAND = command;
    this.#advance();
  }

  /** Commands F0-FF pulse the output port bits that are 0 in the command; bit 0 is the processor's reset. */
  #pulse(command: number): void {
    if (!(command & 0x01)) this.#options.onReset();
  }

  #writeInput(value: number): void {
    const v = this.values;
    const command = v.COMMAND;
    v.LAST_WAS_COMMAND = 0;
    v.COMMAND = 0;
    if (command === 0x60) v.CONTROL = value & 0x7f;
    else if (command === 0xd1) {
      v.PORT = value;
      if (!(value & 0x01)) this.#options.onReset();
    } else if (command === 0xd2) this.#answerFromController(value);
    else {
      v.CONTROL &= ~Control.disabled;
      this.#writeKeyboard(value);
    }
    this.#advance();
  }

  #writeKeyboard(value: number): void {
    const v = this.values;
    const command = v.KEYBOARD_COMMAND;
    v.KEYBOARD_COMMAND = 0;
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
      if (value === 0xed || value === 0xf3 || value === 0xf0) v.KEYBOARD_COMMAND = value;
      this.#answer(ACK);
    }
  }
}
