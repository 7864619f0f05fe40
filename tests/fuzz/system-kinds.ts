/** The kinds of system streams, by the name of their mode. */
import { type LongStream } from "./long-rom.ts";
import { buildLong, planLong } from "./long-stream.ts";
import type { StreamKind } from "./system.ts";
import { build } from "./system-plan.ts";
import { type SystemStream } from "./system-rom.ts";
import { planSystem } from "./system-stream.ts";
import { roms } from "./system-vectors.ts";

export const kinds = {
  system: { name: "system", rom: roms.system, plan: planSystem, build } satisfies StreamKind<SystemStream>,
  long: { name: "long", rom: roms.long, plan: planLong, build: buildLong } satisfies StreamKind<LongStream>,
} as const;
