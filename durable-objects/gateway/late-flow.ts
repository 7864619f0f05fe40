import type { Outflow } from "./flow.ts";
import { PieceQueue } from "./piece-queue.ts";

/** A connection whose relay's socket is not there yet: keeps what is asked of it until it is. The dialler bounds what it writes. */
export class LateFlow implements Outflow {
  #inner: Outflow | null | undefined;
  readonly #early = new PieceQueue();
  #granted = 0;
  #isFinished = false;
  #isAborted = false;

  /** Null: there will be none. */
  attach(inner: Outflow | null): void {
    this.#inner = inner;
    if (this.#isAborted) inner?.abort();
    else if (inner) this.#catchUp(inner);
    this.#early.clear();
  }
  #catchUp(inner: Outflow): void {
    if (this.#granted > 0) inner.grant(this.#granted);
    for (let bytes = this.#early.shift(); bytes; bytes = this.#early.shift()) inner.write(bytes);
    if (this.#isFinished) inner.finish();
  }

  write(bytes: Uint8Array): void {
    if (this.#inner) this.#inner.write(bytes);
    else if (this.#inner === undefined && !this.#isAborted) this.#early.push(bytes);
  }
  finish(): void {
    this.#isFinished = true;
    this.#inner?.finish();
  }
  abort(): void {
    this.#isAborted = true;
    this.#early.clear();
    this.#inner?.abort();
  }
  grant(bytes: number): void {
    if (this.#inner) this.#inner.grant(bytes);
    else this.#granted += bytes;
  }
}
