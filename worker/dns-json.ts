import {
  DNS_HEADER_BYTES,
  type DnsMessage,
  type DnsRecord,
  dnsFlags,
  dnsTypes,
  nameBytes,
  nameText,
  readName,
} from "../durable-objects/net/dns-message.ts";
import { formatIp } from "../durable-objects/net/ip-text.ts";

/** DNS as JSON, in the shape that public resolvers use for `application/dns-json`. */
export interface DnsJson {
  readonly Status: number;
  readonly TC: boolean;
  readonly RD: boolean;
  readonly RA: boolean;
  readonly AD: boolean;
  readonly CD: boolean;
  readonly Question: readonly { readonly name: string; readonly type: number }[];
  readonly Answer?: readonly {
    readonly name: string;
    readonly type: number;
    readonly TTL: number;
    readonly data: string;
  }[];
}

/** A question for a name and a type (a mnemonic or a number); null: not a name, or not a type. */
export function dnsQuestion(name: string, type: string): Uint8Array<ArrayBuffer> | null {
  const mnemonics: Readonly<Record<string, number>> = dnsTypes;
  const number = /^\d{1,5}$/.test(type) ? Number(type) : mnemonics[type.toUpperCase()];
  const wire = nameBytes(name);
  if (!wire || number === undefined || number > 65_535) return null;
  const message = new Uint8Array(DNS_HEADER_BYTES + wire.length + 4);
  const view = new DataView(message.buffer);
  view.setUint16(2, dnsFlags.recursionDesired);
  view.setUint16(4, 1);
  message.set(wire, DNS_HEADER_BYTES);
  view.setUint16(DNS_HEADER_BYTES + wire.length, number);
  view.setUint16(DNS_HEADER_BYTES + wire.length + 2, 1);
  return message;
}

export function dnsJson(message: DnsMessage): DnsJson {
  const is = (flag: number): boolean => (message.flags & flag) !== 0;
  const answers = message.records.filter(({ section }) => section === "answer");
  return {
    Status: message.flags & dnsFlags.code,
    TC: is(dnsFlags.truncated),
    RD: is(dnsFlags.recursionDesired),
    RA: is(dnsFlags.recursionAvailable),
    AD: is(dnsFlags.authenticData),
    CD: is(dnsFlags.checkingDisabled),
    Question: [{ name: dotted(nameText(message.question.name)), type: message.question.type }],
    ...(answers.length > 0 && {
      Answer: answers.map((record) => ({
        name: nameAt(message, record.start),
        type: record.type,
        TTL: record.ttl,
        data: dataText(message, record),
      })),
    }),
  };
}

const dotted = (name: string): string => (name === "." ? name : `${name}.`);
function nameAt(message: DnsMessage, at: number): string {
  const name = readName(message.bytes, at);
  return name ? dotted(nameText(name)) : "";
}

/** Presentation format (RFC 1035 §5.1); of types that are not known here, that of RFC 3597 §5. */
function dataText(message: DnsMessage, record: DnsRecord): string {
  const { type, dataAt, dataBytes, end } = record;
  const data = message.bytes.subarray(dataAt, end);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (type === dnsTypes.A && dataBytes === 4) return formatIp(data);
  if (type === dnsTypes.AAAA && dataBytes === 16) return formatIp(data);
  if (type === dnsTypes.CNAME || type === dnsTypes.NS || type === dnsTypes.PTR)
    return nameAt(message, dataAt);
  if (type === dnsTypes.MX && dataBytes > 2) return `${view.getUint16(0)} ${nameAt(message, dataAt + 2)}`;
  if (type === dnsTypes.SRV && dataBytes > 6)
    return `${[0, 2, 4].map((at) => view.getUint16(at)).join(" ")} ${nameAt(message, dataAt + 6)}`;
  if (type === dnsTypes.TXT) return texts(data);
  const hex = Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `\\# ${dataBytes}${hex && ` ${hex}`}`;
}

function texts(data: Uint8Array): string {
  const parts: string[] = [];
  for (let at = 0; at < data.length; at += 1 + data[at]!)
    parts.push(
      Array.from(data.subarray(at + 1, at + 1 + data[at]!), (byte) => {
        if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
        return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, "0")}`;
      }).join(""),
    );
  return parts.map((part) => `"${part}"`).join(" ");
}
