/** DNS messages for tests, written by hand from RFC 1035 §4. Names have no escapes. */
export interface Rr {
  readonly name?: string;
  readonly type: number;
  readonly ttl: number;
  readonly data: readonly number[];
  readonly class?: number;
}
export interface DnsParts {
  readonly id?: number;
  readonly flags?: number;
  readonly name?: string;
  readonly type?: number;
  readonly class?: number;
  readonly answers?: readonly Rr[];
  readonly authority?: readonly Rr[];
  readonly additional?: readonly Rr[];
}

export const wireName = (text: string): number[] =>
  text
    .split(".")
    .filter((label) => label !== "")
    .flatMap((label) => [label.length, ...new TextEncoder().encode(label)])
    .concat(0);
const u16 = (value: number): number[] => [value >> 8, value & 255];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value & 0xffff)];
/** Without a name: a pointer to the question. */
const record = ({ name, type, ttl, data, class: kind = 1 }: Rr): number[] => [
  ...(name === undefined ? [0xc0, 12] : wireName(name)),
  ...u16(type),
  ...u16(kind),
  ...u32(ttl),
  ...u16(data.length),
  ...data,
];

export function dnsMessage(parts: DnsParts): Uint8Array<ArrayBuffer> {
  const { id = 0x1234, flags = 0x0100, name = "mirror.test", type = 1, class: kind = 1 } = parts;
  const { answers = [], authority = [], additional = [] } = parts;
  const counts = [1, answers.length, authority.length, additional.length];
  return Uint8Array.from([
    ...[id, flags, ...counts].flatMap(u16),
    ...wireName(name),
    ...u16(type),
    ...u16(kind),
    ...[...answers, ...authority, ...additional].flatMap(record),
  ]);
}

/** An OPT record (RFC 6891 §6.1.2) for `additional`. */
export const opt = (payloadBytes: number, ttl = 0): Rr => ({
  name: "",
  type: 41,
  class: payloadBytes,
  ttl,
  data: [],
});

/** SOA with a MINIMUM. */
export const soa = (ttl: number, minimum: number): Rr => ({
  type: 6,
  ttl,
  data: [0, 0, ...[1, 2, 3, 4].flatMap(u32), ...u32(minimum)],
});
