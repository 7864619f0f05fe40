import type { PortMap } from "../bus/address-map.ts";
import type { IrqLine } from "../bus/interrupts.ts";
import type { GuestTime, Timers } from "../bus/timers.ts";
import { bank } from "./register-bank.ts";

/**
 * 16550A serial port (National PC16550D, table II). Sending takes no time; receiving is paced to 16 bytes per 1.4 ms, as at
 * 115200 baud, so that a paste does not overrun the guest. Not modelled: baud rates, parity and framing errors.
 */
const IER = { received: 0x01, transmitted: 0x02, lineStatus: 0x04 } as const;
const IIR = { none: 0x01, transmitted: 0x02, received: 0x04, timeout: 0x0c, fifos: 0xc0 } as const;
const FCR = { enable: 0x01, clearReceive: 0x02 } as const;
const LCR_DIVISOR_LATCH = 0x80;
const MCR_LOOP = 0x10;
const LSR = { ready: 0x01, idle: 0x60 } as const;
/** Clear to send, data set ready, carrier: a terminal is always there. */
const MSR_CONNECTED = 0xb0;
const FIFO_BYTES = 16;
const FIFO_NS = 1_400_000;
const TRIGGER_LEVELS = [1, 4, 8, 14] as const;

/** Bytes from the host that wait for the guest; more are dropped. */
export const UART_QUEUE_BYTES = 65536;

export interface UartOptions {
  readonly ports: PortMap;
  readonly base: number;
  readonly irq: IrqLine;
  readonly timers: Timers;
  readonly now: GuestTime;
  readonly transmit: (byte: number) => void;
}

export class Uart {
  /** The receive FIFO, and what waits behind it on the wire. */
  readonly fifo: number[] = [];
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #transmitted = false;
  readonly #options: UartOptions;
  readonly #pace;

  readonly registers = bank({
    RBR: { at: 0, onRead: () => this.#receive(), onWrite: (byte) => this.#transmit(byte) },
    IER: { at: 1, writable: 0x0f, onWrite: () => this.#enable() },
    IIR: { at: 2, onRead: () => this.#identify(), onWrite: (value) => this.#controlFifo(value) },
    LCR: { at: 3, writable: 0xff, reset: 0x03 },
    MCR: { at: 4, writable: 0x1f, onWrite: () => this.#update() },
    LSR: { at: 5, onRead: () => LSR.idle | (this.fifo.length > 0 ? LSR.ready : 0) },
    MSR: { at: 6, onRead: () => this.#modemStatus() },
    SCR: { at: 7, writable: 0xff },
  });
  readonly divisorLatch = bank({
    DLL: { at: 0, writable: 0xff, reset: 1 },
    DLM: { at: 1, writable: 0xff },
  });
  readonly state = { FCR: 0 };

  constructor(options: UartOptions) {
    this.#options = options;
    this.#pace = options.timers.create(() => this.#refill());
    options.ports.claim(options.base, 8, {
      read: (offset) => this.#select(offset).read(offset),
      write: (offset, _size, value) => this.#select(offset).write(offset, value & 0xff),
    });
  }

  receiveFromHost(bytes: Uint8Array): void {
    const room = bytes.subarray(0, Math.max(UART_QUEUE_BYTES - this.#queuedBytes, 0));
    if (room.length === 0) return;
    this.#queue.push(room.slice());
    this.#queuedBytes += room.length;
    if (!this.#pace.armed) this.#refill();
  }

  #select(offset: number): { read(at: number): number; write(at: number, value: number): void } {
    return offset < 2 && this.registers.values.LCR & LCR_DIVISOR_LATCH ? this.divisorLatch : this.registers;
  }

  /** The next 16 bytes arrive; those after them in 1.4 ms. */
  #refill(): void {
    while (this.fifo.length < FIFO_BYTES && this.#queue.length > 0) {
      const first = this.#queue[0]!;
      const taken = first.subarray(0, FIFO_BYTES - this.fifo.length);
      this.fifo.push(...taken);
      this.#queuedBytes -= taken.length;
      if (taken.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(taken.length);
    }
    if (this.#queuedBytes > 0) this.#pace.arm(this.#options.now() + FIFO_NS);
    this.#update();
  }

  #receive(): number {
    const byte = this.fifo.shift() ?? 0;
    this.#update();
    return byte;
  }

  /** The byte leaves at once, so the transmitter is empty again: its interrupt falls and rises. */
  #transmit(byte: number): void {
    this.#transmitted = false;
    this.#update();
    if (this.registers.values.MCR & MCR_LOOP) {
      if (this.fifo.length < FIFO_BYTES) this.fifo.push(byte);
    } else this.#options.transmit(byte);
    this.#transmitted = true;
    this.#update();
  }

  /** Enabling the transmitter's interrupt while it is empty raises it; Linux tests for this. */
  #enable(): void {
    if (this.registers.values.IER & IER.transmitted) this.#transmitted = true;
    this.#update();
  }

  #controlFifo(value: number): void {
    this.state.FCR = value & FCR.enable ? value & 0xc9 : 0;
    if (value & FCR.clearReceive) this.fifo.length = 0;
    this.#update();
  }

  /** The interrupt of highest priority (table IV). Reading it when it is the transmitter's clears that. */
  #identify(): number {
    const fifos = this.state.FCR & FCR.enable ? IIR.fifos : 0;
    const source = this.#source;
    if (source === IIR.transmitted) {
      this.#transmitted = false;
      this.#update();
    }
    return source | fifos;
  }

  get #source(): number {
    const enabled = this.registers.values.IER;
    if (enabled & IER.received && this.fifo.length > 0) {
      const trigger =
        this.state.FCR & FCR.enable ? TRIGGER_LEVELS[(this.state.FCR >> 6) as 0 | 1 | 2 | 3] : 1;
      return this.fifo.length >= trigger ? IIR.received : IIR.timeout;
    }
    return enabled & IER.transmitted && this.#transmitted ? IIR.transmitted : IIR.none;
  }

  #update(): void {
    this.#options.irq.set(this.#source !== IIR.none);
  }

  /** In loop mode the modem lines are the outputs: OUT2 OUT1 DTR RTS appear as DCD RI DSR CTS. */
  #modemStatus(): number {
    const control = this.registers.values.MCR;
    if (!(control & MCR_LOOP)) return MSR_CONNECTED;
    return ((control & 0x0c) << 4) | ((control & 0x01) << 5) | ((control & 0x02) << 3);
  }
}
