/**
 * HTTP/1.1 messages (RFC 9112) for both sides of the gateway: it asks a guest's server in the name of a browser, and it
 * answers a guest's client in the name of a server that only `fetch()` reaches. Strict where leniency lets two readers see
 * two messages in the same bytes: both lengths at once, several lengths, spaces before a colon, folded lines are refused.
 */
export type HeaderLine = readonly [name: string, value: string];
export interface ResponseHead {
  readonly status: number;
  readonly reason: string;
  readonly version: "1.0" | "1.1";
  readonly headers: readonly HeaderLine[];
}
export interface RequestHead {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1";
  readonly headers: readonly HeaderLine[];
}
/** How long the body is (RFC 9112 §6.3). */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };

export const MAX_HEAD_BYTES = 64 * 1024;
const MAX_HEADERS = 256;
const MAX_CHUNK_LINE_BYTES = 256;
const MAX_TRAILER_BYTES = 16 * 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Field values: visible characters, spaces, tabs and octets above ASCII (RFC 9110 §5.5). */
// eslint-disable-next-line no-control-regex -- control characters are what it refuses
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const latin1 = (bytes: Uint8Array): string => {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096)
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
};
/** A character above U+00FF has no place in a head; it becomes "?". */
const bytesOf = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(text, (character) => (character.charCodeAt(0) < 256 ? character.charCodeAt(0) : 0x3f));

/** Gathers a message's head, which ends with an empty line. Bytes after it are the body's. */
export class HeadReader {
  #bytes = new Uint8Array(0);
  #length = 0;

  /** Null: not all is there yet. Undefined: longer than a head may be. */
  push(
    bytes: Uint8Array,
  ): { readonly lines: readonly string[]; readonly rest: Uint8Array } | null | undefined {
    const from = Math.max(0, this.#length - 3);
    const length = this.#length + bytes.length;
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, Math.min(2 * this.#bytes.length, MAX_HEAD_BYTES)));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = length;
    const all = this.#bytes.subarray(0, length);
    const end = endOfHead(all, from);
    if (end < 0) return length > MAX_HEAD_BYTES ? undefined : null;
    if (end > MAX_HEAD_BYTES) return undefined;
    const lines = latin1(all.subarray(0, end)).split("\r\n").slice(0, -2);
    return { lines, rest: all.subarray(end) };
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }
}

function endOfHead(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(13, from); at >= 0 && at + 3 < bytes.length; at = bytes.indexOf(13, at + 1))
    if (bytes[at + 1] === 10 && bytes[at + 2] === 13 && bytes[at + 3] === 10) return at + 4;
  return -1;
}

function readHeaders(lines: readonly string[]): HeaderLine[] | undefined {
  if (lines.length > MAX_HEADERS) return undefined;
  const headers: HeaderLine[] = [];
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (colon < 1 || !TOKEN.test(name) || !VALUE.test(value)) return undefined;
    headers.push([name, value]);
  }
  return headers;
}

export function readResponseHead(lines: readonly string[]): ResponseHead | undefined {
  const start = /^HTTP\/1\.([01]) (\d{3})(?: ([\t\x20-\x7e\x80-\xff]*))?$/.exec(lines[0] ?? "");
  const headers = readHeaders(lines.slice(1));
  if (!start || !headers) return undefined;
  const version = start[1] === "1" ? "1.1" : "1.0";
  return { status: Number(start[2]), reason: start[3] ?? "", version, headers };
}

export function readRequestHead(lines: readonly string[]): RequestHead | undefined {
  const start = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,16384}) HTTP\/1\.([01])$/.exec(
    lines[0] ?? "",
  );
  const headers = readHeaders(lines.slice(1));
  if (!start || !headers) return undefined;
  return { method: start[1]!, target: start[2]!, version: start[3] === "1" ? "1.1" : "1.0", headers };
}

/** All values of a field, in order. */
export const valuesOf = (headers: readonly HeaderLine[], name: string): string[] =>
  headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
/** The members of a list such as Connection's, in lower case. */
export const listOf = (headers: readonly HeaderLine[], name: string): string[] =>
  valuesOf(headers, name)
    .flatMap((value) => value.split(","))
    .map((member) => member.trim().toLowerCase())
    .filter((member) => member !== "");

/** Undefined: the head contradicts itself, and nobody knows where the message ends. */
function bodyLength(headers: readonly HeaderLine[]): Framing | undefined {
  const codings = listOf(headers, "transfer-encoding");
  const lengths = new Set(valuesOf(headers, "content-length").flatMap((value) => value.split(",")));
  if (codings.length > 0)
    return codings.length === 1 && codings[0] === "chunked" && lengths.size === 0
      ? { kind: "chunked" }
      : undefined;
  if (lengths.size === 0) return { kind: "none" };
  const [length] = lengths;
  if (lengths.size > 1 || !/^\d{1,15}$/.test(length!.trim())) return undefined;
  return { kind: "length", bytes: Number(length) };
}

