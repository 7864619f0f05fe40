import { isMac, macOf } from "./hmac.ts";

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

const message = (grant: RawGrant): string =>
  ["virga-raw-v1", grant.id, grant.etag, grant.sizeBytes, grant.expires].join("\n");

/** A short secret is a configuration error, not a weak lock. */
function checked(secret: string): string {
  if (!secret || secret.length < 16)
    throw new Error("VIRGA_SIGNING_KEY is missing or shorter than 16 characters");
  return secret;
}

export const sign = async (secret: string, grant: RawGrant): Promise<string> =>
  macOf(checked(secret), message(grant));

export const isSigned = async (secret: string, grant: RawGrant, signature: string): Promise<boolean> =>
  isMac(checked(secret), message(grant), signature);
