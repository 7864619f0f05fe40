/** Numbers as the page shows them: at most three significant digits, a unit, "–" for what is not known. */

export const unknown = "–";

const significant = (value: number): string =>
  value === 0 ? "0" : value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: true });

/** Bytes in kB, MB or GB of 10³, 10⁶ and 10⁹. */
export function bytes(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return unknown;
  if (value < 1000) return `${value} B`;
  if (value < 999_500) return `${significant(value / 1e3)} kB`;
  if (value < 999_500_000) return `${significant(value / 1e6)} MB`;
  return `${significant(value / 1e9)} GB`;
}

export const percent = (share: number | undefined): string =>
  share === undefined || !Number.isFinite(share) ? unknown : `${significant(share * 100)} %`;

export const seconds = (ms: number | undefined): string =>
  ms === undefined || !Number.isFinite(ms)
    ? unknown
    : ms < 950
      ? `${Math.round(ms)} ms`
      : `${significant(ms / 1000)} s`;

export const millions = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? unknown : `${significant(value)} M`;

export const perSecond = (value: number | undefined): string =>
  value === undefined || !Number.isFinite(value) ? unknown : `${millions(value)}/s`;
