/** Gathers serial bytes, so that the page gets them some hundred times a second and not one by one. */
const BATCH_BYTES = 4096;

export class SerialBatch {
  readonly #send: (bytes: Uint8Array) => void;
  #bytes = new Uint8Array(BATCH_BYTES);
  #length = 0;

  constructor(send: (bytes: Uint8Array) => void) {
    this.#send = send;
  }

  add(byte: number): void {
    if (this.#length === BATCH_BYTES) this.flush();
    this.#bytes[this.#length++] = byte;
  }

  addAll(bytes: Uint8Array): void {
    for (const byte of bytes) this.add(byte);
  }

  /** The receiver owns what it gets. */
  flush(): void {
    if (this.#length === 0) return;
    const bytes = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    this.#send(bytes);
  }
}
