/** What the judges' words are worth: rules explain what they leave out or do otherwise than processors do. */
import { bochsRules } from "./bochs-rules.ts";
import { type Case, type Field, RF, type StreamCode, VIF_VIP } from "./judge-rule.ts";
import type { Dump } from "./system-judges.ts";
import { tcgRules } from "./tcg-rules.ts";

/** Fields that are not compared at all: sums that hold accessed and dirty bits, and frames with RF. */
const loose = new Set(["tables", "memory", "dr6"]);

const reader =
  (fields: readonly string[], dump: Dump): Field =>
  (name) =>
    Number.parseInt(dump[fields.indexOf(name)] ?? "", 16);

/** What rules ask about a difference. */
function caseOf(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
  differing: readonly string[] = fields.filter((_name, k) => here[k] !== there[k]),
): Case {
  const low = (dump: Dump, name: string): number =>
    Number.parseInt((dump[fields.indexOf(name)] ?? "").slice(-8), 16);
  const pointer = fields.findIndex((name) => name === "rip" || name === "eip"),
    begun = stream.rip === undefined ? (stream.eip ?? NaN) : Number.parseInt(stream.rip, 16);
  const from = (dump: Dump): number => {
    const offset = Number.parseInt(dump[pointer] ?? "", 16) - begun;
    return offset >= 0 && offset < stream.code.length ? offset : stream.code.length;
  };
  const value = (dump: Dump, name: string): bigint => BigInt(`0x${dump[fields.indexOf(name)] ?? "0"}`);
  return {
    code: stream.code,
    values: (name) => [value(here, name), value(there, name)],
    differing,
    differingBelow: differing.filter((name) => low(here, name) !== low(there, name)),
    instruction: stream.code.slice(from(here)),
    before: stream.code.slice(0, from(here)),
    instructionThere: stream.code.slice(from(there)),
  };
}

/** The rule that explains a difference from Bochs, if one does. */
export function bochsRule(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
): string | undefined {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  const about = caseOf(fields, here, there, stream);
  return bochsRules.find(({ applies }) => applies(a, b, about))?.name;
}

/** Differences that TCG's word counts for; the rule that explains them otherwise. */
export function tcgDifferences(
  fields: readonly string[],
  here: Dump,
  there: Dump,
  stream: StreamCode,
): { differences: string[]; rule?: string } {
  const [a, b] = [reader(fields, here), reader(fields, there)];
  const differing = fields.filter(
    (name, k) =>
      here[k] !== there[k] &&
      !loose.has(name) &&
      // IRET does not set VIF and VIP.
      !(name.endsWith("flags") && ((a(name) ^ b(name)) & ~(RF | VIF_VIP)) === 0),
  );
  const told = (name: string): string =>
    `${name} ${here[fields.indexOf(name)]} not ${there[fields.indexOf(name)]}`;
  const differences = differing.map(told);
  if (differences.length === 0) return { differences };
  const about = caseOf(fields, here, there, stream, differing),
    rule = tcgRules.find(({ applies }) => applies(a, b, about));
  return rule ? { differences: [], rule: rule.name } : { differences };
}
