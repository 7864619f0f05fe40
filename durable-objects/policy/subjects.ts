import * as z from "zod/mini";
import { formatIp, parseIp } from "../net/ip-text.ts";

/**
 * Who may be counted together or hung up: everybody, a session, an account, an address. Written `all`, `session:<id>`,
 * `account:<id>`, `address:<address>`. People with IPv6 have a /64 each, so that is what counts as an address there.
 */
export const Subject = z
  .string()
  .check(z.regex(/^(all|(session|account):[\x21-\x7e]{1,1200}|address:[0-9a-f.:]{2,45}(\/64)?)$/));
/** Names come from elsewhere, too: what is not printable ASCII is written as in a URL. 128 characters become 1,152 at most. */
const plain = (name: string): string => name.toWellFormed().replace(/[^\x21-\x7e]/gu, encodeURIComponent);
export const EVERYBODY = "all";

export interface Person {
  readonly sid: string;
  readonly account?: string | undefined;
  /** Of the visitor, as text; empty: unknown. */
  readonly address: string;
}

/** An IPv4 address as it is, an IPv6 one as its /64, one that carries IPv4 as that (RFC 4291 §2.5.5.2). Null: not an address. */
export function addressGroup(text: string): string | null {
  const address = parseIp(text);
  if (!address) return null;
  if (address.length === 4) return formatIp(address);
  const isMapped =
    address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 255 && address[11] === 255;
  if (isMapped) return formatIp(address.subarray(12));
  return `${formatIp(Uint8Array.from(address, (byte, at) => (at < 8 ? byte : 0)))}/64`;
}

export function subjectsOf({ sid, account, address }: Person): string[] {
  const group = addressGroup(address);
  return [
    EVERYBODY,
    `session:${plain(sid)}`,
    ...(account === undefined ? [] : [`account:${plain(account)}`]),
    ...(group === null ? [] : [`address:${group}`]),
  ];
}

/** What an operator wrote, in the form in which it is looked for; null: it names nobody. */
export function readSubject(text: string): string | null {
  if (text.startsWith("address:")) {
    const group = addressGroup(text.slice("address:".length).replace(/\/64$/, ""));
    return group === null ? null : `address:${group}`;
  }
  const written = plain(text);
  return Subject.safeParse(written).success ? written : null;
}
