import {
  DNS_HEADER_BYTES,
  DNS_INTERNET,
  type DnsMessage,
  type DnsQuestion,
  type Edns,
  dnsFlags,
  dnsTypes,
} from "./dns-message.ts";

/** Building the few messages that a forwarder makes itself, and fitting an answer to the one who asks. */

const OPT_BYTES = 11;
const DNSSEC_OK = 0x8000;
/** What is offered upstream and to guests (RFC 6891 §6.2.5); larger than any UDP answer that is sent. */
export const EDNS_BYTES = 4096;

function header(id: number, flags: number, counts: readonly [number, number, number, number]): Uint8Array {
  const bytes = new Uint8Array(DNS_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  [id, flags, ...counts].forEach((word, index) => view.setUint16(2 * index, word));
  return bytes;
}

function optRecord(extendedCode: number, wantsDnssec: boolean): Uint8Array {
  const bytes = new Uint8Array(OPT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(1, dnsTypes.OPT);
  view.setUint16(3, EDNS_BYTES);
  view.setUint8(5, extendedCode);
  view.setUint16(7, wantsDnssec ? DNSSEC_OK : 0);
  return bytes;
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function questionBytes({ name, type, class: kind }: DnsQuestion): Uint8Array {
  return concat(name, Uint8Array.of(type >> 8, type & 255, kind >> 8, kind & 255));
}

/** What goes upstream: id 0 (RFC 8484 §4.1, so that HTTP caches see one question), the spelling kept, EDNS offered. */
export function upstreamQuestion(asked: DnsMessage, edns: Edns | undefined): Uint8Array<ArrayBuffer> {
  const flags = dnsFlags.recursionDesired | (asked.flags & dnsFlags.checkingDisabled);
  return concat(
    header(0, flags, [1, 0, 0, 1]),
    questionBytes(asked.question),
    optRecord(0, edns?.wantsDnssec === true),
  );
}

/** Flags of an answer that are the asker's own. */
const echoed = dnsFlags.opcode | dnsFlags.recursionDesired | dnsFlags.checkingDisabled;
const answering = (asked: DnsMessage): number =>
  dnsFlags.response | dnsFlags.recursionAvailable | (asked.flags & echoed);

/** An answer without records. A code above 15 needs EDNS (RFC 6891 §6.1.3). */
export function emptyAnswer(asked: DnsMessage, edns: Edns | undefined, code: number, flags = 0) {
  return concat(
    header(asked.id, answering(asked) | flags | (code & dnsFlags.code), [1, 0, 0, edns ? 1 : 0]),
    questionBytes(asked.question),
    edns ? optRecord(code >> 4, edns.wantsDnssec) : new Uint8Array(0),
  );
}

/** To a message that is not one: its header alone, with a code. */
export function headerAnswer(message: Uint8Array, code: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const flags = dnsFlags.response | dnsFlags.recursionAvailable | (view.getUint16(2) & echoed) | code;
  return concat(header(view.getUint16(0), flags, [0, 0, 0, 0]));
}

export interface LocalRecord {
  readonly type: number;
  readonly data: Uint8Array;
}

/** An answer of our own, with the question's name on every record. */
export function localAnswer(
  asked: DnsMessage,
  edns: Edns | undefined,
  records: readonly LocalRecord[],
  ttlSeconds: number,
): Uint8Array<ArrayBuffer> {
  const answers = records.map(({ type, data }) => {
    const fixed = new Uint8Array(12);
    const view = new DataView(fixed.buffer);
    view.setUint16(0, 0xc000 | DNS_HEADER_BYTES);
    view.setUint16(2, type);
    view.setUint16(4, DNS_INTERNET);
    view.setUint32(6, ttlSeconds);
    view.setUint16(10, data.length);
    return concat(fixed, data);
  });
  const counts = [1, records.length, 0, edns ? 1 : 0] as const;
  return concat(
    header(asked.id, answering(asked), counts),
    questionBytes(asked.question),
    ...answers,
    edns ? optRecord(0, edns.wantsDnssec) : new Uint8Array(0),
  );
}

/**
 * An answer from upstream or from the cache for the one who asks now: its id, its spelling, its EDNS, TTLs that have aged
 * by so many seconds, and no more than `limitBytes`, else TC and no records (RFC 2181 §9).
 */
export function fittedAnswer(
  answer: DnsMessage,
  asked: DnsMessage,
  edns: Edns | undefined,
  ageSeconds: number,
  limitBytes: number,
): Uint8Array<ArrayBuffer> {
  const code = answer.flags & dnsFlags.code;
  // The upstream's OPT is between it and us; what comes after it, which nobody needs, goes with it.
  const cut = answer.records.findIndex(
    ({ type, section }) => type === dnsTypes.OPT && section === "additional",
  );
  const kept = cut < 0 ? answer.records : answer.records.slice(0, cut);
  const end = kept.at(-1)?.end ?? answer.question.end;
  const isSecure = edns?.wantsDnssec === true || (asked.flags & dnsFlags.authenticData) !== 0;
  const flags = answering(asked) | code | (isSecure ? answer.flags & dnsFlags.authenticData : 0);
  const count = (wanted: string) => kept.filter(({ section }) => section === wanted).length;
  const counts = [1, count("answer"), count("authority"), count("additional") + (edns ? 1 : 0)] as const;
  if (end + (edns ? OPT_BYTES : 0) > limitBytes) return emptyAnswer(asked, edns, code, dnsFlags.truncated);
  const extended = cut < 0 ? 0 : answer.records[cut]!.ttl >>> 24;
  const bytes = concat(
    answer.bytes.subarray(0, end),
    edns ? optRecord(extended, edns.wantsDnssec) : new Uint8Array(0),
  );
  bytes.set(header(asked.id, flags, counts));
  // The same length as the upstream's spelling: names are compared without regard to case only.
  bytes.set(asked.question.name, DNS_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  for (const { ttl, ttlAt } of kept)
    view.setUint32(ttlAt, ttl > 0x7fff_ffff ? 0 : Math.max(ttl - ageSeconds, 0));
  return bytes;
}
