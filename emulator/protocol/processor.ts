import * as z from "zod/mini";

/** Processor models by name: what each is and has is in emulator/cpu/models.ts. */
export const ProcessorName = z.enum(["386", "486", "pentium", "pentium3", "core2", "v1", "v2", "v3"]);
export type ProcessorName = z.infer<typeof ProcessorName>;

/** The model of a machine whose definition names none. */
export const defaultProcessor: ProcessorName = "v2";
