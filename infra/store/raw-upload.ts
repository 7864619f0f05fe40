/** Sends a raw image as one object (worker/raw-uploads.ts): whole when it is small, else in parts of one size. */
import { open } from "node:fs/promises";
import * as z from "zod/mini";
import type { Publisher } from "./publisher.ts";

/** What one request may carry (worker/limits.ts). */
const MAX_BODY_BYTES = 95_000_000;
const Begun = z.object({ uploadId: z.string(), partBytes: z.number() });
const Part = z.object({ partNumber: z.number(), etag: z.string() });

export async function uploadRaw(
  publisher: Publisher,
  id: string,
  path: string,
  onProgress?: (doneBytes: number, sizeBytes: number) => void,
): Promise<number> {
  const file = await open(path, "r");
  try {
    const sizeBytes = (await file.stat()).size;
    const piece = async (offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
        done += bytesRead;
      }
      return bytes;
    };
    if (sizeBytes <= MAX_BODY_BYTES) {
      await publisher.send("PUT", `/raw/${id}`, await piece(0, sizeBytes));
      onProgress?.(sizeBytes, sizeBytes);
      return sizeBytes;
    }
    const { uploadId, partBytes } = Begun.parse(await publisher.send("POST", `/raw/${id}/uploads`, ""));
    const upload = `/raw/${id}/uploads/${encodeURIComponent(uploadId)}`;
    const parts: z.infer<typeof Part>[] = [];
    for (let offset = 0; offset < sizeBytes; offset += partBytes) {
      const bytes = await piece(offset, Math.min(partBytes, sizeBytes - offset));
      parts.push(Part.parse(await publisher.send("PUT", `${upload}/parts/${parts.length + 1}`, bytes)));
      onProgress?.(offset + bytes.length, sizeBytes);
    }
    await publisher.send("POST", `${upload}/complete`, JSON.stringify({ parts }));
    return sizeBytes;
  } finally {
    await file.close();
  }
}
