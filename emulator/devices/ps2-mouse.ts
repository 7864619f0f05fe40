import type { MouseMove } from "../protocol/machine-messages.ts";

/**
 * A PS/2 mouse with a wheel (IBM PS/2 Hardware Interface Technical Reference, "Mouse"; the wheel is Microsoft's IntelliMouse:
 * sample rates 200, 100, 80 change the device ID to 3 and add a byte to each packet). Not modelled: the timing of sample rates;
 * movement goes out as fast as the guest takes it. 2:1 scaling is kept and not applied, as only remote mode would show it.
 */
const ACK = 0xfa;
const SELF_TEST_PASSED = 0xaa;
const ALWAYS = 0x08;
const WHEEL_ID = 3;
const KNOCK = [200, 100, 80] as const;
/** Bytes that wait; movement beyond them adds up and goes in larger steps. */
export const MOUSE_QUEUE_BYTES = 64;
const MAX_STEP = 255;
const MAX_WHEEL_STEP = 7;
/** Movement that nobody takes is forgotten beyond this. */
const MAX_OWED = 10_000;

const clamp = (value: number, most: number): number =>
  Math.max(-most, Math.min(Math.trunc(value) || 0, most));

export class Ps2Mouse {
  readonly values = {
    REPORTING: 0,
    REMOTE: 0,
    WRAP: 0,
    SCALING: 0,
    RESOLUTION: 2,
    SAMPLE_RATE: 100,
    ID: 0,
    COMMAND: 0,
    BUTTONS: 0,
    /** Movement that is not in a packet yet. */
    X: 0,
    Y: 0,
    WHEEL: 0,
  };
  readonly queue: number[] = [];
  #rates: readonly number[] = [];
  #sentButtons = 0;
  readonly #onQueued: () => void;

  constructor(onQueued: () => void) {
    this.#onQueued = onQueued;
  }

  get waiting(): boolean {
    return this.queue.length > 0;
  }
  take(): number {
    const byte = this.queue.shift() ?? 0;
    this.#report();
    return byte;
  }

  /** The host's hand. A mouse that does not report keeps nothing. */
  move({ dx, dy, wheel, buttons }: MouseMove): void {
    const v = this.values;
    v.BUTTONS = buttons & 7;
    if (!v.REPORTING && !v.REMOTE) return;
    v.X = clamp(v.X + clamp(dx, MAX_OWED), MAX_OWED);
    v.Y = clamp(v.Y - clamp(dy, MAX_OWED), MAX_OWED);
    v.WHEEL = clamp(v.WHEEL + clamp(wheel, MAX_OWED), MAX_OWED);
    this.#report();
    this.#onQueued();
  }

  /** A byte from the controller. It ends whatever was about to be sent. */
  receive(value: number): void {
    this.queue.length = 0;
    const command = this.values.COMMAND;
    this.values.COMMAND = 0;
    if (this.values.WRAP && value !== 0xff && value !== 0xec) this.queue.push(value);
    else if (command !== 0) this.#parameter(command, value);
    else this.#command(value);
    this.#onQueued();
  }

  #parameter(command: number, value: number): void {
    const v = this.values;
    this.queue.push(ACK);
    if (command === 0xe8) v.RESOLUTION = value & 3;
    else {
      v.SAMPLE_RATE = value;
      this.#rates = [...this.#rates, value].slice(-KNOCK.length);
      if (KNOCK.every((rate, i) => rate === this.#rates[i])) v.ID = WHEEL_ID;
    }
  }

  #command(value: number): void {
    const v = this.values;
    this.queue.push(ACK);
    if (value === 0xff) {
      this.#setDefaults();
      v.ID = 0;
      this.queue.push(SELF_TEST_PASSED, v.ID);
    } else if (value === 0xf6) this.#setDefaults();
    else if (value === 0xf5) v.REPORTING = 0;
    else if (value === 0xf4) v.REPORTING = 1;
    else if (value === 0xf3 || value === 0xe8) v.COMMAND = value;
    else if (value === 0xf2) this.queue.push(v.ID);
    else if (value === 0xf0) v.REMOTE = 1;
    else if (value === 0xee) v.WRAP = 1;
    else if (value === 0xec) v.WRAP = 0;
    else if (value === 0xeb) this.queue.push(...this.#packet());
    else if (value === 0xea) v.REMOTE = 0;
    else if (value === 0xe9) this.queue.push(this.#status, v.RESOLUTION, v.SAMPLE_RATE);
    else if (value === 0xe7) v.SCALING = 1;
    else if (value === 0xe6) v.SCALING = 0;
  }

  get #status(): number {
    const v = this.values;
    const buttons = ((v.BUTTONS & 1) << 2) | ((v.BUTTONS & 4) >> 1) | ((v.BUTTONS & 2) >> 1);
    return (v.REMOTE << 6) | (v.REPORTING << 5) | (v.SCALING << 4) | buttons;
  }

  #setDefaults(): void {
    const v = this.values;
    Object.assign(v, { REPORTING: 0, REMOTE: 0, WRAP: 0, SCALING: 0, RESOLUTION: 2, SAMPLE_RATE: 100 });
    v.X = v.Y = v.WHEEL = 0;
    this.#rates = [];
  }

  /** Queues what there is to report, as long as there is room. */
  #report(): void {
    const v = this.values;
    if (!v.REPORTING || v.REMOTE || v.WRAP) return;
    const length = v.ID === WHEEL_ID ? 4 : 3;
    const news = (): boolean =>
      v.X !== 0 || v.Y !== 0 || (v.WHEEL !== 0 && v.ID === WHEEL_ID) || v.BUTTONS !== this.#sentButtons;
    while (news() && this.queue.length + length <= MOUSE_QUEUE_BYTES) this.queue.push(...this.#packet());
  }

  #packet(): number[] {
    const v = this.values;
    const x = clamp(v.X, MAX_STEP);
    const y = clamp(v.Y, MAX_STEP);
    const wheel = clamp(v.WHEEL, MAX_WHEEL_STEP);
    v.X -= x;
    v.Y -= y;
    v.WHEEL = v.ID === WHEEL_ID ? v.WHEEL - wheel : 0;
    this.#sentButtons = v.BUTTONS;
    const first = ALWAYS | v.BUTTONS | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0);
    return [first, x & 0xff, y & 0xff, ...(v.ID === WHEEL_ID ? [wheel & 0xff] : [])];
  }
}
