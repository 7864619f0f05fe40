import { createResource, For, Show } from "solid-js";
import { SiteBar } from "../components/site-bar.tsx";
import { capabilities } from "../machine/capabilities.ts";
import { settings } from "../machine/settings.ts";

/** What this browser can do for a machine, in words. */
export function Browser() {
  document.title = "This browser · Virga";
  const [found] = createResource(capabilities);
  const missing = () => found()?.filter(({ present }) => !present) ?? [];
  const verdict = () => {
    if (missing().some(({ needed }) => needed)) return "Machines cannot run in this browser.";
    return missing().length > 0
      ? "Machines run here, with some limits."
      : "Machines run here with everything they can use.";
  };
  return (
    <>
      <SiteBar />
      <main class="gallery">
        <div class="lead">
          <h1>This browser</h1>
          <p>{found() ? verdict() : "Looking…"}</p>
        </div>
        <ul class="capabilities">
          <For each={found()}>
            {(capability) => (
              <li data-present={capability.present}>
                <h3>
                  {capability.name}: {capability.present ? "yes" : "no"}
                </h3>
                <Show when={!capability.present}>
                  <p>{capability.without}</p>
                </Show>
              </li>
            )}
          </For>
        </ul>
        <Show when={settings.resolved().problems.length > 0}>
          <section>
            <h2>Settings that were left out</h2>
            <For each={settings.resolved().problems}>{(problem) => <p class="problem">{problem}</p>}</For>
          </section>
        </Show>
      </main>
    </>
  );
}
