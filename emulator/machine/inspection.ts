import type { GuestMemory } from "../bus/guest-memory.ts";
import type { Cpu } from "../cpu/core.ts";
import { disassemble } from "../cpu/disassembler.ts";
import { type Paging, readLinear, translate, writeLinear } from "./linear-memory.ts";
import { Registers } from "./registers.ts";

export interface CodeLine {
  /** Linear. */
  readonly address: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

const MAX_INSTRUCTION = 15;

/** A look into a machine between its slices: registers, memory, code. Looking has no side effects. */
export class Inspection {
  readonly registers: Registers;
  readonly #memory: GuestMemory;

  constructor(cpu: Cpu, memory: GuestMemory) {
    this.registers = new Registers(cpu);
    this.#memory = memory;
  }

  /** As many bytes as there are in RAM, from the first. */
  read(address: bigint, length: number): Uint8Array<ArrayBuffer> {
    return readLinear(this.#memory, this.#paging(), address, length);
  }
  /** All of the bytes or none: false where a page is missing. */
  write(address: bigint, bytes: Uint8Array): boolean {
    return writeLinear(this.#memory, this.#paging(), address, bytes);
  }
  /** Guest-physical; empty where that is not RAM. */
  readPhysical(address: number, length: number): Uint8Array {
    return this.#memory.view(address, length).slice();
  }
  writePhysical(address: number, bytes: Uint8Array): boolean {
    if (!this.#memory.contains(address, bytes.length)) return false;
    this.#memory.write(address, bytes);
    return true;
  }
  translate(address: bigint): number | undefined {
    return translate(this.#memory, this.#paging(), address);
  }

  /** So many instructions from an address, as code of the mode that the processor is in; fewer where memory ends. */
  code(address: bigint, count: number): readonly CodeLine[] {
    const lines: CodeLine[] = [];
    const all = this.read(address, count * MAX_INSTRUCTION);
    for (let at = 0; lines.length < count && at < all.length;) {
      const line = this.#line(address + BigInt(at), all.subarray(at, at + MAX_INSTRUCTION));
      lines.push(line);
      at += line.bytes.length;
    }
    return lines;
  }

  #line(address: bigint, bytes: Uint8Array): CodeLine {
    const bits = this.registers.codeBits;
    // Branch targets are RIPs; in legacy modes they differ from linear addresses by CS's base.
    const rip = bits === 64 ? address : address - this.registers.value("cs_base");
    const { length, text } = disassemble(bytes, bits, rip);
    return { address, bytes: bytes.slice(0, length), text };
  }

  #paging(): Paging {
    const { registers } = this;
    const [cr0, cr3] = [registers.value("cr0"), registers.value("cr3")];
    return { cr0, cr3, cr4: registers.value("cr4"), efer: registers.value("efer") };
  }
}

/** "48 0f 0b  ud2": the instruction at RIP, for a report; what is there although no page may be. */
export function instructionAt(inspection: Inspection): string {
  const [line] = inspection.code(inspection.registers.pc, 1);
  return line ? `${hexBytes(line.bytes)}  ${line.text}` : "no memory";
}

export const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
