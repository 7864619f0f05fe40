import type { Failure } from "./protocol/failure.ts";
import type { StorageCommand, StorageNotice } from "./protocol/storage-messages.ts";
import { realClock } from "./storage/clock.ts";
import { SILENCE_MS } from "./storage/http.ts";
import { opfsRoot } from "./storage/opfs-files.ts";
import { StorageService } from "./storage/storage-service.ts";

/** The storage worker: the one owner of this origin's files and of the requests for images. */
const service = new StorageService({
  network: {
    fetch: (...request) => fetch(...request),
    clock: realClock,
    origin: self.location.origin,
    silenceMs: SILENCE_MS,
  },
  async files() {
    const root = await opfsRoot(realClock);
    return root.ok ? root.value.folder("virga") : root;
  },
  async quotaBytes() {
    try {
      return (await navigator.storage.estimate()).quota;
    } catch {
      return undefined;
    }
  },
  notify: (notice) => self.postMessage(notice),
});

self.onmessage = ({ data }: MessageEvent<StorageCommand>) => {
  service.command(data).catch((error: unknown) => {
    console.error("storage:", error);
    if (!("disk" in data)) return;
    const failure: Failure = { code: "internal", incident: String(error) };
    self.postMessage({ type: "open-failed", disk: data.disk, failure } satisfies StorageNotice);
  });
};
self.addEventListener("online", () => service.networkIsBack());
