import { PciFunction } from "../bus/pci.ts";

/** Which accesses to A0000h-BFFFFh are RAM: none, those of system-management mode, all. */
export type SmramOpen = "never" | "managing" | "always";
const SMRAM = 0x72;
const Smram = { open: 0x40, closed: 0x20, locked: 0x10, enabled: 0x08 } as const;

/**
 * Identities of the i440FX host bridge (82441FX datasheet 290549 §3.2) and the PIIX3 ISA bridge (82371SB 290550 §2.2). The
 * registers that firmware would program are stored, and do nothing: RAM is everywhere below 1 MiB. Only SMRAM, the
 * "System Management RAM Control Register", is looked at; its D_CLS, which lets data through to the display, is stored.
 */
export function hostBridge(onSmram: (open: SmramOpen) => void = () => {}): PciFunction {
  const fn = new PciFunction({ vendor: 0x8086, device: 0x1237, revision: 2, classCode: 0x060000 });
  // PAM0-PAM6: all segments read and write DRAM.
  for (let at = 0x59; at <= 0x5f; at++) fn.set(at, 1, at === 0x59 ? 0x30 : 0x33, 0xff);
  // C_BASE_SEG is A0000h.
  fn.set(SMRAM, 1, 0x02, 0x78);
  fn.onWrite.push((offset, size) => {
    if (offset > SMRAM || offset + size <= SMRAM) return;
    const value = fn.values[SMRAM]!;
    // D_LCK closes D_OPEN, and nothing but a reset opens either again.
    if (value & Smram.locked) fn.set(SMRAM, 1, value & ~Smram.open, 0);
    const open = (fn.values[SMRAM]! & Smram.open) !== 0;
    onSmram(!(value & Smram.enabled) ? "never" : open ? "always" : "managing");
  });
  return fn;
}

export function isaBridge(): PciFunction {
  const fn = new PciFunction({ vendor: 0x8086, device: 0x7000, classCode: 0x060100, multifunction: true });
  // PIRQRCA-PIRQRCD: PIRQ A-D on IRQ 10-13.
  for (let pirq = 0; pirq < 4; pirq++) fn.set(0x60 + pirq, 1, 10 + pirq, 0x8f);
  return fn;
}

/** Reset control register, port 0xCF9 (82371SB §2.4.3): bit 2 rising resets the machine. Returns whether this write does. */
export const isResetWrite = (value: number): boolean => (value & 0x04) !== 0;
