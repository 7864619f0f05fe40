/**
 * Virtual-8086 mode extensions (SDM 3A §20.3, §20.4): with CR4.VME a program whose IOPL forbids IF has VIF in its place, and INT n
 * can go to its own interrupt table; CR4.PVI gives VIF to CLI and STI at CPL 3.
 */
import { fault, GP, raise } from "./fault";
import { getRflags, setRflags } from "./flags";
import { CPL, CR4, RFLAGS, SEG_ATTRIBUTES, SEG_BASE, SEG_LIMIT, TR } from "./layout";
import { readable } from "./memory";
import { systemRead } from "./mmu";
import { CR4_PVI, CR4_VME, FLAG_IF, FLAG_IOPL, FLAG_TF, FLAG_VIF, FLAG_VIP, iopl, updateMode, virtual8086 } from "./mode";

const VIF_OVER_IF: u64 = 10;
/** TF, NT, DF and the arithmetic flags. */
const CHANGEABLE: u64 = 0x4dd5;

/** PUSHF, POPF and IRET of this program see VIF as IF. */
export function seesVif(): bool { return virtual8086() && iopl() < 3 && (load<u64>(CR4) & CR4_VME) != 0; }
/** So do CLI and STI, at CPL 3 of protected mode too. */
export function changesVif(): bool { return virtual8086() ? seesVif() : load<u32>(CPL) == 3 && iopl() < 3 && (load<u64>(CR4) & CR4_PVI) != 0; }

function setVif(on: bool): void { store<u64>(RFLAGS, (load<u64>(RFLAGS) & ~FLAG_VIF) | (on ? FLAG_VIF : 0)); }
export function clearVif(): void { setVif(false); }
/** An interrupt that waits for the program (VIP) makes it #GP(0), so that its monitor can deliver it. */
export function raiseVif(): void { if (load<u64>(RFLAGS) & FLAG_VIP) raise(GP, 0); else setVif(true); }

/** FLAGS as such a program sees them: VIF in the place of IF, an IOPL of 3. */
export function virtualFlags(): u64 {
  const flags = getRflags();
  return (flags & ~FLAG_IF) | ((flags & FLAG_VIF) >> VIF_OVER_IF) | FLAG_IOPL;
}
/** Takes FLAGS from such a program; false after #GP(0). */
export function setVirtualFlags(flags: u64): bool {
  if ((flags & FLAG_TF) || ((flags & FLAG_IF) && (load<u64>(RFLAGS) & FLAG_VIP))) { raise(GP, 0); return false; }
  setVif((flags & FLAG_IF) != 0);
  setRflags(flags, CHANGEABLE);
  updateMode();
  return true;
}

/** CS:IP of the program's own handler of INT n. */
export let ownHandler: u32 = 0;
/** Whether INT n goes there: the bit of the TSS's redirection map below the I/O bitmap is clear. Ask `fault` afterwards. */
export function handlesItself(vector: u32): bool {
  if (!virtual8086() || !(load<u64>(CR4) & CR4_VME)) return false;
  const limit = load<u32>(TR, SEG_LIMIT), base = load<u64>(TR, SEG_BASE);
  if (!(load<u16>(TR, SEG_ATTRIBUTES) & 8) || limit < 103) { raise(GP, 0); return false; }
  let place = systemRead(base + 102, 2);
  if (!place) return false;
  const at = <u32>load<u16>(place) - 32 + (vector >> 3);
  if (at > limit) { raise(GP, 0); return false; }
  place = systemRead(base + at, 1);
  if (!place || ((<u32>load<u8>(place) >> (vector & 7)) & 1)) return false;
  place = readable<u32>(<u64>vector << 2);
  if (!place) return false;
  ownHandler = load<u32>(place);
  return !fault;
}
/** What such an INT n pushes, and the flags that it clears. */
export function interruptFlags(): u64 { return iopl() < 3 ? virtualFlags() : getRflags(); }
export function clearInterruptFlags(): void { setRflags(0, FLAG_TF | (iopl() < 3 ? FLAG_VIF : FLAG_IF)); }
