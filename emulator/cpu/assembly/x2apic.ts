/**
 * x2APIC mode (SDM 3A §10.12): the local APIC's registers as MSRs 800H to 83FH. The APIC itself is the board's, which knows its
 * memory-mapped form: what differs between the two is put right here. There is one processor, whose x2APIC ID is 0.
 */
import { mmioRead, mmioWrite } from "./host";
import { APIC_BASE } from "./layout";

const PAGE: u32 = 0xfee00000;
const ID: u32 = 0x02, VERSION: u32 = 0x03, TPR: u32 = 0x08, PPR: u32 = 0x0a, EOI: u32 = 0x0b, LDR: u32 = 0x0d, SVR: u32 = 0x0f, ESR: u32 = 0x28, ICR: u32 = 0x30, ICR_HIGH: u32 = 0x31;
const LVT_FIRST: u32 = 0x32, LVT_LAST: u32 = 0x37, INITIAL_COUNT: u32 = 0x38, CURRENT_COUNT: u32 = 0x39, DIVIDE: u32 = 0x3e, SELF_IPI: u32 = 0x3f;
/** Logical x2APIC ID of processor 0: the first of cluster 0. */
const LOGICAL_ID: u64 = 1;
const LOGICAL: u64 = 0x800, SHORTHAND_SELF: u32 = 0x40000;
/** A physical destination that nobody has. */
const NOBODY: u32 = 0xfe;

/** IA32_APIC_BASE bits 11 and 10. */
const ENABLED: u64 = 0x800, EXTENDED: u64 = 0x400;
// @ts-ignore: decorator
@inline export function isX2apic(): bool { return (load<u64>(APIC_BASE) & (ENABLED | EXTENDED)) == (ENABLED | EXTENDED); }
/** Whether IA32_APIC_BASE may go from one value to the other (SDM 3A figure 10-27). */
export function mayBecome(from: u64, to: u64): bool {
  if ((to & (ENABLED | EXTENDED)) == EXTENDED) return false;
  if (from & EXTENDED) return (to & EXTENDED) != 0 || !(to & ENABLED);
  return !(to & EXTENDED) || (from & ENABLED) != 0;
}

// @ts-ignore: decorator
@inline function readRegister(number: u32): u64 { return <u64>mmioRead(PAGE | (number << 4), 4); }
// @ts-ignore: decorator
@inline function writeRegister(number: u32, value: u64): void { mmioWrite(PAGE | (number << 4), 4, <u32>value); }

/** What the last readable register held. */
export let x2apicValue: u64 = 0;
/** Reads register `number` into `x2apicValue`; false where there is none to read. */
export function readX2apic(number: u32): bool {
  switch (number) {
    case ID: x2apicValue = readRegister(ID) >> 24; return true;
    case LDR: x2apicValue = LOGICAL_ID; return true;
    case ICR: x2apicValue = readRegister(ICR) | (readRegister(ICR_HIGH) >> 24 << 32); return true;
    case VERSION: case TPR: case PPR: case SVR: case ESR: case INITIAL_COUNT: case CURRENT_COUNT: case DIVIDE: break;
    // In-service, trigger mode and request registers; the local vector table.
    default: if ((number < 0x10 || number >= ESR) && (number < LVT_FIRST || number > LVT_LAST)) return false;
  }
  x2apicValue = readRegister(number);
  return true;
}

/** Writes register `number`; false where that is #GP. */
export function writeX2apic(number: u32, value: u64): bool {
  if (number == ICR) { send(value); return true; }
  if (value >> 32) return false;
  switch (number) {
    case SELF_IPI: if (value >> 8) return false; writeRegister(ICR, value | SHORTHAND_SELF); return true;
    case EOI: case ESR: if (value) return false; break;
    case TPR: case SVR: case INITIAL_COUNT: case DIVIDE: break;
    default: if (number < LVT_FIRST || number > LVT_LAST) return false;
  }
  writeRegister(number, value);
  return true;
}

/** The destination has 32 bits: a physical ID, or a cluster and a set of its processors; all ones are everybody. */
function send(value: u64): void {
  const destination = <u32>(value >> 32);
  const everybody = destination == 0xffffffff, me = value & LOGICAL ? !(destination >> 16) && (destination & 1) != 0 : destination == 0;
  writeRegister(ICR_HIGH, <u64>(everybody ? 0xff : me ? 0 : NOBODY) << 24);
  writeRegister(ICR, value & ~LOGICAL & 0xffffffff);
}
