import { DNS_INTERNET, addressesOf, dnsTypes, nameBytes, readDns } from "../net/dns-message.ts";
import { Resolver } from "../net/dns.ts";
import { formatIp } from "../net/ip-text.ts";

/** A DNS message in, an answer out. */
export type Ask = (message: Uint8Array) => Promise<Uint8Array>;

/** Looks names up for the doors that are given names instead of addresses. Bounded and cached as the LAN's resolver is. */
export class Names {
  readonly #resolver: Resolver;
  readonly #now: () => number;

  constructor(ask: Ask, now: () => number) {
    this.#now = now;
    this.#resolver = new Resolver({
      gateway: "0.0.0.0",
      domain: "invalid",
      resolve: (query, message) =>
        void ask(message).then((answer) => this.#resolver.onAnswer(query, answer, now())),
    });
  }

  /** IPv4 first: not every place has a way to IPv6. Empty: there is no such name, or nobody answers. */
  async addresses(name: string): Promise<string[]> {
    const v4 = await this.#ask(name, dnsTypes.A);
    return v4.length > 0 ? v4 : this.#ask(name, dnsTypes.AAAA);
  }

  async #ask(name: string, type: number): Promise<string[]> {
    const question = questionOf(name, type);
    if (!question) return [];
    const answer = await new Promise<Uint8Array>((resolve) =>
      this.#resolver.ask(question, this.#now(), resolve, "tcp"),
    );
    const message = readDns(answer);
    return message ? addressesOf(message).map(formatIp) : [];
  }

  /** Any question in wire format, through the same cache. */
  ask(message: Uint8Array, answer: (message: Uint8Array) => void): void {
    this.#resolver.ask(message, this.#now(), answer);
  }
}

function questionOf(name: string, type: number): Uint8Array | null {
  const wire = nameBytes(name);
  if (!wire) return null;
  const question = new Uint8Array(12 + wire.length + 4);
  const view = new DataView(question.buffer);
  // Recursion desired, one question (RFC 1035 §4.1.1).
  view.setUint16(2, 0x0100);
  view.setUint16(4, 1);
  question.set(wire, 12);
  view.setUint16(12 + wire.length, type);
  view.setUint16(14 + wire.length, DNS_INTERNET);
  return question;
}
