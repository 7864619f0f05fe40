/** What a `Range` header asks of a representation of `sizeBytes` (RFC 9110 §14.1-14.2). */
export type RangeRequest =
  /** No range, or a unit other than bytes, which a server ignores (§14.2). */
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly first: number; readonly last: number }
  | { readonly kind: "unsatisfiable" };

const whole: RangeRequest = { kind: "whole" };
const unsatisfiable: RangeRequest = { kind: "unsatisfiable" };

/**
 * Reads the header. `a-b`, `a-` and `-n` are served with the end clamped; several ranges, nonsense, and more than
 * `limitBytes` are refused rather than answered whole: an answer of gigabytes is what nobody meant.
 */
export function parseRange(header: string | undefined, sizeBytes: number, limitBytes: number): RangeRequest {
  if (header === undefined) return whole;
  const unit = /^\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=/.exec(header);
  if (unit && unit[1]!.toLowerCase() !== "bytes") return whole;
  const spec = /^\s*bytes\s*=\s*(\d{0,15})-(\d{0,15})\s*$/i.exec(header);
  if (!spec || (spec[1] === "" && spec[2] === "")) return unsatisfiable;
  const from = spec[1] === "" ? Math.max(0, sizeBytes - Number(spec[2])) : Number(spec[1]);
  const to = spec[1] === "" || spec[2] === "" ? sizeBytes - 1 : Number(spec[2]);
  if (from > to && spec[1] !== "" && spec[2] !== "") return unsatisfiable;
  const last = Math.min(to, sizeBytes - 1);
  if (from > last || last - from + 1 > limitBytes) return unsatisfiable;
  return { kind: "part", first: from, last };
}

/** If-Range holds only for the same strong ETag; a weak one or a date never does here (RFC 9110 §13.1.5). */
export const rangeStillHolds = (ifRange: string | undefined, etag: string): boolean =>
  ifRange === undefined || ifRange.trim() === etag;

/** Whether `If-None-Match` names this ETag, by the weak comparison that it asks for (RFC 9110 §13.1.2). */
export const noneMatchNames = (header: string | undefined, etag: string): boolean =>
  header !== undefined &&
  (header.trim() === "*" || entityTags(header).some((tag) => tag.replace(/^W\//, "") === etag));

/** Whether `If-Match` lets this ETag pass, by the strong comparison that it asks for (RFC 9110 §13.1.1). */
export const matchNames = (header: string | undefined, etag: string): boolean =>
  header === undefined || header.trim() === "*" || entityTags(header).includes(etag);

const entityTags = (header: string): string[] => header.match(/(?:W\/)?"[^"]*"/g) ?? [];
