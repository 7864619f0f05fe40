/** The few things that every codec of this folder does with bytes and text. */
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);

/** Undefined: not UTF-8. A byte order mark is a character like any other. */
export function strictText(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** What is not UTF-8 becomes U+FFFD: for words that a person reads. */
export const lenientText = (bytes: Uint8Array): string => lenient.decode(bytes);

/** Text as at most so many bytes of UTF-8, cut between characters. */
export function boundedUtf8(text: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  // No character is shorter than a byte, so that nothing longer than the bound is encoded.
  const bytes = encoder.encode(text.slice(0, maxBytes));
  let end = Math.min(bytes.length, maxBytes);
  // Bytes 10xxxxxx continue a character: go back to where it starts.
  while (end < bytes.length && end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.subarray(0, end);
}

/** The reason of a WebSocket's close: at most 123 bytes (RFC 6455 §5.5). */
export const closeReason = (text: string): string => lenientText(boundedUtf8(text, 123));
