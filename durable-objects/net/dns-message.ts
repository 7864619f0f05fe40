/**
 * As much of a DNS message (RFC 1035 §4) as a forwarder must understand: the header, the one question, and where each
 * record and its TTL lie. Everything else passes through byte for byte (ADR 11 says why no library does this).
 */
export const dnsTypes = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;
export const dnsCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;
export const dnsFlags = {
  response: 0x8000,
  opcode: 0x7800,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
  code: 0x000f,
} as const;
export const DNS_HEADER_BYTES = 12;
/** Class IN. */
export const DNS_INTERNET = 1;
const MAX_NAME_BYTES = 255;
const POINTER = 0xc0;

export interface DnsQuestion {
  /** The name in wire format, as it was spelled, and in lower case, as it is compared (RFC 4343). */
  readonly name: Uint8Array;
  readonly key: string;
  readonly type: number;
  readonly class: number;
  /** Where the question ends in the message. */
  readonly end: number;
}

export interface DnsRecord {
  readonly section: "answer" | "authority" | "additional";
  readonly start: number;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly ttlAt: number;
  readonly dataAt: number;
  readonly dataBytes: number;
  readonly end: number;
}

/** What the additional OPT record says (RFC 6891 §6.1). */
export interface Edns {
  readonly payloadBytes: number;
  readonly version: number;
  readonly wantsDnssec: boolean;
}

export interface DnsMessage {
  readonly bytes: Uint8Array;
  readonly id: number;
  readonly flags: number;
  readonly question: DnsQuestion;
  readonly records: readonly DnsRecord[];
}

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Where the name that starts at `at` ends in place; null: it does not. */
function skipName(bytes: Uint8Array, at: number): number | null {
  for (let here = at; here < bytes.length;) {
    const length = bytes[here]!;
    if (length === 0) return here + 1;
    if (length >= POINTER) return here + 2 <= bytes.length ? here + 2 : null;
    if (length > 63) return null;
    here += 1 + length;
  }
  return null;
}

/** A whole name in wire format, pointers followed. They may only lead back (RFC 1035 §4.1.4), so this ends. */
export function readName(bytes: Uint8Array, at: number): Uint8Array<ArrayBuffer> | null {
  const name: number[] = [];
  let here = at;
  let lowest = at;
  for (;;) {
    const length = bytes[here];
    if (length === undefined) return null;
    if (length >= POINTER) {
      const target = ((length & 0x3f) << 8) | (bytes[here + 1] ?? 0xffff);
      if (target >= lowest) return null;
      here = lowest = target;
      continue;
    }
    if (length > 63 || here + 1 + length > bytes.length) return null;
    name.push(...bytes.subarray(here, here + 1 + length));
    if (name.length > MAX_NAME_BYTES) return null;
    if (length === 0) return Uint8Array.from(name);
    here += 1 + length;
  }
}

/** A name as text (RFC 1035 §5.1) without the last dot; the root is ".". Bytes that text does not have become \DDD. */
export function nameText(name: Uint8Array): string {
  const labels: string[] = [];
  for (let at = 0; at < name.length && name[at] !== 0; at += 1 + name[at]!)
    labels.push(
      Array.from(name.subarray(at + 1, at + 1 + name[at]!), (byte) => {
        if (byte === 0x2e || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
        return byte > 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
      }).join(""),
    );
  return labels.length === 0 ? "." : labels.join(".");
}

/** The wire format of a name of letters, digits, `-` and `_`; null: too long, or an empty label. */
export function nameBytes(text: string): Uint8Array<ArrayBuffer> | null {
  const trimmed = text.replace(/\.$/, "");
  if (trimmed.length > 253) return null;
  const labels = trimmed === "" ? [] : trimmed.split(".");
  const bytes: number[] = [];
  for (const label of labels) {
    if (!/^[A-Za-z0-9_-]{1,63}$/.test(label)) return null;
    bytes.push(label.length, ...Array.from(label, (letter) => letter.charCodeAt(0)));
  }
  return Uint8Array.from([...bytes, 0]);
}

/** Two names are one when they differ in case only. */
const lowerCase = (name: Uint8Array): string =>
  String.fromCharCode(...name.map((byte) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte)));

