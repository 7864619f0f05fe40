import type { Debugger } from "../debugger.ts";
import { fromHex } from "./packets.ts";

/** GDB's `monitor` command: guest-physical memory, which the protocol has no packets for. Numbers are hexadecimal or 0x-hexadecimal. */
const HELP = `read PHYSICAL [BYTES]   guest-physical memory (at most 1000h bytes)
write PHYSICAL BYTES    two digits a byte
translate LINEAR        through the page tables as they are
system                  control registers and segments
`;
const MAX_BYTES = 0x1000;
const LINE = 16;

/** The text to show. */
export function monitor(machine: Debugger, command: string): string {
  const [verb = "", first = "", second = ""] = command.trim().split(/\s+/);
  const address = /^(?:0x)?([0-9a-f]{1,16})$/i.exec(first)?.[1];
  switch (verb) {
    case "read":
      return address ? read(machine, Number.parseInt(address, 16), second) : HELP;
    case "write": {
      const bytes = fromHex(second);
      if (!address || !bytes?.length) return HELP;
      const done = machine.writePhysical(Number.parseInt(address, 16), bytes);
      return done ? "" : "That is not RAM.\n";
    }
    case "translate": {
      if (!address) return HELP;
      const physical = machine.translate(BigInt(`0x${address}`));
      return physical === undefined ? "No page is there.\n" : `0x${physical.toString(16)}\n`;
    }
    case "system":
      return system(machine);
    default:
      return HELP;
  }
}

function read(machine: Debugger, address: number, size: string): string {
  const length = Math.min(Number.parseInt(size || "10", 16) || LINE, MAX_BYTES);
  const bytes = machine.readPhysical(address, length);
  if (bytes.length === 0) return "That is not RAM.\n";
  let text = "";
  for (let at = 0; at < bytes.length; at += LINE) {
    const row = Array.from(bytes.subarray(at, at + LINE), (byte) => byte.toString(16).padStart(2, "0"));
    text += `${(address + at).toString(16).padStart(8, "0")}: ${row.join(" ")}\n`;
  }
  return text;
}

function system({ registers }: Debugger): string {
  const names = ["cr0", "cr2", "cr3", "cr4", "efer", "lstar", "k_gs_base"];
  const segments = ["cs", "ss", "ds", "es", "fs", "gs"].map(
    (name) =>
      `${name.padEnd(10)}0x${registers.value(name).toString(16)} base 0x${registers.value(`${name}_base`).toString(16)}`,
  );
  const rows = names.map((name) => `${name.padEnd(10)}0x${registers.value(name).toString(16)}`);
  return `${[...rows, ...segments, `cpl       ${registers.cpl}`].join("\n")}\n`;
}
