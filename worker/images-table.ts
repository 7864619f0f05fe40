import { type CatalogueEntry, MachineDefinition } from "#protocol/machine-definition.ts";
import { limits } from "./limits.ts";

/** A row of the table `images` (infra/migrations). */
interface ImageRow {
  readonly id: string;
  readonly slug: string;
  readonly name: string;
  readonly description: string;
  readonly state: CatalogueEntry["state"];
  readonly size_bytes: number;
  readonly stored_bytes: number;
  readonly definition: string | null;
  readonly updated_at: string;
}

const entry = (row: ImageRow): CatalogueEntry => ({
  id: row.id,
  slug: row.slug,
  name: row.name,
  description: row.description,
  state: row.state,
  sizeBytes: row.size_bytes,
  storedBytes: row.stored_bytes,
  definition: definition(row.definition),
  updatedAt: row.updated_at,
});

/** One that another version wrote and this one cannot read counts as none: the rest of the catalogue stays readable. */
function definition(json: string | null): MachineDefinition | null {
  const parsed = MachineDefinition.safeParse(JSON.parse(json ?? "null"));
  return parsed.success ? parsed.data : null;
}

/** The order in which they were first published. */
export async function listImages(db: D1Database): Promise<CatalogueEntry[]> {
  const rows = db.prepare("SELECT * FROM images ORDER BY rowid LIMIT ?").bind(limits.catalogueRows);
  return (await rows.all<ImageRow>()).results.map(entry);
}

export async function findImage(db: D1Database, slug: string): Promise<CatalogueEntry | undefined> {
  const row = await db.prepare("SELECT * FROM images WHERE slug = ?").bind(slug).first<ImageRow>();
  return row ? entry(row) : undefined;
}

/** Makes or replaces the image of this slug; its id stays. What raw disks it names may from now on be read. */
export async function saveImage(db: D1Database, image: CatalogueEntry): Promise<CatalogueEntry> {
  const upsert = db
    .prepare(
      `INSERT INTO images (id, slug, name, description, state, size_bytes, stored_bytes, definition, updated_at)
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
       ON CONFLICT (slug) DO UPDATE SET name = ?3, description = ?4, state = ?5, size_bytes = ?6,
         stored_bytes = ?7, definition = ?8, updated_at = ?9
       RETURNING *`,
    )
    .bind(
      image.id,
      image.slug,
      image.name,
      image.description,
      image.state,
      image.sizeBytes,
      image.storedBytes,
      image.definition && JSON.stringify(image.definition),
      image.updatedAt,
    );
  const forget = db.prepare("DELETE FROM shared_raw_disks WHERE slug = ?").bind(image.slug);
  const share = db.prepare("INSERT OR IGNORE INTO shared_raw_disks (raw_id, slug) VALUES (?, ?)");
  const raw = (image.definition?.disks ?? []).filter((disk) => disk.kind === "raw");
  const [saved] = await db.batch<ImageRow>([
    upsert,
    forget,
    ...raw.map((disk) => share.bind(disk.imageId, image.slug)),
  ]);
  return entry(saved!.results[0]!);
}

/** Whether some image of the catalogue has this raw disk, so that anyone may read it. */
export async function isShared(db: D1Database, rawId: string): Promise<boolean> {
  const row = await db.prepare("SELECT 1 FROM shared_raw_disks WHERE raw_id = ?").bind(rawId).first();
  return row !== null;
}