/** The id of a message that has one, so that even nonsense can be answered. */
export const dnsId = (bytes: Uint8Array): number | null =>
  bytes.length >= DNS_HEADER_BYTES ? viewOf(bytes).getUint16(0) : null;

/** Null: malformed, or not exactly one question. Never throws; walks each byte a bounded number of times. */
export function readDns(bytes: Uint8Array): DnsMessage | null {
  if (bytes.length < DNS_HEADER_BYTES || bytes.length > 65_535) return null;
  const view = viewOf(bytes);
  if (view.getUint16(4) !== 1) return null;
  const name = readName(bytes, DNS_HEADER_BYTES);
  const nameEnd = skipName(bytes, DNS_HEADER_BYTES);
  if (!name || nameEnd === null || nameEnd + 4 > bytes.length) return null;
  const records: DnsRecord[] = [];
  let at: number | null = nameEnd + 4;
  for (const [index, section] of (["answer", "authority", "additional"] as const).entries()) {
    const count = view.getUint16(6 + 2 * index);
    for (let number = 0; number < count; number++) {
      const record = readRecord(bytes, view, at, section);
      if (!record) return null;
      records.push(record);
      at = record.end;
    }
  }
  const question = {
    name,
    key: lowerCase(name),
    type: view.getUint16(nameEnd),
    class: view.getUint16(nameEnd + 2),
    end: nameEnd + 4,
  };
  return { bytes, id: view.getUint16(0), flags: view.getUint16(2), question, records };
}

function readRecord(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  section: DnsRecord["section"],
): DnsRecord | null {
  const at = skipName(bytes, start);
  if (at === null || at + 10 > bytes.length) return null;
  const dataBytes = view.getUint16(at + 8);
  const end = at + 10 + dataBytes;
  if (end > bytes.length) return null;
  return {
    section,
    start,
    type: view.getUint16(at),
    class: view.getUint16(at + 2),
    ttl: view.getUint32(at + 4),
    ttlAt: at + 4,
    dataAt: at + 10,
    dataBytes,
    end,
  };
}

/** Undefined: none. Null: more than one, which is a format error (RFC 6891 §6.1.1). */
export function ednsOf(message: DnsMessage): Edns | undefined | null {
  const options = message.records.filter(
    ({ type, section }) => type === dnsTypes.OPT && section === "additional",
  );
  if (options.length > 1) return null;
  const [option] = options;
  return (
    option && {
      payloadBytes: option.class,
      version: (option.ttl >>> 16) & 0xff,
      wantsDnssec: (option.ttl & 0x8000) !== 0,
    }
  );
}

/** Seconds for which an answer may be kept: the shortest TTL, or for "no" what RFC 2308 §5 says. Undefined: not at all. */
export function lifetimeSeconds(message: DnsMessage): number | undefined {
  const code = message.flags & dnsFlags.code;
  if (message.flags & dnsFlags.truncated) return undefined;
  if (code !== dnsCodes.noError && code !== dnsCodes.noSuchName) return undefined;
  const answers = message.records.filter(({ section }) => section === "answer");
  if (code === dnsCodes.noError && answers.length > 0)
    return Math.min(...answers.map(({ ttl }) => positive(ttl)));
  const soa = message.records.find(({ section, type }) => section === "authority" && type === dnsTypes.SOA);
  if (!soa || soa.dataBytes < 22) return undefined;
  // MINIMUM is the last field of SOA.
  const minimum = viewOf(message.bytes).getUint32(soa.end - 4);
  return Math.min(positive(soa.ttl), positive(minimum));
}

/** A TTL with its highest bit set counts as zero (RFC 2181 §8). */
const positive = (ttl: number): number => (ttl > 0x7fff_ffff ? 0 : ttl);

/** Whether a message answers this question with addresses or anything else in its answer section. */
export const isPositive = (message: DnsMessage): boolean =>
  message.records.some(({ section }) => section === "answer");

/** The addresses of a message, 4 or 16 bytes each. */
export function addressesOf(message: DnsMessage): Uint8Array[] {
  return message.records
    .filter(
      ({ section, type, dataBytes }) =>
        section === "answer" &&
        ((type === dnsTypes.A && dataBytes === 4) || (type === dnsTypes.AAAA && dataBytes === 16)),
    )
    .map(({ dataAt, end }) => message.bytes.subarray(dataAt, end));
}
