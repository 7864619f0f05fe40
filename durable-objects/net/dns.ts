import {
  type DnsMessage,
  type Edns,
  DNS_INTERNET,
  addressesOf,
  dnsCodes,
  dnsFlags,
  dnsId,
  dnsTypes,
  ednsOf,
  nameBytes,
  nameText,
  readDns,
} from "./dns-message.ts";
import { emptyAnswer, fittedAnswer, headerAnswer, localAnswer, upstreamQuestion } from "./dns-answer.ts";
import { DnsCache } from "./dns-cache.ts";
import { formatIp, parseIp } from "./ip-text.ts";
import { addressOfPtr, isPrivate } from "./dns-reverse.ts";
import type { DnsService } from "./service.ts";
import type { Address, QueryId } from "./world.ts";

/**
 * The LAN's resolver: a forwarder with a cache. Questions and answers pass through in wire format, whatever their type;
 * only names of the LAN itself are answered here. RFC 1035, 2308 (negative answers), 6891 (EDNS), 8482 (ANY).
 */
export interface ResolverConfig {
  /** Of the LAN whose names are answered here; absent: no LAN. */
  readonly gateway?: Address;
  readonly domain?: string;
  /** One cache may serve many resolvers; absent: a cache of its own. */
  readonly cache?: DnsCache;
  /** Hands a question to the world, which answers by `onAnswer`. */
  readonly resolve: (query: QueryId, message: Uint8Array) => void;
  /** Names and addresses of the LAN's machines, as DHCP knows them now. */
  readonly hosts?: (
    nowMs: number,
  ) => readonly { readonly hostName: string | undefined; readonly address: Address }[];
}

export const dnsLimits = {
  questionBytes: 4096,
  pending: 1024,
  /** Askers that wait for the same answer. */
  waiters: 32,
  /** A question of which the world says nothing for so long is given up, and its askers with it. */
  pendingMs: 10_000,
  names: 10_000,
  /** Over UDP, whatever the asker offers: no fragment on any path (RFC 9715 §3.1). */
  udpBytes: 1232,
  answerBytes: { tcp: 65_535, https: 4096 },
  localSeconds: 60,
} as const;

export type DnsTransport = "udp" | "tcp" | "https";
type Answer = (message: Uint8Array) => void;
interface Waiter {
  readonly asked: DnsMessage;
  readonly edns: Edns | undefined;
  readonly limitBytes: number;
  readonly answer: Answer;
}
interface Pending {
  readonly key: string;
  readonly sinceMs: number;
  readonly waiters: Waiter[];
}
export class Resolver implements DnsService {
  readonly #config: ResolverConfig;
  readonly #domain: string | undefined;
  readonly #cache: DnsCache;
  readonly #pending = new Map<QueryId, Pending>();
  readonly #pendingByKey = new Map<string, QueryId>();
  #nextQuery: QueryId = 1;
  readonly #names = new Map<Address, string>();
  #questions = 0;
  #hits = 0;
  #failures = 0;

  constructor(config: ResolverConfig) {
    this.#config = config;
    this.#domain = config.domain?.toLowerCase();
    this.#cache = config.cache ?? new DnsCache();
  }

  /** Counters for metrics, and what is held now. */
  get counts() {
    return {
      questions: this.#questions,
      cacheHits: this.#hits,
      failures: this.#failures,
      pending: this.#pending.size,
      cached: this.#cache.size,
      cachedBytes: this.#cache.bytes,
      names: this.#names.size,
    } as const;
  }

  /** Over UDP an answer is cut to what the asker and the path take, over others to their own bound. */
  ask(message: Uint8Array, nowMs: number, answer: Answer, transport: DnsTransport = "udp"): void {
    this.#questions++;
    // A response is no question (two resolvers would talk for ever), and less than a header is nothing.
    if (dnsId(message) === null || (message[2]! & 0x80) !== 0) return;
    if (((message[2]! >> 3) & 15) !== 0) return answer(headerAnswer(message, dnsCodes.notImplemented));
    const asked = message.length <= dnsLimits.questionBytes ? readDns(message.slice()) : null;
    const edns = asked && ednsOf(asked);
    if (!asked || edns === null) return answer(headerAnswer(message, dnsCodes.formatError));
    const offered = Math.min(Math.max(edns?.payloadBytes ?? 512, 512), dnsLimits.udpBytes);
    const limitBytes = transport === "udp" ? offered : dnsLimits.answerBytes[transport];
    this.#look({ asked, edns, limitBytes, answer }, nowMs);
  }

