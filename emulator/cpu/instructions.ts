/** The x86-64 opcode map: every encoding that the core executes. Decoder tables, tests and docs are generated from it. */
import { avxRows } from "./instructions/avx.ts";
import { baseRows } from "./instructions/base.ts";
import type { Instruction } from "./instructions/row.ts";
import { simdRows } from "./instructions/simd.ts";
import { systemRows } from "./instructions/system.ts";
import { x87Rows } from "./instructions/x87.ts";

export const instructions: readonly Instruction[] = [
  ...baseRows,
  ...systemRows,
  ...simdRows,
  ...avxRows,
  ...x87Rows,
];
