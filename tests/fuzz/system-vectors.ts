/** Streams of system code with what another machine made of them: kinds, comparison, replay. */
import { runHere, type Dump, type SystemRom } from "./system-judges.ts";
import { type LongStream, longRom } from "./long-rom.ts";
import { type SystemStream, systemRom } from "./system-rom.ts";

/** The kinds of ROM; a vector names its own. */
export const roms = { system: systemRom, long: longRom } as const;

/** A line of tests/vectors/cpu/system-found.jsonl: a stream and the judge's dump, null where it shut the processor down. */
export type SystemVector = { readonly id: string; readonly expected: Dump | null } & (
  | { readonly kind: "system"; readonly stream: SystemStream }
  | { readonly kind: "long"; readonly stream: LongStream }
);

/** Fields that differ; the arithmetic flags of a stream are all defined. */
export function differences<S>(rom: SystemRom<S>, here: Dump | undefined, there: Dump | undefined): string[] {
  if (!here || !there)
    return here === there ? [] : [here ? "only the other machine shut down" : "only this machine shut down"];
  const vector = rom.fields.indexOf("vector"),
    ending = there[vector]!;
  // A misaligned operand in an absent page may raise either (SDM 3A table 6-2 puts both in one class).
  if (ending === "11" && here[vector] === "e") return [];
  // An instruction with two operands, or one in two pages, that faults at one of them may have marked the other's page as accessed.
  const isAccess = ["c", "d", "e", "11"].includes(ending);
  return rom.fields.flatMap((name, k) => {
    if (here[k] === there[k] || (isAccess && name === "tables")) return [];
    return [`${name} ${here[k]} not ${there[k]}`];
  });
}

function replay<S>(rom: SystemRom<S>, stream: S, expected: Dump | null): string[] {
  return differences(rom, rom.readDumps(runHere(rom.makeRom([stream])).bytes).get(0), expected ?? undefined);
}
/** Runs a filed vector; the list is empty when it passes. */
export const replaySystem = (vector: SystemVector): string[] =>
  vector.kind === "system"
    ? replay(roms.system, vector.stream, vector.expected)
    : replay(roms.long, vector.stream, vector.expected);
