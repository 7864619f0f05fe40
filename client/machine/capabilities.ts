/** What this browser can do for a machine, tested and not guessed from its name. */
export interface Capability {
  readonly name: string;
  readonly present: boolean;
  /** What its absence means, in words. */
  readonly without: string;
  /** True when no machine can run without it. */
  readonly needed: boolean;
}

/** (module (func (result v128) i32.const 0 i8x16.splat)) and the like: the smallest module that needs SIMD. */
const simdModule = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98,
  11,
]);

const hasSimd = () => typeof WebAssembly === "object" && WebAssembly.validate(simdModule);

/** A private window may offer the folder and refuse to use it, so it is asked for. */
async function hasFileSystem(): Promise<boolean> {
  try {
    return Boolean(await navigator.storage.getDirectory());
  } catch {
    return false;
  }
}

export async function capabilities(): Promise<readonly Capability[]> {
  return [
    {
      name: "WebAssembly with SIMD",
      present: hasSimd(),
      without: "The processor cannot run in this browser. A current Chrome, Edge, Firefox or Safari can.",
      needed: true,
    },
    {
      name: "Background workers",
      present: typeof Worker === "function",
      without: "The machine has nowhere to run.",
      needed: true,
    },
    {
      name: "Shared memory",
      present: globalThis.crossOriginIsolated && typeof SharedArrayBuffer === "function",
      without: "The machine runs on one thread, and later speed-ups that need several stay off.",
      needed: false,
    },
    {
      name: "Files on this device",
      present: await hasFileSystem(),
      without:
        "Your changes last until this tab is closed, and every start fetches again. Private windows work like this.",
      needed: false,
    },
    {
      name: "Offline start",
      present: "serviceWorker" in navigator && globalThis.isSecureContext,
      without: "Machines need the network to start.",
      needed: false,
    },
  ];
}
