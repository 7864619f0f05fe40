/**
 * URLs of our own that carry their permission: an HMAC-SHA256 over what is asked for and until when. The version (ETag
 * and size) is part of it, so a URL reads the bytes it was made for or none.
 */
export interface RawGrant {
  readonly id: string;
  /** As HTTP writes it, quotes included. */
  readonly etag: string;
  readonly sizeBytes: number;
  /** Seconds since 1970. */
  readonly expires: number;
}

/** Base64url of 32 bytes, without padding; the last digit carries two bits that must be zero. */
const SIGNATURE = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const utf8 = new TextEncoder();

const message = (grant: RawGrant): Uint8Array =>
  utf8.encode(["virga-raw-v1", grant.id, grant.etag, grant.sizeBytes, grant.expires].join("\n"));

/** A short secret is a configuration error, not a weak lock. */
async function keyOf(secret: string): Promise<CryptoKey> {
  if (!secret || secret.length < 16)
    throw new Error("VIRGA_SIGNING_KEY is missing or shorter than 16 characters");
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign", "verify"]);
}

export async function sign(secret: string, grant: RawGrant): Promise<string> {
  const mac = await crypto.subtle.sign("HMAC", await keyOf(secret), message(grant));
  return toBase64Url(new Uint8Array(mac));
}

/** Compares in constant time: `verify` of WebCrypto does. */
export async function isSigned(secret: string, grant: RawGrant, signature: string): Promise<boolean> {
  if (!SIGNATURE.test(signature)) return false;
  return crypto.subtle.verify("HMAC", await keyOf(secret), fromBase64Url(signature), message(grant));
}

const toBase64Url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

const fromBase64Url = (text: string): Uint8Array =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
