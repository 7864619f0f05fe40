import { type Outcome, fail, ok } from "../protocol/failure.ts";
import type { ChunkHash } from "../protocol/ids.ts";
import { chunkPath } from "../protocol/store-api.ts";
import { type ChunkStore, DEFAULT_MAX_BYTES, type GetOptions, hashOf } from "./chunk-store.ts";
import { type Network, ask, statusFailure } from "./http.ts";

/** The objects of a Worker, or of whatever serves the same paths. One instance per kind of path: chunks or manifests. */
export class HttpChunkStore implements ChunkStore {
  readonly #network: Network;
  readonly #path: (hash: ChunkHash) => string;
  readonly #what: string;

  constructor(network: Network, path: (hash: ChunkHash) => string = chunkPath, what = "chunk") {
    this.#network = network;
    this.#path = path;
    this.#what = what;
  }

  async get(hash: ChunkHash, options: GetOptions = {}): Promise<Outcome<Uint8Array<ArrayBuffer>>> {
    const what = `${this.#what} ${hash.slice(0, 12)}`;
    const answer = await ask(this.#network, this.#path(hash), {
      maxBytes: DEFAULT_MAX_BYTES,
      ...options,
      what,
      accept: ({ status }) => (status === 200 ? null : statusFailure(status, what)),
    });
    if (!answer.ok) return answer;
    const { bytes } = answer.value;
    return (await hashOf(bytes)) === hash ? ok(bytes) : fail({ code: "corrupt", what });
  }

  async put(bytes: Uint8Array<ArrayBuffer>): Promise<Outcome<ChunkHash>> {
    const hash = await hashOf(bytes);
    const what = `${this.#what} ${hash.slice(0, 12)}`;
    const answer = await ask(this.#network, this.#path(hash), {
      method: "PUT",
      body: bytes,
      headers: { "content-type": "application/octet-stream" },
      what,
      maxBytes: 65536,
      accept: (response) => (response.ok ? null : statusFailure(response.status, what)),
    });
    return answer.ok ? ok(hash) : answer;
  }
}
