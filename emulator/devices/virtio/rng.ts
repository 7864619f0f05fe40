import type { VirtioModel, VirtioPort } from "./pci-transport.ts";
import { scatter } from "./virtqueue.ts";

/** Entropy device (virtio 1.2 §5.4). A request gets at most 4 KiB; the driver asks again. */
const MAX_ANSWER_BYTES = 4096;

export class VirtioRng implements VirtioModel {
  readonly type = 4;
  readonly subsystem = 4;
  readonly classCode = 0x00ff00;
  readonly features = 0;
  readonly queueSizes = [64];
  readonly #port: VirtioPort;
  readonly #random32: () => number;

  constructor(port: VirtioPort, random32: () => number) {
    this.#port = port;
    this.#random32 = random32;
  }

  readConfig(): number {
    return 0;
  }

  onReset(): void {}

  onNotify(): void {
    this.#port.queues[0]!.drain((chain) => {
      const words = Uint32Array.from(
        { length: Math.ceil(Math.min(chain.writableBytes, MAX_ANSWER_BYTES) / 4) },
        this.#random32,
      );
      const bytes = new Uint8Array(words.buffer).subarray(0, chain.writableBytes);
      scatter(this.#port.memory, chain.writable, 0, bytes);
      this.#port.complete(0, chain.head, bytes.length);
      return true;
    });
  }
}
