/** The kinds of system streams, by the name of their mode. */
import type { StreamKind } from "./system.ts";
import { build } from "./system-plan.ts";
import { type SystemStream, systemRom } from "./system-rom.ts";
import { planSystem } from "./system-stream.ts";

export const kinds = {
  system: { name: "system", rom: systemRom, plan: planSystem, build } satisfies StreamKind<SystemStream>,
} as const;
export const isKind = (name: string): name is keyof typeof kinds => Object.hasOwn(kinds, name);