  #look(waiter: Waiter, nowMs: number): void {
    const { asked, edns, answer } = waiter;
    const own = this.#ownAnswer(asked, edns, nowMs);
    if (own) return answer(own);
    const key = cacheKey(asked, edns);
    const cached = this.#cache.get(key, nowMs);
    if (cached) {
      this.#hits++;
      return this.#give(waiter, cached.message, cached.ageSeconds);
    }
    const running = this.#pending.get(this.#pendingByKey.get(key) ?? -1);
    if (running && nowMs - running.sinceMs <= dnsLimits.pendingMs) {
      if (running.waiters.length < dnsLimits.waiters) running.waiters.push(waiter);
      else this.#fail(waiter);
      return undefined;
    }
    return this.#forward(waiter, key, nowMs);
  }

  #forward(waiter: Waiter, key: string, nowMs: number): void {
    this.#giveUp(nowMs);
    if (this.#pending.size >= dnsLimits.pending) return this.#fail(waiter);
    const query = this.#nextQuery++;
    this.#pending.set(query, { key, sinceMs: nowMs, waiters: [waiter] });
    this.#pendingByKey.set(key, query);
    return this.#config.resolve(query, upstreamQuestion(waiter.asked, waiter.edns));
  }

  /** The oldest come first in the map. */
  #giveUp(nowMs: number): void {
    for (const [query, { key, sinceMs }] of this.#pending) {
      if (nowMs - sinceMs <= dnsLimits.pendingMs) return;
      this.#forget(query, key);
    }
  }

  #forget(query: QueryId, key: string): void {
    this.#pending.delete(query);
    if (this.#pendingByKey.get(key) === query) this.#pendingByKey.delete(key);
  }

  onAnswer(query: QueryId, message: Uint8Array, nowMs: number): void {
    const pending = this.#pending.get(query);
    if (!pending) return;
    this.#forget(query, pending.key);
    const answer = readDns(message.slice());
    for (const waiter of pending.waiters)
      if (answer && fits(answer, waiter.asked)) this.#give(waiter, answer, 0);
      else this.#fail(waiter);
    if (answer && fits(answer, pending.waiters[0]!.asked)) this.#cache.store(pending.key, answer, nowMs);
  }

  #give({ asked, edns, limitBytes, answer }: Waiter, message: DnsMessage, ageSeconds: number): void {
    this.#remember(asked, message);
    answer(fittedAnswer(message, asked, edns, ageSeconds, limitBytes));
  }

  #fail({ asked, edns, answer }: Waiter): void {
    this.#failures++;
    answer(emptyAnswer(asked, edns, dnsCodes.serverFailure));
  }

  /** What is refused, malformed beyond the header, or known without asking anybody. */
  #ownAnswer(asked: DnsMessage, edns: Edns | undefined, nowMs: number): Uint8Array | null {
    const { type, class: kind, key } = asked.question;
    const badVersion = 16;
    if (edns && edns.version !== 0) return emptyAnswer(asked, edns, badVersion);
    const isRefused =
      kind !== DNS_INTERNET ||
      type === dnsTypes.ANY ||
      type === dnsTypes.AXFR ||
      type === dnsTypes.IXFR ||
      type === dnsTypes.OPT;
    if (isRefused) return emptyAnswer(asked, edns, dnsCodes.refused);
    const name = nameText(asked.question.name).toLowerCase();
    const reverse = addressOfPtr(key);
    if (reverse && isPrivate(reverse)) return this.#privatePtr(asked, edns, reverse, nowMs);
    const isLocal =
      this.#domain !== undefined && (name === this.#domain || name.endsWith(`.${this.#domain}`));
    if (!isLocal) return null;
    return this.#localName(asked, edns, name, nowMs);
  }

  #hosts(nowMs: number) {
    const leases = (this.#config.hosts?.(nowMs) ?? []).filter(({ hostName }) => hostName !== undefined);
    const { gateway } = this.#config;
    return gateway === undefined ? leases : [{ hostName: "gateway", address: gateway }, ...leases];
  }

  #localName(asked: DnsMessage, edns: Edns | undefined, name: string, nowMs: number): Uint8Array {
    const { type } = asked.question;
    if (name === this.#domain) return emptyAnswer(asked, edns, dnsCodes.noError);
    const host = this.#hosts(nowMs).find(({ hostName }) => `${hostName}.${this.#domain}` === name);
    const data = host && parseIp(host.address);
    if (!data) return emptyAnswer(asked, edns, dnsCodes.noSuchName);
    const isWanted = type === (data.length === 4 ? dnsTypes.A : dnsTypes.AAAA);
    return isWanted
      ? localAnswer(asked, edns, [{ type, data }], dnsLimits.localSeconds)
      : emptyAnswer(asked, edns, dnsCodes.noError);
  }

  #privatePtr(asked: DnsMessage, edns: Edns | undefined, reverse: Uint8Array, nowMs: number): Uint8Array {
    const address = formatIp(reverse);
    const host = this.#hosts(nowMs).find((one) => one.address === address);
    const data = !host ? null : nameBytes(`${host.hostName}.${this.#domain}`);
    if (!data) return emptyAnswer(asked, edns, dnsCodes.refused);
    const { type } = asked.question;
    return type === dnsTypes.PTR
      ? localAnswer(asked, edns, [{ type, data }], dnsLimits.localSeconds)
      : emptyAnswer(asked, edns, dnsCodes.noError);
  }

  /** The reverse map: the name that was asked for, not the alias that it turned out to be. */
  #remember(asked: DnsMessage, message: DnsMessage): void {
    const name = nameText(asked.question.name).toLowerCase();
    for (const bytes of addressesOf(message)) {
      const address = formatIp(bytes);
      this.#names.delete(address);
      this.#names.set(address, name);
    }
    for (const oldest of this.#names.keys()) {
      if (this.#names.size <= dnsLimits.names) return;
      this.#names.delete(oldest);
    }
  }

  nameOf(address: Address): string | undefined {
    return this.#names.get(address);
  }
}

/** Answers differ by whether signatures and unchecked data are wanted (RFC 4035 §3.2). */
function cacheKey({ question, flags }: DnsMessage, edns: Edns | undefined): string {
  const kind = (edns?.wantsDnssec ? 1 : 0) + (flags & dnsFlags.checkingDisabled ? 2 : 0);
  return `${kind} ${question.type} ${question.key}`;
}

/** An answer to another question, or a question, is none. */
function fits(answer: DnsMessage, asked: DnsMessage): boolean {
  return (
    (answer.flags & dnsFlags.response) !== 0 &&
    answer.question.key === asked.question.key &&
    answer.question.type === asked.question.type &&
    answer.question.class === asked.question.class &&
    // Compressed differently, the spelling could not be put in place.
    answer.question.end === asked.question.end
  );
}
