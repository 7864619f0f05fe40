/** The rig without long mode: 32-bit protected mode without paging, its gates and task-state segments. */
import { at, place, Rig } from "./system-rig.ts";

/** Selectors of the legacy GDT. */
export const legacy = {
  code: 0x08,
  data: 0x10,
  userCode: 0x1b,
  userData: 0x23,
  tss: 0x28,
  tss2: 0x30,
  callGate: 0x3b,
  code16: 0x40,
  data16: 0x48,
  ldt: 0x50,
  taskGate: 0x5b,
  conforming: 0x60,
} as const;
export const tss2 = 0x7800;

const gate = (sel: number, to: number, type: number, count = 0): bigint =>
  BigInt(to & 0xffff) |
  (BigInt(sel) << 16n) |
  (BigInt(count) << 32n) |
  (BigInt(type) << 40n) |
  (BigInt(to >>> 16) << 48n);
const system = (base: number, limit: number, type: number): bigint =>
  BigInt(limit) | (BigInt(base & 0xffffff) << 16n) | (BigInt(type) << 40n) | (BigInt(base >>> 24) << 56n);

export class LegacyRig extends Rig {
  constructor() {
    super();
    const gdt = [
      0n,
      0x00cf9b000000ffffn,
      0x00cf93000000ffffn,
      0x00cffb000000ffffn,
      0x00cff3000000ffffn,
      system(at.tss, 0x67, 0x8b),
      system(tss2, 0x67, 0x89),
      gate(legacy.code, at.handlers + 0x500, 0xec, 2),
      0x00009b000000ffffn,
      0x000093000000ffffn,
      system(at.data, 0x17, 0x82),
      gate(legacy.tss2, 0, 0xe5),
      0x00cf9f000000ffffn,
    ];
    for (const [index, entry] of gdt.entries()) this.write64(at.gdt + index * 8, entry);
    for (let vector = 0; vector < 256; vector++) this.legacyGate(vector, {});
    this.legacyGate(0x81, { type: 0xee });
    this.cpu.ram.fill(0, at.tss, at.tss + 0x1000);
    this.write32(at.tss + 4, at.kernelStack);
    this.write32(at.tss + 8, legacy.data);
    this.write16(at.tss + 102, 104);
    this.setState(place.cr0, 0x33n);
    this.setState(place.cr4, 0x600n);
    this.setState(place.efer, 0n);
    this.cpu.view.setUint16(place.gdtr + 8, gdt.length * 8 - 1, true);
    this.cpu.view.setUint16(place.idtr + 8, 0x7ff, true);
    this.setSegment(7, legacy.tss, 0x8b, BigInt(at.tss), 0x67);
    this.ring(0);
  }

  override ring(cpl: 0 | 3): void {
    this.setSegment(1, cpl ? legacy.userCode : legacy.code, cpl ? 0xcfb : 0xc9b);
    this.setSegment(2, cpl ? legacy.userData : legacy.data, cpl ? 0xcf3 : 0xc93);
    for (const number of [0, 3, 4, 5]) this.setSegment(number, legacy.userData, 0xcf3);
    this.cpu.view.setUint32(place.cpl, cpl, true);
    this.set("rsp", BigInt(cpl ? at.userStack : at.kernelStack));
  }

  legacyGate(
    vector: number,
    { type = 0x8e, sel = legacy.code as number, to = at.handlers + vector * 16 },
  ): void {
    this.write64(at.idt + vector * 8, gate(sel, to, type));
  }

  /** Dwords at ESP. */
  stack(count: number): number[] {
    return Array.from({ length: count }, (_, n) => this.read32(Number(this.get("rsp")) + 4 * n));
  }
  words(count: number): number[] {
    return Array.from({ length: count }, (_, n) => this.read16(Number(this.get("rsp")) + 2 * n));
  }
}
