import * as z from "zod/mini";
import { ChunkHash, RawId } from "./ids.ts";
import { ProcessorName } from "./processor.ts";

/** One way to start a machine: a kernel booted by the Linux boot protocol, and its command line. */
export const BootEntry = z.strictObject({
  id: z.string().check(z.regex(/^[a-z0-9-]{1,32}$/)),
  label: z.string().check(z.minLength(1), z.maxLength(80)),
  /** Manifest of the kernel file: an ELF vmlinux, or a bzImage. */
  kernel: ChunkHash,
  /** Manifest of the initial RAM disk, if any. */
  initrd: z.optional(ChunkHash),
  commandLine: z.string().check(z.maxLength(2047)),
});
export type BootEntry = z.infer<typeof BootEntry>;

export const DiskDefinition = z.discriminatedUnion("kind", [
  /** Verified chunks listed in a manifest. */
  z.strictObject({ kind: z.literal("chunked"), manifest: ChunkHash, sizeBytes: z.number() }),
  /** A raw file read by signed Range URLs, which `POST /api/images/:id/stream-url` hands out. */
  z.strictObject({ kind: z.literal("raw"), imageId: RawId, sizeBytes: z.number() }),
]);
export type DiskDefinition = z.infer<typeof DiskDefinition>;

/** The network card. Every guest of ours drives virtio-net; the others are for systems that came before it. */
export const NicModel = z.enum(["virtio-net", "e1000", "rtl8139"]);
export type NicModel = z.infer<typeof NicModel>;

/**
 * Of a virtio-net: `transitional` also speaks to drivers from before virtio 1.0, `windows7` is the contract that drivers of
 * Windows 7 were written to. Of an rtl8139: `8139c` is the older chip, which drivers of the older mode insist on.
 */
export const NicProfile = z.enum(["transitional", "windows7", "8139c"]);
export type NicProfile = z.infer<typeof NicProfile>;
export interface NicChoice {
  readonly model: NicModel;
  readonly profile?: NicProfile | undefined;
}

/** What people call each card in settings and on command lines: a model, and its profile where it has one. */
export const NicName = z.enum([
  "virtio-net",
  "virtio-net-transitional",
  "virtio-net-windows7",
  "e1000",
  "rtl8139",
  "rtl8139-8139c",
]);
export type NicName = z.infer<typeof NicName>;
export const nics: Readonly<Record<NicName, NicChoice>> = {
  "virtio-net": { model: "virtio-net" },
  "virtio-net-transitional": { model: "virtio-net", profile: "transitional" },
  "virtio-net-windows7": { model: "virtio-net", profile: "windows7" },
  e1000: { model: "e1000" },
  rtl8139: { model: "rtl8139" },
  "rtl8139-8139c": { model: "rtl8139", profile: "8139c" },
};

/** All that a machine is made from, as the catalogue keeps it. The first boot entry is the default. */
export const MachineDefinition = z.strictObject({
  version: z.literal(1),
  memoryMiB: z.number().check(z.int(), z.minimum(16), z.maximum(3072)),
  /** The processor model; absent: the usual one (`defaultProcessor`). */
  processor: z.optional(ProcessorName),
  boot: z.array(BootEntry).check(z.minLength(1), z.maxLength(8)),
  disks: z.array(DiskDefinition).check(z.maxLength(4)),
  /** Its network card; absent: a virtio-net. */
  network: z.optional(
    z.union([z.literal("none"), z.strictObject({ model: NicModel, profile: z.optional(NicProfile) })]),
  ),
  /** What the console shows when the machine is ready, so that tests and screenshots can wait for it. */
  ready: z.optional(z.string()),
});
export type MachineDefinition = z.infer<typeof MachineDefinition>;

/** A row of `GET /api/images`. Sizes in bytes; `storedBytes` is what the chunks of all its files take in the store. */
export const CatalogueEntry = z.object({
  id: z.string(),
  slug: z.string(),
  name: z.string(),
  description: z.string(),
  state: z.enum(["ready", "building"]),
  sizeBytes: z.number(),
  storedBytes: z.number(),
  definition: z.nullable(MachineDefinition),
  updatedAt: z.string(),
});
export type CatalogueEntry = z.infer<typeof CatalogueEntry>;
