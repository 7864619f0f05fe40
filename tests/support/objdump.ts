/** GNU objdump as a second opinion on bytes: instructions at known places of a flat file. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CodeBits } from "../../emulator/cpu/disassembler.ts";

export interface Listed {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly text: string;
}

export function hasObjdump(): boolean {
  try {
    execFileSync("objdump", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Every instruction of a listing by its address. */
export function readListing(listing: string): Map<number, Listed> {
  const found = new Map<number, Listed>();
  for (const line of listing.split("\n")) {
    const match = /^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*\t?(.*)$/.exec(line);
    if (!match) continue;
    const [, place = "", bytes = "", text = ""] = match;
    const read = new Uint8Array(Buffer.from(bytes.replaceAll(" ", ""), "hex"));
    found.set(Number.parseInt(place, 16), { bytes: read, length: read.length, text: text.trim() });
  }
  return found;
}

const MACHINES = { 16: "i8086", 32: "i386", 64: "i386:x86-64" } as const;

/** Disassembles flat code whose first byte has address 0. */
export function objdump(code: Uint8Array, bits: CodeBits): Map<number, Listed> {
  const folder = mkdtempSync(join(tmpdir(), "virga-objdump-"));
  try {
    const file = join(folder, "code");
    writeFileSync(file, code);
    const options = ["-D", "-w", "-b", "binary", "-M", "intel", "-m", MACHINES[bits], file];
    return readListing(execFileSync("objdump", options, { encoding: "utf8", maxBuffer: 2 ** 28 }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
