/** What the machine's processor has: the model that ../models.ts wrote. */
import { HAS_LM } from "../../../build/generated/cpu/features";
import { MODEL, MODEL_FLAGS } from "./layout";

/** Whether the processor has a feature, by its number (build/generated/cpu/features.ts). 0 is what every processor has. */
// @ts-ignore: decorator
@inline export function has(feature: u32): bool { return !feature || load<u8>(MODEL + feature) != 0; }

/** Bits of an address that reach beyond MAXPHYADDR: 39, as CPUID says, and 36 before it could (SDM 3A §4.1.4). */
export function beyondPhysical(): u64 { return has(HAS_LM) ? 0xffffff8000000000 : 0xfffffff000000000; }

/** Of the flags in a mask, those that exist: AC came with the 486, ID with CPUID, VIF and VIP with VME. */
export function existingFlags(mask: u64): u64 { return mask & (<u64>load<u32>(MODEL_FLAGS) | ~<u64>0x3c0000); }
