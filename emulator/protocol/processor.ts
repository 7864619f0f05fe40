import * as z from "zod/mini";

/** Processor models by name: what each is and has is in emulator/cpu/models.ts. */
export const ProcessorName = z.enum(["386", "486", "pentium", "pentium3", "core2", "v1", "v2", "v3"]);
export type ProcessorName = z.infer<typeof ProcessorName>;

/**
 * The model of a machine whose definition names none. v3 costs a guest nothing that v2 spares it: Debian's boot retires as
 * many instructions, and glibc's AVX2 functions pay for themselves.
 */
export const defaultProcessor: ProcessorName = "v3";
