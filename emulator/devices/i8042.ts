import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";
import { Ps2Keyboard } from "./ps2-keyboard.ts";
import { Ps2Mouse } from "./ps2-mouse.ts";

/**
 * 8042 controller with a keyboard and, at its auxiliary port, a mouse (IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard and Auxiliary Device Controller"). The host's scan codes are already of set 1, which is what a guest sees with
 * translation on. Not modelled: untranslated set 2, the password commands, parity and timeout errors.
 */
const Status = { full: 0x01, system: 0x04, command: 0x08, unlocked: 0x10, auxiliary: 0x20 } as const;
const Control = {
  interrupt: 0x01,
  auxInterrupt: 0x02,
  system: 0x04,
  disabled: 0x10,
  auxDisabled: 0x20,
  translate: 0x40,
} as const;
/** Commands whose parameter is the next byte at port 60h. */
const WITH_PARAMETER: readonly number[] = [0x60, 0xd1, 0xd2, 0xd3, 0xd4];

export interface I8042Options {
  readonly ports: PortMap;
  readonly irq: IrqLine;
  readonly mouseIrq: IrqLine;
  readonly onReset: () => void;
  /** Bit 1 of the output port. */
  readonly onA20: (open: boolean) => void;
}

export class I8042 {
  readonly values = {
    CONTROL: Control.interrupt | Control.system | Control.translate | Control.auxDisabled,
    OUTPUT: 0,
    FULL: 0,
    FROM_MOUSE: 0,
    COMMAND: 0,
    PORT: 0xcf,
    LAST_WAS_COMMAND: 0,
  };
  readonly keyboard = new Ps2Keyboard(() => this.#advance());
  readonly mouse = new Ps2Mouse(() => this.#advance());
  readonly #options: I8042Options;

  constructor(options: I8042Options) {
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

  get #status(): number {
    const v = this.values;
    return (
      (v.FULL ? Status.full : 0) |
      (v.FULL && v.FROM_MOUSE ? Status.auxiliary : 0) |
      (v.CONTROL & Status.system) |
      (v.LAST_WAS_COMMAND ? Status.command : 0) |
      Status.unlocked
    );
  }

  /** The controller's own answers do not wait behind keys. */
  #answer(byte: number, fromMouse = false): void {
    this.values.FULL = 0;
    this.#update();
    this.#fill(byte, fromMouse);
  }

  #fill(byte: number, fromMouse: boolean): void {
    const v = this.values;
    v.OUTPUT = byte;
    v.FROM_MOUSE = fromMouse ? 1 : 0;
    v.FULL = 1;
    this.#update();
  }

  /** Takes the next byte of whichever device may speak. */
  #advance(): void {
    const v = this.values;
    if (v.FULL) return;
    if (this.keyboard.waiting && !(v.CONTROL & Control.disabled)) this.#fill(this.keyboard.take(), false);
    else if (this.mouse.waiting && !(v.CONTROL & Control.auxDisabled)) this.#fill(this.mouse.take(), true);
  }

  #update(): void {
    const v = this.values;
    const full = v.FULL === 1;
    this.#options.irq.set(full && !v.FROM_MOUSE && (v.CONTROL & Control.interrupt) !== 0);
    this.#options.mouseIrq.set(full && v.FROM_MOUSE === 1 && (v.CONTROL & Control.auxInterrupt) !== 0);
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
    v.COMMAND = WITH_PARAMETER.includes(command) ? command : 0;
    if (command === 0x20) this.#answer(v.CONTROL);
    else if (command === 0xa7) this.#control(v.CONTROL | Control.auxDisabled);
    else if (command === 0xa8) this.#control(v.CONTROL & ~Control.auxDisabled);
    else if (command === 0xa9 || command === 0xab) this.#answer(0x00);
    else if (command === 0xaa) this.#answer(0x55);
    else if (command === 0xad) this.#control(v.CONTROL | Control.disabled);
    else if (command === 0xae) this.#control(v.CONTROL & ~Control.disabled);
    else if (command === 0xd0) this.#answer(v.PORT);
    else if (command >= 0xf0) this.#pulse(command);
  }

  #control(value: number): void {
    this.values.CONTROL = value;
    this.#update();
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
    if (command === 0x60) this.#control(value & 0x7f);
    else if (command === 0xd1) {
      v.PORT = value;
      this.#options.onA20((value & 0x02) !== 0);
      if (!(value & 0x01)) this.#options.onReset();
    } else if (command === 0xd2) this.#answer(value);
    else if (command === 0xd3) this.#answer(value, true);
    else if (command === 0xd4) {
      this.#control(v.CONTROL & ~Control.auxDisabled);
      this.mouse.receive(value);
    } else {
      this.#control(v.CONTROL & ~Control.disabled);
      this.keyboard.receive(value);
    }
  }
}
