import type { VirtioModel, VirtioPort } from "./pci-transport.ts";
import { gather, scatter } from "./virtqueue.ts";

/** Console device (virtio 1.2 §5.3) with one port: hvc0. Not offered: several ports, emergency write. */
const Queue = { receive: 0, transmit: 1 } as const;
const FEATURE_SIZE = 1;
/** Bytes of one request that are sent; a terminal's line never comes near it. */
const MAX_SEND_BYTES = 65536;
/** Bytes from the host that wait for the guest; more are dropped. */
const MAX_WAITING_BYTES = 65536;

export interface ConsoleSize {
  readonly columns: number;
  readonly rows: number;
}

export class VirtioConsole implements VirtioModel {
  readonly type = 3;
  readonly subsystem = 3;
  readonly classCode = 0x078000;
  readonly features = FEATURE_SIZE;
  readonly queueSizes = [64, 64];
  readonly #port: VirtioPort;
  readonly #transmit: (bytes: Uint8Array) => void;
  readonly #size: ConsoleSize;
  #waiting = new Uint8Array(0);

  constructor(port: VirtioPort, transmit: (bytes: Uint8Array) => void, size: ConsoleSize) {
    this.#port = port;
    this.#transmit = transmit;
    this.#size = size;
  }

  readConfig(offset: number): number {
    if (offset === 0) return this.#size.columns | (this.#size.rows << 16);
    if (offset === 2) return this.#size.rows;
    return offset === 4 ? 1 : 0;
  }

  receiveFromHost(bytes: Uint8Array): void {
    const room = bytes.subarray(0, Math.max(MAX_WAITING_BYTES - this.#waiting.length, 0));
    const joined = new Uint8Array(this.#waiting.length + room.length);
    joined.set(this.#waiting);
    joined.set(room, this.#waiting.length);
    this.#waiting = joined;
    this.#deliver();
  }

  onReset(): void {
    this.#waiting = new Uint8Array(0);
  }

  onNotify(index: number): void {
    if (index === Queue.receive) return this.#deliver();
    this.#port.queues[Queue.transmit]!.drain((chain) => {
      this.#transmit(
        gather(this.#port.memory, chain.readable, 0, Math.min(chain.readableBytes, MAX_SEND_BYTES)),
      );
      this.#port.complete(Queue.transmit, chain.head, 0);
      return true;
    });
  }

  #deliver(): void {
    if (this.#waiting.length === 0) return;
    this.#port.queues[Queue.receive]!.drain((chain) => {
      const bytes = this.#waiting.subarray(0, chain.writableBytes);
      this.#waiting = this.#waiting.slice(bytes.length);
      scatter(this.#port.memory, chain.writable, 0, bytes);
      this.#port.complete(Queue.receive, chain.head, bytes.length);
      return this.#waiting.length > 0;
    });
  }
}