export const requestFraming = ({ headers }: RequestHead): Framing | undefined => bodyLength(headers);

export function responseFraming(method: string, head: ResponseHead): Framing | undefined {
  const { status, headers } = head;
  if (method === "HEAD" || status < 200 || status === 204 || status === 304) return { kind: "none" };
  const framing = bodyLength(headers);
  return framing?.kind === "none" ? { kind: "until-close" } : framing;
}

/** Takes the framing off a body. Keeps at most one line of a chunk's size, and no content. */
export class BodyDecoder {
  readonly #kind: Framing["kind"];
  #left: number;
  #phase: "size" | "content" | "after" | "trailer" | "done" | "bad";
  #line = "";
  #trailerBytes = 0;

  constructor(framing: Framing) {
    this.#kind = framing.kind;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    const isEmpty = framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0);
    this.#phase = isEmpty ? "done" : framing.kind === "chunked" ? "size" : "content";
  }

  get isDone(): boolean {
    return this.#phase === "done";
  }
  /** What came is no body of this framing. */
  get isBad(): boolean {
    return this.#phase === "bad";
  }
  /** The connection has ended; whether the body was whole then. */
  end(): boolean {
    if (this.#kind === "until-close" && this.#phase === "content") this.#phase = "done";
    return this.isDone;
  }

  /** Pieces of content, views of `bytes`, and how many bytes belonged to this body. */
  push(bytes: Uint8Array): { readonly pieces: Uint8Array[]; readonly used: number } {
    const pieces: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length && this.#phase !== "done" && this.#phase !== "bad") {
      if (this.#phase === "content") {
        const end = this.#kind === "until-close" ? bytes.length : Math.min(bytes.length, at + this.#left);
        if (end > at) pieces.push(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#kind !== "until-close" && this.#left === 0)
          this.#phase = this.#kind === "length" ? "done" : "after";
      } else this.#takeByte(bytes[at++]!);
    }
    return { pieces, used: at };
  }

  /** The lines between chunks, a byte at a time: they are few. */
  #takeByte(byte: number): void {
    if (byte !== 10) {
      this.#line += String.fromCharCode(byte);
      const bound = this.#phase === "trailer" ? MAX_TRAILER_BYTES : MAX_CHUNK_LINE_BYTES;
      if (this.#line.length > bound) this.#phase = "bad";
      return;
    }
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r")) this.#phase = "bad";
    else this.#takeLine(line.slice(0, -1));
  }

  #takeLine(line: string): void {
    if (this.#phase === "after") this.#phase = line === "" ? "size" : "bad";
    else if (this.#phase === "trailer") {
      this.#trailerBytes += line.length + 2;
      if (line === "") this.#phase = "done";
      else if (this.#trailerBytes > MAX_TRAILER_BYTES) this.#phase = "bad";
    } else {
      const size = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/.exec(line);
      this.#left = size ? Number.parseInt(size[1]!, 16) : 0;
      this.#phase = !size ? "bad" : this.#left === 0 ? "trailer" : "content";
    }
  }
}

/** A head on the wire. Header lines that could be read as two are left out. */
export function encodeHead(startLine: string, headers: Iterable<HeaderLine>): Uint8Array<ArrayBuffer> {
  let text = `${startLine}\r\n`;
  for (const [name, value] of headers)
    if (TOKEN.test(name) && !/[\r\n\0]/.test(value)) text += `${name}: ${value}\r\n`;
  return bytesOf(`${text}\r\n`);
}

export function encodeChunk(content: Uint8Array): Uint8Array<ArrayBuffer> {
  const head = bytesOf(`${content.length.toString(16)}\r\n`);
  const chunk = new Uint8Array(head.length + content.length + 2);
  chunk.set(head);
  chunk.set(content, head.length);
  chunk.set([13, 10], head.length + content.length);
  return chunk;
}
export const lastChunk: Uint8Array<ArrayBuffer> = bytesOf("0\r\n\r\n");

/** Fields that belong to one connection and never travel on (RFC 9110 §7.6.1). */
const hopByHop = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
export function withoutHopByHop(headers: Iterable<HeaderLine>): HeaderLine[] {
  const all = [...headers];
  const named = new Set(listOf(all, "connection"));
  return all.filter(([name]) => !hopByHop.has(name.toLowerCase()) && !named.has(name.toLowerCase()));
}
