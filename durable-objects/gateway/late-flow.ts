import type { Outflow } from "./flow.ts";

/** A connection whose relay's socket is not there yet: keeps what is asked of it until it is. The dialler bounds what it writes. */
export class LateFlow implements Outflow {
  #inner: Outflow | null | undefined;
  #early: ((flow: Outflow) => void)[] = [];

  /** Null: there will be none. */
  attach(inner: Outflow | null): void {
    this.#inner = inner;
    for (const call of this.#early) if (inner) call(inner);
    this.#early = [];
  }
  #do(call: (flow: Outflow) => void): void {
    if (this.#inner) call(this.#inner);
    else if (this.#inner === undefined) this.#early.push(call);
  }
  write(bytes: Uint8Array): void {
    this.#do((flow) => flow.write(bytes));
  }
  finish(): void {
    this.#do((flow) => flow.finish());
  }
  abort(): void {
    this.#do((flow) => flow.abort());
  }
  grant(bytes: number): void {
    this.#do((flow) => flow.grant(bytes));
  }
}
