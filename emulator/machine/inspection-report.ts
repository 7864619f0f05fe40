import type { InspectionNotice } from "../protocol/machine-messages.ts";
import { type CodeLine, hexBytes, type Inspection } from "./inspection.ts";
import { generalNames } from "./registers.ts";

/** What the page shows of a machine that is paused: text only, so that the page reads no bytes. */

const LINES_BEFORE = 6;
const LINES = 30;
/** How far back code may begin that leads to an instruction. */
const LOOK_BACK = 64n;

const hex = (value: bigint, digits: number): string => value.toString(16).padStart(digits, "0");

/**
 * `asked` is what a person typed: hexadecimal with or without 0x, or nothing for RIP. What is no address, or where there is no
 * memory, is said in `problem`, and the code around RIP is shown.
 */
export function reportOf(inspection: Inspection, asked: string): InspectionNotice {
  const { registers } = inspection;
  const { pc } = registers;
  const typed = asked.trim().replaceAll(/[\s_'`]/g, "");
  const wanted = /^(?:0x)?[0-9a-f]{1,16}$/i.test(typed)
    ? BigInt(`0x${typed.replace(/^0x/i, "")}`)
    : undefined;
  const isAddress = typed === "" || wanted !== undefined;
  const missing = wanted !== undefined && inspection.read(wanted, 1).length === 0;
  const from = wanted === undefined || missing ? pc : wanted;
  const problem = isAddress
    ? missing
      ? "No memory is at that address."
      : ""
    : "That is not a hexadecimal address.";
  const wide = registers.codeBits === 64 ? 16 : 8;
  return {
    type: "inspection",
    bits: registers.codeBits,
    halted: registers.halted,
    registers: registerRows(inspection),
    code: around(inspection, from).map(({ address, bytes, text }) => ({
      address: hex(address, wide),
      bytes: hexBytes(bytes),
      text,
      current: address === pc,
    })),
    problem,
  };
}

/** Lines before an address are a guess: code is read from each place before it until one leads there without a bad byte. */
function around(inspection: Inspection, address: bigint): readonly CodeLine[] {
  for (let back = LOOK_BACK; back > 0n; back--) {
    const lines = inspection.code(address - back, Number(back));
    const at = lines.findIndex((line) => line.address === address);
    if (at > 0 && lines.slice(0, at).every(({ text }) => text !== "(bad)"))
      return [
        ...lines.slice(Math.max(at - LINES_BEFORE, 0), at),
        ...inspection.code(address, LINES - LINES_BEFORE),
      ];
  }
  return inspection.code(address, LINES - LINES_BEFORE);
}

function registerRows({ registers }: Inspection): InspectionNotice["registers"] {
  const bits = registers.codeBits;
  const names = bits === 64 ? generalNames : generalNames.slice(0, 8);
  const digits = bits === 64 ? 16 : 8;
  const shown = bits === 64 ? (name: string) => name : (name: string) => name.replace(/^r/, "e");
  const row = (name: string, width: number) => ({
    name: shown(name),
    value: hex(registers.value(name), width),
  });
  return [
    row("rip", digits),
    ...names.map((name) => row(name, digits)),
    row("rflags", 8),
    ...["cs", "ss", "ds", "es", "fs", "gs"].map((name) => row(name, 4)),
    ...["cr0", "cr2", "cr3", "cr4"].map((name) => row(name, digits)),
  ];
}
