import { fromBase64Url, toBase64Url } from "./base64url.ts";

/** HMAC-SHA256 over text, as tokens and signed URLs carry it: 43 characters of base64url. */
const utf8 = new TextEncoder();
const SIGNATURE_CHARS = 43;

const keyOf = async (secret: string): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", utf8.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
    "verify",
  ]);

export async function macOf(secret: string, text: string): Promise<string> {
  const mac = await crypto.subtle.sign("HMAC", await keyOf(secret), utf8.encode(text));
  return toBase64Url(new Uint8Array(mac));
}

/** Compares in constant time: `verify` of WebCrypto does. */
export async function isMac(secret: string, text: string, signature: string): Promise<boolean> {
  if (signature.length !== SIGNATURE_CHARS) return false;
  const mac = fromBase64Url(signature);
  return mac !== null && crypto.subtle.verify("HMAC", await keyOf(secret), mac, utf8.encode(text));
}
