import { createRoot, createSignal } from "solid-js";
import { resolveSettings, settingsInAddress, type ResolvedSettings, type SettingName } from "./config.ts";

const KEY = "virga.settings";

/** What this browser remembers; a private window may refuse to say. */
function savedSettings(): unknown {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {};
  }
}

/** The operator's file, or nothing where there is none. */
async function operatorSettings(): Promise<unknown> {
  try {
    const response = await fetch("/virga.config.json");
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

/** One for the page: the layers as they are now, and a way to change the saved one. */
export const settings = createRoot(() => {
  let operator: unknown = {};
  const now = () => resolveSettings(operator, savedSettings(), settingsInAddress(location.search));
  const [resolved, setResolved] = createSignal<ResolvedSettings>(now());
  const loaded = operatorSettings().then((found) => {
    operator = found;
    setResolved(now());
  });
  return {
    resolved,
    /** Resolves when the operator's file has been read. */
    loaded,
    refresh: () => setResolved(now()),
    /** Saves one value in this browser; `undefined` goes back to the layer below. */
    save(name: SettingName, value: unknown): void {
      const saved = savedSettings();
      const next: Record<string, unknown> = { ...(typeof saved === "object" ? saved : {}), [name]: value };
      if (value === undefined) delete next[name];
      try {
        localStorage.setItem(KEY, JSON.stringify(next));
      } catch (problem) {
        console.warn("settings are not saved", problem);
      }
      setResolved(now());
    },
  };
});
