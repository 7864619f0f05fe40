/** Sends chunks to a server while a file is being cut, a batch at a time, so that no copy of the file is kept. */
import type { ChunkHash } from "#protocol/ids.ts";
import type { Publisher } from "./publisher.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** 64 MiB of chunks at most. */
const BATCH_CHUNKS = 256;

export class ChunkSender {
  readonly #publisher: Publisher;
  #batch = new Map<ChunkHash, Bytes>();
  #sending: Promise<void> = Promise.resolve();
  sentChunks = 0;
  sentBytes = 0;

  constructor(publisher: Publisher) {
    this.#publisher = publisher;
  }

  /** Waits while an earlier batch is being sent and this one is full. */
  async add(hash: ChunkHash, bytes: Bytes): Promise<void> {
    this.#batch.set(hash, bytes);
    if (this.#batch.size >= BATCH_CHUNKS) await this.flush();
  }

  flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = new Map();
    this.#sending = this.#sending.then(() => this.#send(batch));
    return this.#sending;
  }

  async #send(batch: ReadonlyMap<ChunkHash, Bytes>): Promise<void> {
    const read = async (hash: ChunkHash): Promise<Bytes> => {
      const bytes = batch.get(hash);
      if (!bytes) throw new Error(`The server asks for ${hash}, which it was not offered`);
      this.sentChunks++;
      this.sentBytes += bytes.length;
      return bytes;
    };
    await this.#publisher.chunks(batch.keys(), read);
  }
}
