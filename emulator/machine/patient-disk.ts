import type { Disk } from "../devices/virtio/blk.ts";
import type { Failure, Outcome } from "../protocol/failure.ts";
import type { BlockDevice } from "../storage/block-device.ts";

/**
 * A block device that the guest never sees fail. What fails is reported, waits for `retry`, and is asked again; the guest's
 * request stays in flight. The host knows how long the oldest read has been waiting.
 */
export interface PatientDiskOptions {
  readonly device: BlockDevice;
  readonly hostNs: () => number;
  readonly onFailure: (failure: Failure) => void;
  /** Something has settled: a stall may be over. */
  readonly onSettled: () => void;
}

interface Waiting {
  readonly offset: number;
  readonly sinceNs: number;
}

export class PatientDisk implements Disk {
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  readonly #options: PatientDiskOptions;
  /** Reads that the guest waits for, in order of arrival. */
  readonly #reads = new Set<Waiting>();
  #operations = 0;
  #retries: (() => void)[] = [];

  constructor(options: PatientDiskOptions) {
    this.#options = options;
    this.sizeBytes = options.device.sizeBytes;
    this.readOnly = options.device.readOnly;
  }

  get oldestRead(): Waiting | undefined {
    for (const first of this.#reads) return first;
    return undefined;
  }

  /** Any operation in flight. */
  get busy(): boolean {
    return this.#operations > 0;
  }

  /** Asks again for whatever has failed. */
  retry(): void {
    const retries = this.#retries;
    this.#retries = [];
    for (const again of retries) again();
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const waiting = { offset, sinceNs: this.#options.hostNs() };
    this.#reads.add(waiting);
    const bytes = await this.#persist(async () => {
      const outcome = await this.#options.device.read(offset, length);
      const short = outcome.ok && outcome.value.length !== length;
      return short
        ? { ok: false, failure: { code: "corrupt", what: `disk read of ${length} bytes at ${offset}` } }
        : outcome;
    });
    this.#reads.delete(waiting);
    this.#options.onSettled();
    return bytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#persist(() => this.#options.device.write(offset, bytes));
  }

  async flush(): Promise<void> {
    await this.#persist(() => this.#options.device.flush());
  }

  async discard(offset: number, length: number): Promise<void> {
    await this.#persist(() => this.#options.device.discard(offset, length));
  }

  async #persist<T>(attempt: () => Promise<Outcome<T>>): Promise<T> {
    this.#operations++;
    for (;;) {
      const outcome = await attempt().catch((problem: unknown): Outcome<T> => ({
        ok: false,
        failure: { code: "internal", incident: String(problem) },
      }));
      if (outcome.ok) {
        this.#operations--;
        this.#options.onSettled();
        return outcome.value;
      }
      const again = new Promise<void>((resolve) => this.#retries.push(resolve));
      this.#options.onFailure(outcome.failure);
      await again;
    }
  }
}
