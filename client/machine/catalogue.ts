import * as z from "zod/mini";
import type { Failure, Outcome } from "#protocol/failure";
import { fail, ok } from "#protocol/failure";
import { CatalogueEntry } from "#protocol/machine-definition";

const Listing = z.object({ images: z.array(CatalogueEntry) });

/** Reads one JSON answer of our own server and checks its shape. */
async function read<T>(path: string, shape: z.ZodMiniType<T>, what: string): Promise<Outcome<T>> {
  let response: Response;
  try {
    response = await fetch(path, { headers: { accept: "application/json" } });
  } catch {
    return fail({ code: "offline", what });
  }
  if (response.status === 404) return fail({ code: "not-found", what });
  if (!response.ok)
    return fail({
      code: "internal",
      incident: response.headers.get("x-incident") ?? `HTTP ${response.status}`,
    });
  const parsed = z.safeParse(shape, await response.json().catch(() => undefined));
  return parsed.success
    ? ok(parsed.data)
    : fail({ code: "internal", incident: "unreadable catalogue" } satisfies Failure);
}

/** The images that this site shares. */
export async function listImages(): Promise<Outcome<readonly CatalogueEntry[]>> {
  const listing = await read("/api/images", Listing, "the list of machines");
  return listing.ok ? ok(listing.value.images) : listing;
}

export const findImage = (slug: string): Promise<Outcome<CatalogueEntry>> =>
  read(`/api/images/${encodeURIComponent(slug)}`, CatalogueEntry, `a machine called "${slug}"`);
