import * as z from "zod/mini";
import { type Outcome, ok } from "#protocol/failure";
import { CatalogueEntry } from "#protocol/machine-definition";
import { ask } from "./server.ts";

const Listing = z.object({ images: z.array(CatalogueEntry) });

/** The images that this site shares. */
export async function listImages(): Promise<Outcome<readonly CatalogueEntry[]>> {
  const listing = await ask("/api/images", Listing, "the list of machines");
  return listing.ok ? ok(listing.value.images) : listing;
}

export const findImage = (slug: string): Promise<Outcome<CatalogueEntry>> =>
  ask(`/api/images/${encodeURIComponent(slug)}`, CatalogueEntry, `a machine called "${slug}"`);
