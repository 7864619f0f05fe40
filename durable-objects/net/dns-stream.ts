import type { DnsService } from "./service.ts";

/** A question is 4,096 bytes at most, whatever the length before it says; the resolver takes no more. */
const MAX_QUESTION_BYTES = 4096;
/** Questions of one connection that wait for their answers (RFC 7766 §6.2.1.1 lets them overtake each other). */
const MAX_PENDING = 32;

export interface DnsStreamEnd {
  /** Room for an answer now; what does not fit is not sent. */
  room(): number;
  deliver(bytes: Uint8Array): void;
  reset(): void;
  written(count: number): void;
}

/** DNS over one TCP connection of the guest: messages with their length before them (RFC 1035 §4.2.2). */
export class DnsStream {
  readonly #dns: DnsService;
  readonly #end: DnsStreamEnd;
  #held = new Uint8Array(0);
  #pending = 0;

  constructor(dns: DnsService, end: DnsStreamEnd) {
    this.#dns = dns;
    this.#end = end;
  }

  onBytes(bytes: Uint8Array, nowMs: number): void {
    this.#end.written(bytes.length);
    const all = new Uint8Array(this.#held.length + bytes.length);
    all.set(this.#held);
    all.set(bytes, this.#held.length);
    let at = 0;
    while (at + 2 <= all.length) {
      const length = (all[at]! << 8) | all[at + 1]!;
      if (length > MAX_QUESTION_BYTES) return this.#end.reset();
      if (at + 2 + length > all.length) break;
      this.#ask(all.subarray(at + 2, at + 2 + length), nowMs);
      at += 2 + length;
    }
    this.#held = all.slice(at);
    return undefined;
  }

  #ask(question: Uint8Array, nowMs: number): void {
    if (this.#pending >= MAX_PENDING) return;
    this.#pending++;
    const answer = (message: Uint8Array) => {
      this.#pending--;
      if (message.length > 0xffff || this.#end.room() < message.length + 2) return;
      const framed = new Uint8Array(message.length + 2);
      new DataView(framed.buffer).setUint16(0, message.length);
      framed.set(message, 2);
      this.#end.deliver(framed);
    };
    this.#dns.ask(question, nowMs, answer, "tcp");
  }
}
